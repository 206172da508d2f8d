"""Positive latents: Gamma(concentration, rate), independent, [*B, D].

Draws are differentiable by implicit reparameterization: at a fixed value of the distribution function F, dz/da is
-(dF/da) / q(z), which torch has as `torch._standard_gamma_grad`, to some parts in ten thousand. M. Figurnov, S.
Mohamed, A. Mnih, Implicit reparameterization gradients, 2018, arXiv:1805.08498. torch's Chi2(df) is the
Gamma(df / 2, 1 / 2) that it derives from.
"""

from typing import cast

import torch
from torch import Tensor
from torch.distributions import Distribution, Exponential, InverseGamma
from torch.distributions import Gamma as TorchGamma

from estimators.families.base import Reparameterized
from estimators.families.quadrature import TAIL, product, stretched, stretched_fit, stretched_points, stretched_weights
from estimators.families.registry import register_family
from estimators.families.support import least
from estimators.noise import Noise

NEAR_ZERO = 1e-250
"""Draws below it have the derivative of the distribution function's first term."""


@register_family
class Gamma(Reparameterized):
    """Gamma latents, with concentration and rate: log q(z) = a log(r) - log Gamma(a) + (a - 1) log(z) - r z."""

    name = "gamma"
    distribution = TorchGamma
    mistaken = {  # noqa: RUF012
        Exponential: "write Gamma(torch.ones_like(rate), rate), which it is",
        InverseGamma: "write Gamma(concentration, rate), and let f take 1 / z",
    }
    parameter_names = ("concentration", "rate")
    sharpness = "sharpness s, concentration 1.5 * 10^(s/8)"
    sweep = "scales"
    certified_events = ((1,), (2,))

    def parameters(self, q: Distribution) -> tuple[Tensor, ...]:
        q = cast(TorchGamma, q)
        return q.concentration, q.rate

    def build(self, *values: Tensor) -> Distribution:
        concentration, rate = values
        return TorchGamma(concentration, rate, validate_args=False)

    def from_raw(self, *raw: Tensor) -> Distribution:
        """From (log concentration, log rate)."""
        return self.build(*(x.exp() for x in raw))

    def inside(self, z: Tensor) -> Tensor:
        """0 is no draw: a least number stands for all below it."""
        return z.clamp_min(least(z.dtype))

    def integrable(self, event: tuple[int, ...], nodes: int) -> bool:
        return stretched_fit(nodes, *event)

    @torch.no_grad()
    def sample(self, q: Distribution, samples: int, noise: Noise) -> Tensor:
        concentration, rate = self.parameters(q)
        log_z = noise.gamma(samples, concentration) - rate.double().log()
        return self.inside(log_z.exp().to(rate))

    def rsample(self, q: Distribution, samples: int, noise: Noise) -> Tensor:
        """The draw over the rate, moved by the implicit gradient in the concentration.

        That of the draw's logarithm is taken, which has its digits however small the draw is: near 0 the distribution
        function is z^a / gamma(a + 1).
        """
        concentration, rate = self.parameters(q)
        with torch.no_grad():
            log_standard = noise.gamma(samples, concentration)
            a = concentration.double().expand_as(log_standard).contiguous()
            standard = log_standard.exp().clamp_min(NEAR_ZERO)
            slope = torch._standard_gamma_grad(a, standard) / standard
            slope = slope.where(standard > NEAR_ZERO, ((a + 1).digamma() - log_standard) / a).to(rate)
            z = (log_standard - rate.double().log()).exp().to(rate)
        return self.inside(z * (1 + slope * (concentration - concentration.detach())) * (rate.detach() / rate))

    def log_prob(self, q: Distribution, z: Tensor) -> Tensor:
        concentration, rate = self.parameters(q)
        norm = concentration * rate.log() - concentration.lgamma()
        return (norm + (concentration - 1) * z.log() - rate * z).sum(-1)

    @torch.no_grad()
    def scores(self, q: Distribution, z: Tensor) -> tuple[Tensor, ...]:
        """Of the concentration and of the rate."""
        concentration, rate = self.parameters(q)
        return z.log() + (rate.log() - concentration.digamma()), concentration / rate - z

    def kl(self, q: Distribution, p: Distribution) -> Tensor:
        (a, rate), (other, other_rate) = self.parameters(q), self.parameters(p)
        shape = (a - other) * a.digamma() + other.lgamma() - a.lgamma()
        return (shape + other * (rate / other_rate).log() + a * (other_rate / rate - 1)).sum(-1)

    def quadrature(self, q: Distribution, nodes: int) -> tuple[Tensor, Tensor]:
        """A product of double-exponential rules in log z, so that f may have a logarithm at 0."""
        a, rate = self.parameters(q)
        log_rate = rate.log()
        with torch.no_grad():
            drop = TAIL / a  # at u above or below the mode, exp(u) - 1 - u is this or more
            side = (2 * drop).sqrt()
            above = (drop + (drop + side).log1p()).log1p()
            width = a.clamp_min(1).rsqrt()
            y, spacing = stretched(stretched_points(nodes, a.shape[-1]), a.log() - log_rate, width, drop + side, above)
        log_density = a * (y + log_rate) - (y + log_rate).exp() - a.lgamma()  # of log z
        return product(self.inside(y.exp()), stretched_weights(log_density, spacing))

    def moderate(self, q: Distribution, noise: Noise) -> tuple[Tensor, ...]:
        """Of about the same means, neither very narrow nor all but 0."""
        a, rate = (p.detach() for p in self.parameters(q))
        first, second = (noise.normal(1, p)[0].to(p) for p in (a, rate))
        near = a.clamp(0.5, 50.0)
        return near * (0.3 * first).exp(), rate * (near / a) * (0.3 * second).exp()

    def sharpened(self, level: Tensor, turn: Tensor, event: tuple[int, ...]) -> tuple[Tensor, ...]:
        """A concentration of 1.5 at level 0, down to a third of it in other latents; means of 1 and of 1/2."""
        uneven = torch.linspace(1, 1 / 3, *event, dtype=level.dtype)
        a = 1.5 * 10 ** (level / 8)[:, None] * uneven
        return a, a * (1 + turn % 2)

    def toy(self, sharpness: float, event: tuple[int, ...]) -> Distribution:
        """Means .5, 1, .5, 1 ... and this standard deviation of z over its mean."""
        mean = 0.5 + 0.5 * (torch.arange(*event) % 2).double()
        a = torch.full_like(mean, sharpness**-2)
        return self.build(a[None], (a / mean)[None])

    def extremes(self, *values: Tensor) -> dict[str, tuple[Tensor, ...]]:
        """From all but 0 to all but fixed, and far from 1."""
        a, rate = values
        return {f"concentration {c:g}": (torch.full_like(a, c), rate / a * r) for c, r in ((1e-2, 20), (1e6, 1e5))}
