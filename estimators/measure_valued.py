"""Measure-valued derivatives: the derivative of a density as a difference of two, latent by latent.

S. Mohamed, M. Rosca, M. Figurnov, A. Mnih, Monte Carlo gradient estimation in machine learning, 2019,
arXiv:1906.10652. With W a Rayleigh number (Weibull of shape 2), N a normal and M a double-sided Maxwell number, and
the other latents drawn from q, once for both terms of a difference:

    d/dloc    E[f] = (E f(loc + scale W) - E f(loc - scale W)) / (scale sqrt(2 pi))
    d/dscale  E[f] = (E f(loc + scale M) - E f(loc + scale N)) / scale

f need not be differentiable, nor continuous. Both pairs are coupled: one W, and M = sign(N) sqrt(N^2 + W^2), the length
of three normal numbers, of which N is a uniform share. As N is normal, the second term of every latent's scale is f at
one and the same draw z of q, which also makes the value and theta's gradient: 3 D + 1 evaluations a sample, not 4 D.
"""

import math

import torch
from torch import Tensor
from torch.distributions import Distribution

from estimators.base import Estimate, Estimator, Objective
from estimators.distributions import parameters, stopped
from estimators.noise import Noise
from estimators.registry import register


def _replaced(z: Tensor, values: Tensor) -> Tensor:
    """z [S, *B, D] with one latent each replaced by values [V, S, *B, D]: [V, D, S, *B, D]."""
    size = z.shape[-1]
    chosen = torch.eye(size, dtype=torch.bool, device=z.device).reshape(size, *[1] * (z.dim() - 1), size)
    return torch.where(chosen, values.unsqueeze(1), z)


@register(
    "measure-valued",
    families=("gaussian",),
    method="local differences",
    unbiased=True,
    f_evals=lambda samples, event: samples * (3 * event[0] + 1),
    needs="neither",
    summary="measure-valued derivatives, coupled pairs latent by latent; f may have jumps",
    paper="Mohamed, Rosca, Figurnov and Mnih 2019, arXiv:1906.10652",
)
class MeasureValued(Estimator):
    """`samples` coupled pairs for every latent's loc and scale."""

    def estimate(self, q: Distribution, f: Objective, noise: Noise) -> Estimate:
        loc, scale = parameters(q)
        with torch.no_grad():
            plain = noise.normal(self.samples, loc)
            rayleigh = (-2 * noise.uniform(self.samples, loc).log()).sqrt()
            maxwell = torch.copysign(torch.hypot(plain, rayleigh), plain)
            z = loc + scale * plain  # S x *B x D
            moved = _replaced(z, loc + scale * torch.stack((rayleigh, -rayleigh, maxwell)))
        cost = f(z, stopped(q))  # S x *B
        with torch.no_grad():  # theta's gradient is that of f at draws of q, which these are not
            up, down, wide = f(moved.flatten(0, 2), stopped(q)).reshape(moved.shape[:-1])  # D x S x *B each
            of_loc = (up - down).mean(1).movedim(0, -1) / (scale * math.sqrt(2 * math.pi))
            of_scale = (wide - cost).mean(1).movedim(0, -1) / scale
        surrogate = (of_loc * loc + of_scale * scale).sum(-1) + cost.mean(0)
        return Estimate(surrogate, cost.detach().mean(0))
