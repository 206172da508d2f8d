"""Latents between 0 and 1: Beta(concentration1, concentration0), independent, [*B, D].

A draw is the first of two Gamma numbers as a share of their sum, computed from logarithms. It is differentiable by
implicit reparameterization (M. Figurnov, S. Mohamed, A. Mnih, 2018, arXiv:1805.08498): dz/da is -(dF/da) / q(z), which
torch has as `torch._dirichlet_grad`, to a thousandth at worst. Near 1 a number z has the digits of 1, as torch's own: a
concentration0 of .05 gives z that are 1 but for rounding, in double precision in every sixth draw.
"""

from typing import cast

import torch
from torch import Tensor
from torch.distributions import Beta as TorchBeta
from torch.distributions import Distribution, Kumaraswamy
from torch.nn.functional import logsigmoid

from estimators.families.base import Reparameterized
from estimators.families.quadrature import TAIL, product, stretched, stretched_fit, stretched_points, stretched_weights
from estimators.families.registry import register_family
from estimators.families.support import least, most
from estimators.noise import Noise


@register_family
class Beta(Reparameterized):
    """Beta latents: log q(z) = (a - 1) log(z) + (b - 1) log(1 - z) - log B(a, b), a being concentration1."""

    name = "beta"
    distribution = TorchBeta
    mistaken = {Kumaraswamy: "write Beta(concentration1, concentration0), which is close to it"}  # noqa: RUF012
    parameter_names = ("concentration1", "concentration0")
    sharpness = "sharpness s, concentrations of sum 3 * 10^(s/8)"
    sweep = "scales"
    certified_events = ((1,), (2,))

    def parameters(self, q: Distribution) -> tuple[Tensor, ...]:
        concentration = cast(TorchBeta, q)._dirichlet.concentration  # as a tensor also where there is one number
        return concentration[..., 0], concentration[..., 1]

    def build(self, *values: Tensor) -> Distribution:
        one, zero = values
        return TorchBeta(one, zero, validate_args=False)

    def from_raw(self, *raw: Tensor) -> Distribution:
        """From the logarithms of both."""
        return self.build(*(x.exp() for x in raw))

    def inside(self, z: Tensor) -> Tensor:
        """Neither 0 nor 1."""
        return z.clamp(least(z.dtype), most(z.dtype))

    def integrable(self, event: tuple[int, ...], nodes: int) -> bool:
        return stretched_fit(nodes, *event)

    @torch.no_grad()
    def sample(self, q: Distribution, samples: int, noise: Noise) -> Tensor:
        return self._drawn(q, samples, noise)[0]

    def _drawn(self, q: Distribution, samples: int, noise: Noise) -> tuple[Tensor, Tensor]:
        """Draws z and what is left of 1, both with their digits near 0."""
        both = torch.stack(self.parameters(q), -1)
        first, second = noise.gamma(samples, both).unbind(-1)
        odds = first - second
        return tuple(self.inside(x.sigmoid().to(both)) for x in (odds, -odds))  # type: ignore[return-value]

    def rsample(self, q: Distribution, samples: int, noise: Noise) -> Tensor:
        """The draw, moved by the implicit gradient in either concentration."""
        values = self.parameters(q)
        a, b = (p.detach() for p in values)
        with torch.no_grad():
            z, rest = self._drawn(q, samples, noise)
            total = (a + b).expand_as(z).contiguous()
            slopes = (
                rest * torch._dirichlet_grad(z, a.expand_as(z).contiguous(), total),
                -z * torch._dirichlet_grad(rest, b.expand_as(z).contiguous(), total),
            )
        return z + slopes[0] * (values[0] - a) + slopes[1] * (values[1] - b)

    def log_prob(self, q: Distribution, z: Tensor) -> Tensor:
        a, b = self.parameters(q)
        return ((a - 1) * z.log() + (b - 1) * (-z).log1p() - _log_beta(a, b)).sum(-1)

    @torch.no_grad()
    def scores(self, q: Distribution, z: Tensor) -> tuple[Tensor, ...]:
        """log(z) and log(1 - z), minus their means."""
        a, b = self.parameters(q)
        of_sum = (a + b).digamma()
        return z.log() - (a.digamma() - of_sum), (-z).log1p() - (b.digamma() - of_sum)

    def kl(self, q: Distribution, p: Distribution) -> Tensor:
        (a, b), (other_a, other_b) = self.parameters(q), self.parameters(p)
        more_a, more_b = a - other_a, b - other_b
        means = more_a * a.digamma() + more_b * b.digamma() - (more_a + more_b) * (a + b).digamma()
        return (_log_beta(other_a, other_b) - _log_beta(a, b) + means).sum(-1)

    def quadrature(self, q: Distribution, nodes: int) -> tuple[Tensor, Tensor]:
        """A product of double-exponential rules in logit z, so that f may have logarithms at both ends."""
        a, b = self.parameters(q)
        y, weights = shares(stretched_points(nodes, a.shape[-1]), a, b)
        return product(self.inside(y.sigmoid()), weights)

    def moderate(self, q: Distribution, noise: Noise) -> tuple[Tensor, ...]:
        """Of about the same means, neither very narrow nor all at the ends."""
        a, b = (p.detach() for p in self.parameters(q))
        near = moderate_factor(a + b, a.new_tensor(2.0))
        return tuple((near * p).clamp_min(0.3) * (0.3 * noise.normal(1, p)[0].to(p)).exp() for p in (a, b))

    def sharpened(self, level: Tensor, turn: Tensor, event: tuple[int, ...]) -> tuple[Tensor, ...]:
        """A sum of 3 at level 0, down to a third of it in other latents; means of .4 and of .7."""
        uneven = torch.linspace(1, 1 / 3, *event, dtype=level.dtype)
        total, mean = 3 * 10 ** (level / 8)[:, None] * uneven, 0.4 + 0.3 * (turn % 2)
        return total * mean, total * (1 - mean)

    def toy(self, sharpness: float, event: tuple[int, ...]) -> Distribution:
        """Means 1/3, 2/3, 1/3, 2/3 ... and concentrations whose sum is 1 / scale^2."""
        mean = (1 + torch.arange(*event) % 2).double() / 3
        return self.build((mean / sharpness**2)[None], ((1 - mean) / sharpness**2)[None])

    def extremes(self, *values: Tensor) -> dict[str, tuple[Tensor, ...]]:
        """From all but 0 or 1 to all but fixed."""
        one, zero = values
        shares = [one / (one + zero), zero / (one + zero)]
        return {f"concentrations of sum {c:g}": tuple(c * share for share in shares) for c in (1e-2, 1e6)}


def moderate_factor(total: Tensor, least_sum: Tensor) -> Tensor:
    """What concentrations of this sum are multiplied by to have a moderate one."""
    return torch.minimum(torch.maximum(total, least_sum), 25 * least_sum) / total


def shares(nodes: int, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Points y = logit z of a Beta(a, b) number z, and their weights: [nodes, ...], differentiable in both."""
    with torch.no_grad():
        curvature = a * b / (a + b)
        side = (2 * TAIL / curvature).sqrt()
        width = curvature.clamp_min(1).rsqrt()
        y, spacing = stretched(nodes, a.log() - b.log(), width, TAIL / a + side, TAIL / b + side)
    return y, stretched_weights(a * logsigmoid(y) + b * logsigmoid(-y) - _log_beta(a, b), spacing)


def _log_beta(a: Tensor, b: Tensor) -> Tensor:
    return a.lgamma() + b.lgamma() - (a + b).lgamma()
