"""Normal latents that depend on each other: MultivariateNormal(loc, scale_tril), [*B, D] and [*B, D, D].

The covariance is L L^T, L being the lower triangle of scale_tril, whatever is above it: no gradient goes there. Someone
may give covariance_matrix or precision_matrix: torch takes the scale_tril from it, and gradients go through that.
"""

from typing import cast

import torch
from torch import Tensor
from torch.distributions import Distribution, LowRankMultivariateNormal
from torch.distributions import MultivariateNormal as TorchMultivariateNormal

from estimators.families.base import Projected, Reparameterized
from estimators.families.gaussian import HALF_LOG_2_PI, part_and_square, scale_of
from estimators.families.quadrature import hermite, trapezoid, tuples
from estimators.families.registry import register_family
from estimators.noise import Noise, precision


@register_family
class MultivariateNormal(Reparameterized, Projected):
    """Normal latents with a full covariance."""

    name = "multivariate-normal"
    distribution = TorchMultivariateNormal
    mistaken = {  # noqa: RUF012
        LowRankMultivariateNormal: "write MultivariateNormal(q.loc, covariance_matrix=q.covariance_matrix)"
    }
    parameter_names = ("loc", "scale_tril")
    joint = True
    sharpness = "sharpness s, scale 2 / 10^(s/8)"
    sweep = "scales"
    certified_events = ((1,), (2,))

    def parameters(self, q: Distribution) -> tuple[Tensor, ...]:
        q = cast(TorchMultivariateNormal, q)
        own = q._unbroadcasted_scale_tril  # torch's scale_tril is another view at every look
        full = (*q.loc.shape, q.loc.shape[-1])
        return q.loc, own if own.shape == full else own.expand(full)

    def build(self, *values: Tensor) -> Distribution:
        loc, scale_tril = values
        return TorchMultivariateNormal(loc, scale_tril=scale_tril, validate_args=False)

    def from_raw(self, *raw: Tensor) -> Distribution:
        """From loc and numbers whose diagonal is that of scale_tril as log variances."""
        loc, numbers = raw
        scales = (0.5 * numbers.diagonal(dim1=-2, dim2=-1)).exp()
        return self.build(loc, numbers.tril(-1) + torch.diag_embed(scales))

    def parameter_shapes(self, event: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
        return tuple(event), (*event, *event)

    def sample(self, q: Distribution, samples: int, noise: Noise) -> Tensor:
        with torch.no_grad():
            return self.rsample(q, samples, noise)

    def rsample(self, q: Distribution, samples: int, noise: Noise) -> Tensor:
        """Loc plus L times standard normal noise."""
        loc, scale_tril = self.parameters(q)
        return loc + _times(scale_tril.tril(), noise.normal(samples, loc))

    def log_prob(self, q: Distribution, z: Tensor) -> Tensor:
        standard, log_scale = self._whitened(q, z)
        return (-0.5 * standard.square() - log_scale - HALF_LOG_2_PI).sum(-1).to(z.dtype)

    def _whitened(self, q: Distribution, z: Tensor) -> tuple[Tensor, Tensor]:
        """The noise that leads to z, and the logarithms of L's diagonal, in single precision at least."""
        loc, scale_tril = (p.to(precision(p)) for p in self.parameters(q))
        return _solved(scale_tril, z.to(loc.dtype) - loc), _log_diagonal(scale_tril)

    @torch.no_grad()
    def scores(self, q: Distribution, z: Tensor) -> tuple[Tensor, ...]:
        """Of loc, and of scale_tril, 0 above its diagonal."""
        _, scale_tril = self.parameters(q)
        standard, _ = self._whitened(q, z)
        of_loc = _solved(scale_tril, standard, transposed=True)
        inverse = torch.diag_embed(scale_tril.diagonal(dim1=-2, dim2=-1).reciprocal())
        return of_loc, (of_loc[..., :, None] * standard[..., None, :]).tril() - inverse

    def kl(self, q: Distribution, p: Distribution) -> Tensor:
        (loc, own), (other_loc, other) = self.parameters(q), self.parameters(p)
        ratio = torch.linalg.solve_triangular(other.tril(), own.tril(), upper=False)  # broadcasts
        apart = _solved(other, loc - other_loc)
        log_ratio = _log_diagonal(own) - _log_diagonal(other)
        # Columns of the ratio sum up to its squared length.
        divergence: Tensor = 0.5 * (ratio.square().sum(-2) + apart.square() - 1).sum(-1) - log_ratio.sum(-1)
        return divergence

    def quadrature(self, q: Distribution, nodes: int) -> tuple[Tensor, Tensor]:
        """Product Gauss-Hermite in the noise."""
        loc, scale_tril = self.parameters(q)
        points, weights = (x.to(loc) for x in hermite(nodes))
        size, rows = loc.shape[-1], [1] * (loc.dim() - 1)
        standard = tuples(points, size).reshape(-1, *rows, size)
        return loc + _times(scale_tril.tril(), standard), tuples(weights, size).prod(-1).reshape(-1, *rows)

    def entropy(self, q: Distribution) -> Tensor:
        return (_log_diagonal(self.parameters(q)[1]) + HALF_LOG_2_PI + 0.5).sum(-1)

    def projected(self, q: Distribution, weights: Tensor) -> tuple[Tensor, Tensor]:
        """A combination of Normal numbers is Normal."""
        loc, scale_tril = self.parameters(q)
        points, chances = trapezoid(9.0, 0.04)
        deviation = (weights @ scale_tril.tril()).norm(dim=-1)  # B x H
        return (loc @ weights.T)[..., None] + deviation[..., None] * points, chances

    def along(self, q: Distribution, direction: Tensor, step: float) -> tuple[Tensor, Tensor, Tensor]:
        """As of independent Normal latents: the noise has no direction of its own."""
        loc, scale_tril = self.parameters(q)
        part, square, chances = part_and_square(loc.shape[-1], step)
        mean, deviation = loc @ direction, (direction @ scale_tril.tril()).norm(dim=-1)  # B
        log_q = -0.5 * square - (_log_diagonal(scale_tril) + HALF_LOG_2_PI).sum(-1, keepdim=True)
        return mean[:, None] + deviation[:, None] * part, log_q, chances

    def moderate(self, q: Distribution, noise: Noise) -> tuple[Tensor, ...]:
        """Moved by half a scale or so."""
        loc, scale_tril = (p.detach() for p in self.parameters(q))
        a, b = (noise.normal(1, loc)[0].to(loc) for _ in range(2))
        return loc + 0.5 * _times(scale_tril.tril(), a), scale_tril.tril() * (0.3 * b).exp()[..., None, :]

    def sharpened(self, level: Tensor, turn: Tensor, event: tuple[int, ...]) -> tuple[Tensor, ...]:
        """Loc and scales as of independent Normal latents, and correlations of either sign."""
        uneven = torch.linspace(1, 1 / 3, *event, dtype=level.dtype)
        sign = 1 - 2 * (turn % 2)
        loc = (0.6 + level / 10)[:, None] * sign * uneven
        return loc, (scale_of(level)[:, None] * uneven)[..., None] * _mixing(sign.to(level), 0.6)

    def toy(self, sharpness: float, event: tuple[int, ...]) -> Distribution:
        """Locs .5, 1, .5, 1 ..., this standard deviation of each latent's own noise, half as much of each before it."""
        loc = 0.5 + 0.5 * (torch.arange(*event) % 2).double()
        return self.build(loc[None], sharpness * _mixing(torch.ones_like(loc), 0.5)[None])

    def level_words(self, level: float) -> str:
        return f"scale {float(scale_of(torch.tensor(level))):.2g}"

    def extremes(self, *values: Tensor) -> dict[str, tuple[Tensor, ...]]:
        """Far from 0, and a thousand times narrower and wider than the prior."""
        loc, scale_tril = values
        shape = scale_tril / scale_tril[..., :1, :1]
        return {f"scale {s:g}": (20 * loc, s * shape) for s in (1e-3, 1e3)}


def _mixing(sign: Tensor, size: float) -> Tensor:
    """A lower triangle with a diagonal of 1, whose other numbers have this size and their column's sign."""
    square = torch.ones_like(sign)[..., None] * sign[..., None, :]
    return size * square.tril(-1) + torch.diag_embed(torch.ones_like(sign))


def _times(lower: Tensor, x: Tensor) -> Tensor:
    """L x, for x [..., D]."""
    return (lower @ x.to(lower.dtype)[..., None])[..., 0]


def _solved(scale_tril: Tensor, x: Tensor, *, transposed: bool = False) -> Tensor:
    """L^-1 x, or that of the transposed, for x [..., D]."""
    lower = scale_tril.tril()
    lower = lower.mT if transposed else lower
    solved: Tensor = torch.linalg.solve_triangular(lower, x[..., None], upper=transposed)
    return solved[..., 0]


def _log_diagonal(scale_tril: Tensor) -> Tensor:
    return scale_tril.diagonal(dim1=-2, dim2=-1).log()
