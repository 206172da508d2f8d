"""Poisson latents: Poisson(rate), independent, [*B, D]; draws are counts 0, 1, 2, ...

A rate of 0 is a count of 0 for sure, and an infinite one is taken for `LARGEST`; neither has a gradient. Of a rate that
is merely small, d/drate E[f] tends to f(1) - f(0), but by the score alone it is seen only in draws of 1: an estimator
that needs none is `measure-valued-counts`.
"""

import math
from typing import cast

import torch
from torch import Tensor
from torch.distributions import Binomial, Distribution, Geometric
from torch.distributions import Poisson as TorchPoisson
from torch.nn import functional as F

from estimators.families.base import Counted
from estimators.families.counts import LEFT_OUT, TILT, log_poisson, poisson, product, reach
from estimators.families.logits import watchable
from estimators.families.registry import register_family
from estimators.noise import Noise

SMALLEST, LARGEST = 1e-30, 1e15
"""Rates in the place of 0, of which no count but 0 comes, and of infinity, of which counts are whole in doubles."""


@register_family
class Poisson(Counted):
    """Counts, with rates."""

    name = "poisson"
    distribution = TorchPoisson
    mistaken = {  # noqa: RUF012
        Geometric: "write NegativeBinomial(total_count=1, logits=-logits), which counts the same failures",
        Binomial: "counts up to n are no family here; of n = 1 write Bernoulli(logits=...)",
    }
    parameter_names = ("rate",)
    sharpness = "sharpness s, rates exp(-s/3) and 1 + s/15"
    sweep = "scales"
    certified_events = ((1,), (2,), (3,))

    def parameters(self, q: Distribution) -> tuple[Tensor, ...]:
        return (cast(TorchPoisson, q).rate,)

    def build(self, *values: Tensor) -> Distribution:
        return TorchPoisson(values[0], validate_args=False)

    def from_raw(self, *raw: Tensor) -> Distribution:
        """From (log rate,); the prior's rate is 1."""
        return self.build(raw[0].exp())

    def finite(self, *values: Tensor) -> tuple[Tensor, ...]:
        """Rates of 0 and of infinity become finite numbers."""
        (rate,) = values
        if rate.device.type == "cpu" and watchable(rate) and rate.numel():
            least, most = (float(x) for x in rate.detach().aminmax())
            if least >= SMALLEST and most <= LARGEST:
                return values
        return (F.hardtanh(rate, SMALLEST, LARGEST),)

    def sample(self, q: Distribution, samples: int, noise: Noise) -> Tensor:
        """By inversion, see `estimators.families.counts`."""
        return poisson(self.parameters(q)[0], samples, noise)

    def log_prob(self, q: Distribution, z: Tensor) -> Tensor:
        """z log rate - rate - log gamma(z + 1), also between whole numbers."""
        return log_poisson(self.parameters(q)[0], z).sum(-1)

    @torch.no_grad()
    def scores(self, q: Distribution, z: Tensor) -> tuple[Tensor, ...]:
        """z / rate - 1."""
        (rate,) = self.parameters(q)
        return ((z - rate) / rate,)

    def kl(self, q: Distribution, p: Distribution) -> Tensor:
        """Of each latent rate log(rate / other) - rate + other; infinite where p's rate is 0 and q's is not."""
        (rate,), (other,) = self.parameters(q), self.parameters(p)
        return (torch.xlogy(rate, rate) - torch.xlogy(rate, other) - rate + other).sum(-1)

    def quadrature(self, q: Distribution, nodes: int) -> tuple[Tensor, Tensor]:
        """A sum over all counts but those of a chance below 1e-17, also under weights that grow as e^z does.

        `nodes` plays no role: the counts that matter say how many points there are.
        """
        (rate,) = self.parameters(q)
        wide = rate.detach().to(torch.float64)
        most = reach(lambda k: torch.special.gammainc(k + 1, TILT * wide), (TILT * wide).floor())
        # P(z < least) <= exp(-(rate - least)^2 / (2 rate)), by Chernoff.
        least = (wide - (-2 * math.log(LEFT_OUT) * wide).sqrt()).floor().clamp_min(0)
        return product(least.to(rate), most.to(rate), lambda z: self.log_prob(q, z), f"rates up to {wide.max():.3g}")

    def jumps(self, q: Distribution, samples: int, noise: Noise) -> tuple[Tensor, tuple[Tensor, ...]]:
        """d/drate E[f(z)] = E[f(z + 1) - f(z)]."""
        one = torch.ones_like(self.parameters(q)[0]).detach().expand(samples, *self.parameters(q)[0].shape)
        return one, (one,)

    def moderate(self, q: Distribution, noise: Noise) -> tuple[Tensor, ...]:
        """A rate of a third or more, moved by a quarter of itself or so; a rate of 0 is kept."""
        rate = self.parameters(q)[0].detach()
        near = rate.clamp_min(1 / 3) * (0.25 * noise.normal(1, rate)[0]).exp()
        return (torch.where(rate <= SMALLEST, rate, near),)

    def spread_out(self, q: Distribution, count: int, noise: Noise) -> Tensor:
        """The second point is the first plus 1."""
        z = self.sample(q, count, noise)
        z[1] = z[0] + (self.parameters(q)[0] > SMALLEST).to(z)
        return z

    def sharpened(self, level: Tensor, turn: Tensor, event: tuple[int, ...]) -> tuple[Tensor, ...]:
        """Rates above and below 1 by turns, of the level or down to a third of it."""
        own = level[:, None] * torch.linspace(1, 1 / 3, event[0], dtype=level.dtype)
        return (torch.where(turn % 2 == 0, 1 + own / 15, (-own / 3).exp()),)

    def toy(self, sharpness: float, event: tuple[int, ...]) -> Distribution:
        """Rates of this size and of half of it by turns; what sweeps of other families call scale."""
        return self.build(sharpness / (1 + torch.arange(event[0]) % 2).double()[None])

    def extremes(self, *values: Tensor) -> dict[str, tuple[Tensor, ...]]:
        """A latent of every row stays at 0."""
        (rate,) = values
        still = torch.ones_like(rate)
        still[..., 0] = 0
        return {**super().extremes(*values), "rates of 0": (still,)}
