"""Shares of 1: Dirichlet(concentration), L independent latents of C shares each, [*B, L, C].

A draw is C Gamma numbers as shares of their sum, computed from logarithms. It is differentiable by implicit
reparameterization (M. Figurnov, S. Mohamed, A. Mnih, 2018, arXiv:1805.08498): a concentration moves its own share z_i,
which is a Beta number, by `torch._dirichlet_grad` (to a thousandth at worst), and the others in proportion to their
size.
"""

from typing import cast

import torch
from torch import Tensor
from torch.distributions import Dirichlet as TorchDirichlet
from torch.distributions import Distribution
from torch.nn.functional import logsigmoid

from estimators.families.base import Reparameterized
from estimators.families.beta import moderate_factor, shares
from estimators.families.quadrature import product, stretched_fit, stretched_points
from estimators.families.registry import register_family
from estimators.families.support import least
from estimators.noise import Noise


@register_family
class Dirichlet(Reparameterized):
    """Latents on the simplex: log q(z) = sum_c (a_c - 1) log(z_c) - log B(a)."""

    name = "dirichlet"
    distribution = TorchDirichlet
    parameter_names = ("concentration",)
    latent_dims = 1
    sharpness = "sharpness s, concentrations of sum 2 C * 10^(s/8)"
    sweep = "scales"
    certified_events = ((1, 2), (2, 2), (1, 3))
    small_event = (2, 3)

    def parameters(self, q: Distribution) -> tuple[Tensor, ...]:
        return (cast(TorchDirichlet, q).concentration,)

    def build(self, *values: Tensor) -> Distribution:
        return TorchDirichlet(values[0], validate_args=False)

    def from_raw(self, *raw: Tensor) -> Distribution:
        """From log concentrations."""
        return self.build(raw[0].exp())

    def inside(self, z: Tensor) -> Tensor:
        """No share is 0."""
        return z.clamp_min(least(z.dtype))

    def integrable(self, event: tuple[int, ...], nodes: int) -> bool:
        latents, classes = event
        return stretched_fit(nodes, latents * (classes - 1))

    @torch.no_grad()
    def sample(self, q: Distribution, samples: int, noise: Noise) -> Tensor:
        (concentration,) = self.parameters(q)
        return self.inside(noise.gamma(samples, concentration).softmax(-1).to(concentration))

    def rsample(self, q: Distribution, samples: int, noise: Noise) -> Tensor:
        """The draw, moved by the implicit gradient in each concentration."""
        (concentration,) = self.parameters(q)
        z, a = self.sample(q, samples, noise), concentration.detach()
        total = a.sum(-1, keepdim=True).expand_as(z).contiguous()
        move = torch._dirichlet_grad(z, a.expand_as(z).contiguous(), total) * (concentration - a)
        return z + move - z * move.sum(-1, keepdim=True)

    def log_prob(self, q: Distribution, z: Tensor) -> Tensor:
        (concentration,) = self.parameters(q)
        return ((concentration - 1) * z.log()).sum((-2, -1)) - _log_norm(concentration).sum(-1)

    @torch.no_grad()
    def scores(self, q: Distribution, z: Tensor) -> tuple[Tensor, ...]:
        """log(z) minus its mean."""
        (concentration,) = self.parameters(q)
        return (z.log() - _mean_log(concentration),)

    def kl(self, q: Distribution, p: Distribution) -> Tensor:
        (a,), (other,) = self.parameters(q), self.parameters(p)
        return (_log_norm(other) - _log_norm(a)).sum(-1) + ((a - other) * _mean_log(a)).sum((-2, -1))

    def quadrature(self, q: Distribution, nodes: int) -> tuple[Tensor, Tensor]:
        """A product of double-exponential rules in the logit of each share of what those before it have left."""
        (concentration,) = self.parameters(q)
        latents, classes = concentration.shape[-2:]
        rows = concentration.shape[:-2]
        if classes == 1:
            return torch.ones_like(concentration)[None], torch.ones_like(concentration[..., 0, 0])[None]
        own = concentration[..., :-1]
        rest = concentration.flip(-1).cumsum(-1).flip(-1)[..., 1:]  # of the shares after it
        points = stretched_points(nodes, latents * (classes - 1))
        y, weights = (x.flatten(-2) for x in shares(points, own, rest))
        y, weight = product(y, weights)
        y = y.reshape(-1, *rows, latents, classes - 1)
        taken, left = logsigmoid(y), logsigmoid(-y).cumsum(-1)
        start = torch.zeros_like(left[..., :1])
        log_z = torch.cat([taken, start], -1) + torch.cat([start, left], -1)
        return self.inside(log_z.exp()), weight

    def moderate(self, q: Distribution, noise: Noise) -> tuple[Tensor, ...]:
        """Of about the same means, neither very narrow nor all in the corners."""
        a = self.parameters(q)[0].detach()
        near = a * moderate_factor(a.sum(-1, keepdim=True), a.new_tensor(float(a.shape[-1])))
        return (near.clamp_min(0.3) * (0.3 * noise.normal(1, a)[0].to(a)).exp(),)

    def sharpened(self, level: Tensor, turn: Tensor, event: tuple[int, ...]) -> tuple[Tensor, ...]:
        """A sum of 2 C at level 0, down to a third of it in other latents; one share of each is the largest."""
        latents, classes = event
        uneven = torch.linspace(1, 1 / 3, latents, dtype=level.dtype)
        index = (torch.arange(classes) + turn[..., None]) % classes  # 0 where the share is the largest
        share = torch.linspace(2, 1, classes, dtype=level.dtype)[index]
        total = 2 * classes * 10 ** (level / 8)[:, None] * uneven
        return (total[..., None] * share / share.sum(-1, keepdim=True),)

    def toy(self, sharpness: float, event: tuple[int, ...]) -> Distribution:
        """Latent i has the class i mod C twice as large in mean as the others; concentrations sum to 1 / scale^2."""
        latents, classes = event
        share = 1.0 + torch.eye(classes, dtype=torch.float64)[torch.arange(latents) % classes]
        return self.build(share[None] / (classes + 1) / sharpness**2)

    def extremes(self, *values: Tensor) -> dict[str, tuple[Tensor, ...]]:
        """From corners to all but fixed."""
        share = values[0] / values[0].sum(-1, keepdim=True)
        return {f"concentrations of sum {c:g}": (c * share,) for c in (1e-2, 1e6)}


def _mean_log(concentration: Tensor) -> Tensor:
    """Mean of log z."""
    return concentration.digamma() - concentration.sum(-1, keepdim=True).digamma()


def _log_norm(concentration: Tensor) -> Tensor:
    """log B(a), [..., L]."""
    return concentration.lgamma().sum(-1) - concentration.sum(-1).lgamma()
