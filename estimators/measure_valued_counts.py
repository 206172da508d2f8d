"""Measure-valued derivatives of counts: the mean of f changes as one more event, or several at once, change f.

S. Mohamed, M. Rosca, M. Figurnov, A. Mnih, Monte Carlo gradient estimation in machine learning, 2019,
arXiv:1906.10652; for Poisson numbers it is also the GO gradient of Y. Cong, M. Zhao, K. Bai, L. Carin, 2019,
arXiv:1901.06020. With the same draw z of q in both terms of a difference,

    Poisson               d/drate         E[f(z)] = E[f(z + 1) - f(z)]
    negative binomial     d/dtotal_count  E[f(z)] = log(1 + r) E[f(z + x) - f(z)]
                          d/dlogits       E[f(z)] = n log(1 + r) (1 - p) E[x (f(z + x) - f(z))]

where r = exp(logits), p = sigmoid(logits), and x has the logarithmic law of p. Both say what an infinitely divisible
law does as the rates of its jumps change. f is asked at counts alone, D + 1 times a sample.
"""

import torch
from torch.distributions import Distribution

from estimators.base import Estimate, Estimator, Objective
from estimators.distributions import parameters, sample, stopped
from estimators.families import Counted, capable
from estimators.noise import Noise
from estimators.registry import register


@register(
    "measure-valued-counts",
    capability="counts",
    method="local differences",
    unbiased=True,
    f_evals=lambda samples, event: samples * (event[0] + 1),
    needs="neither",
    summary="differences of f between a draw and one with a latent raised, latent by latent",
    paper="Mohamed, Rosca, Figurnov and Mnih 2019, arXiv:1906.10652; Cong et al. 2019, arXiv:1901.06020",
)
class MeasureValuedCounts(Estimator):
    """`samples` draws, and one more evaluation of f for each latent of each."""

    def estimate(self, q: Distribution, f: Objective, noise: Noise) -> Estimate:
        z = sample(q, self.samples, noise)  # S x *B x D
        jump, weights = capable(q, Counted).jumps(q, self.samples, noise)
        cost = f(z, stopped(q))  # S x *B
        with torch.no_grad():  # theta's gradient is that of f at draws of q, which these are not
            size = z.shape[-1]
            latent = torch.eye(size, dtype=z.dtype, device=z.device).reshape(size, *[1] * (z.dim() - 1), size)
            raised = (z + jump * latent).flatten(0, 1)  # D S x *B x D
            rise = f(raised, stopped(q)).unflatten(0, (size, len(z))) - cost  # D x S x *B
            rise = rise.movedim(0, -1)
            gradients = [(weight * rise).mean(0) for weight in weights]
        surrogate = cost.mean(0)
        for p, gradient in zip(parameters(q), gradients, strict=True):
            surrogate = surrogate + (p * gradient).sum(-1)
        return Estimate(surrogate, cost.detach().mean(0))
