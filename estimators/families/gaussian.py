"""Normal latents: Normal(loc, scale), independent, [*B, D]."""

import math
from typing import cast

import torch
from torch import Tensor
from torch.distributions import Distribution, LogNormal, Normal, StudentT

from estimators.families.base import Projected, Reparameterized
from estimators.families.quadrature import hermite, laguerre, trapezoid, tuples
from estimators.families.registry import register_family
from estimators.noise import Noise

HALF_LOG_2_PI = 0.5 * math.log(2 * math.pi)


@register_family
class Gaussian(Reparameterized, Projected):
    """Normal latents, with loc and scale."""

    name = "gaussian"
    distribution = Normal
    mistaken = {  # noqa: RUF012
        LogNormal: "write Normal(loc, scale), and let f take z.exp()",
        StudentT: "write Normal(loc, scale) for one of lighter tails, or a family of your own (docs/adding.md)",
    }
    parameter_names = ("loc", "scale")
    sharpness = "sharpness s, scale 2 / 10^(s/8)"
    sweep = "scales"
    certified_events = ((1,), (2,), (3,))

    def parameters(self, q: Distribution) -> tuple[Tensor, ...]:
        q = cast(Normal, q)
        return q.loc, q.scale

    def build(self, *values: Tensor) -> Distribution:
        loc, scale = values
        return Normal(loc, scale, validate_args=False)

    def from_raw(self, *raw: Tensor) -> Distribution:
        """From (loc, log variance)."""
        loc, log_variance = raw
        return self.build(loc, (0.5 * log_variance).exp())

    def sample(self, q: Distribution, samples: int, noise: Noise) -> Tensor:
        with torch.no_grad():
            return self.rsample(q, samples, noise)

    def rsample(self, q: Distribution, samples: int, noise: Noise) -> Tensor:
        """Loc plus scale times standard normal noise."""
        loc, scale = self.parameters(q)
        return loc + scale * noise.normal(samples, loc)

    def log_prob(self, q: Distribution, z: Tensor) -> Tensor:
        loc, scale = self.parameters(q)
        return (-0.5 * ((z - loc) / scale).square() - scale.log() - HALF_LOG_2_PI).sum(-1)

    @torch.no_grad()
    def scores(self, q: Distribution, z: Tensor) -> tuple[Tensor, ...]:
        """Of loc and of scale."""
        loc, scale = self.parameters(q)
        standard = (z - loc) / scale
        return standard / scale, (standard.square() - 1) / scale

    def kl(self, q: Distribution, p: Distribution) -> Tensor:
        """torch's own takes no p of other dims."""
        (loc, scale), (other_loc, other_scale) = self.parameters(q), self.parameters(p)
        ratio = (scale / other_scale).square()
        return 0.5 * (ratio - 1 - ratio.log() + ((loc - other_loc) / other_scale).square()).sum(-1)

    def quadrature(self, q: Distribution, nodes: int) -> tuple[Tensor, Tensor]:
        """Product Gauss-Hermite: exact for polynomials of degree below 2 nodes, geometric for other smooth f."""
        loc, scale = self.parameters(q)
        points, weights = (x.to(loc) for x in hermite(nodes))
        size, rows = loc.shape[-1], [1] * (loc.dim() - 1)
        standard = tuples(points, size)  # N x D
        z = loc + scale * standard.reshape(-1, *rows, size)
        return z, tuples(weights, size).prod(-1).reshape(-1, *rows)

    def entropy(self, q: Distribution) -> Tensor:
        return (self.parameters(q)[1].log() + HALF_LOG_2_PI + 0.5).sum(-1)

    def projected(self, q: Distribution, weights: Tensor) -> tuple[Tensor, Tensor]:
        """A combination of Normal numbers is Normal."""
        loc, scale = self.parameters(q)
        points, chances = trapezoid(9.0, 0.04)
        mean = loc @ weights.T  # B x H
        deviation = (scale.square() @ weights.square().T).sqrt()
        return mean[..., None] + deviation[..., None] * points, chances

    def along(self, q: Distribution, direction: Tensor, step: float) -> tuple[Tensor, Tensor, Tensor]:
        """Of the standard noise behind z, f sees its part along the direction, and log q the squared length of all.

        That is the square of the part plus a chi-square number: two dimensions, for any number of latents.
        """
        loc, scale = self.parameters(q)
        part, square, chances = part_and_square(loc.shape[-1], step)
        mean, deviation = loc @ direction, (scale.square() @ direction.square()).sqrt()  # B
        log_q = -0.5 * square - (scale.log() + HALF_LOG_2_PI).sum(-1, keepdim=True)
        return mean[:, None] + deviation[:, None] * part, log_q, chances

    def moderate(self, q: Distribution, noise: Noise) -> tuple[Tensor, ...]:
        """Moved by half a scale or so."""
        loc, scale = (p.detach() for p in self.parameters(q))
        a, b = (noise.normal(1, p)[0] for p in (loc, scale))
        return loc + 0.5 * scale * a, scale * (0.3 * b).exp()

    def sharpened(self, level: Tensor, turn: Tensor, event: tuple[int, ...]) -> tuple[Tensor, ...]:
        """A scale of 2 at level 0, then ten times less every 8 levels; locs of alternating sign."""
        uneven = torch.linspace(1, 1 / 3, event[0], dtype=level.dtype)
        loc = (0.6 + level / 10)[:, None] * (1 - 2 * (turn % 2)) * uneven
        return loc, scale_of(level)[:, None] * uneven

    def toy(self, sharpness: float, event: tuple[int, ...]) -> Distribution:
        """Locs .5, 1, .5, 1 ... and this scale."""
        loc = 0.5 + 0.5 * (torch.arange(event[0]) % 2).double()
        return self.build(loc[None], torch.full_like(loc, sharpness)[None])

    def level_words(self, level: float) -> str:
        return f"scale {float(scale_of(torch.tensor(level))):.2g}"

    def extremes(self, *values: Tensor) -> dict[str, tuple[Tensor, ...]]:
        """Far from 0, and a thousand times narrower and wider than the prior."""
        loc, scale = values
        return {f"scale {s:g}": (20 * loc, torch.full_like(scale, s)) for s in (1e-3, 1e3)}


def scale_of(level: Tensor) -> Tensor:
    """Scale at a level of sharpness."""
    return 2 * 10 ** (-level / 8)


def part_and_square(size: int, step: float) -> tuple[Tensor, Tensor, Tensor]:
    """Points [T] of the part of D normal numbers along a direction, their squared length there, and the chances."""
    points, chances = trapezoid(8.4, step)
    if size == 1:
        return points, points.square(), chances
    rest, share = laguerre(16, (size - 1) / 2 - 1)
    part = points[:, None].expand(-1, len(rest)).reshape(-1)
    square = (points.square()[:, None] + 2 * rest).reshape(-1)
    both = (chances[:, None] * share).reshape(-1)
    kept = both > 1e-13
    return part[kept], square[kept], both[kept]
