"""What a certificate measures on: a grid of small problems whose exact gradient is known.

One batch holds a row for each objective and each sharpness of q, so that a whole grid is one call of an estimator. All
objectives are sums of ridge functions, f(z) = theta (sum_h a_h phi(w_h . z + b_h) + c) + e log q(z). Under a Normal q
each ridge sees one Gaussian number, w . z + b, so that E_q[f] is a sum of one-dimensional integrals for any number of
latents; under a discrete q it is enumerated.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution

from estimators.base import Objective
from estimators.distributions import from_parameters, log_prob, sample
from estimators.exact import expectation, expectation_of_bound
from estimators.registry import MAX_STATES

LEVELS = (0.0, 1.0, 3.0, 6.0, 15.0)
"""Largest |logit| of a discrete q, down to a third of it in its other latents; for a Gaussian, see `scale_of`."""
EVENTS: dict[str, tuple[tuple[int, ...], ...]] = {
    "gaussian": ((1,), (3,), (6,)),
    "bernoulli": ((1,), (3,), (6,)),
    "categorical": ((1, 3), (2, 4), (3, 2)),
}
STANDARD = {"gaussian": (0.0, 1.0), "bernoulli": (0.0,), "categorical": (0.0,)}
"""Parameters of the q under which every objective has mean 0 and standard deviation 1."""
CONSTANT = 3.0
DOUBLE = torch.float64


class Ridge(NamedTuple):
    """An objective: theta (sum_h amplitude_h shape(weights_h . z + shift_h) + offset), plus log q(z) if it says so."""

    name: str
    weights: Tensor
    """[H, N], N being the numbers in an event."""
    shift: Tensor
    """[H]."""
    amplitude: Tensor
    """[H]."""
    shape: Callable[[Tensor], Tensor]
    offset: float = 0.0
    entropy: bool = False

    def __call__(self, y: Tensor) -> Tensor:
        """The ridge sum at y [..., N], without theta and log q: [...]."""
        projected = y @ self.weights.T.to(y) + self.shift.to(y)
        return self.shape(projected) @ self.amplitude.to(y) + self.offset

    def standardised(self, y: Tensor) -> "Ridge":
        """Scaled and moved to mean 0 and standard deviation 1 over the points y [n, N], so that signals are strong."""
        cost = self(y)
        scale = cost.std()
        return self._replace(amplitude=self.amplitude / scale, offset=float(-cost.mean() / scale))


def _cube(x: Tensor) -> Tensor:
    return x.pow(3)


def ridges(typical: Tensor, *, one_direction: bool = False, weights_of_a_bound: bool = False) -> tuple[Ridge, ...]:
    """The objectives: constant, quadratic, cubic, coupled, mlp and entropy.

    Args:
        typical: [n, N], points over which each is to have mean 0 and standard deviation 1.
        one_direction: make every ridge sum a function of one fixed combination of the latents.
        weights_of_a_bound: all but the constant hold log q, so that exp(-f) is a ratio to q's density, as the weights
            of a bound are; estimators of bounds may rely on it.
    """
    size = typical.shape[-1]
    generator = torch.Generator().manual_seed(size)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=DOUBLE)

    def weights(rows: int) -> Tensor:
        """[rows, N], each row of length about one."""
        directions = draw(1, size).expand(rows, size) * draw(rows, 1).sign() if one_direction else draw(rows, size)
        return directions / math.sqrt(size)

    separable = weights(size) if one_direction else torch.eye(size, dtype=DOUBLE)
    uneven = 0.5 + torch.arange(size, dtype=DOUBLE) / size  # no two latents matter equally
    signs = torch.tensor([1.0, -0.7, 0.5], dtype=DOUBLE)
    chosen = [
        Ridge("quadratic", separable, draw(size).clamp(-1, 1) - 0.45, uneven, torch.square),
        Ridge("cubic", weights(3), draw(3) / 2, signs, _cube),
        Ridge("coupled", 1.5 * weights(3), draw(3) / 2, signs, torch.square),
        Ridge("mlp", 2 * weights(6), draw(6), draw(6), torch.tanh),
        Ridge("entropy", 2 * weights(6), draw(6), draw(6), torch.tanh, entropy=True),
    ]
    if weights_of_a_bound:
        chosen = [ridge._replace(entropy=True) for ridge in chosen]
    nothing = torch.zeros(1, dtype=DOUBLE)
    constant = Ridge("constant", weights(1), nothing, nothing, torch.square, offset=CONSTANT)
    return constant, *(ridge.standardised(typical) for ridge in chosen)


def scale_of(level: Tensor) -> Tensor:
    """Scale of a Gaussian at a level of sharpness: 2 at 0, then ten times less every 8 levels."""
    return 2 * 10 ** (-level / 8)


def _line(reach: float, step: float) -> tuple[Tensor, Tensor]:
    """Points and weights of the trapezoidal rule under a standard normal: geometric convergence for analytic f."""
    points = torch.arange(-reach, reach + step / 2, step, dtype=DOUBLE)
    return points, torch.exp(-0.5 * points.square()) * (step / math.sqrt(2 * math.pi))


def _laguerre(nodes: int, alpha: float) -> tuple[Tensor, Tensor]:
    """Nodes and weights for a Gamma(alpha + 1) number: Golub and Welsch, as for Gauss-Hermite."""
    i = torch.arange(nodes, dtype=DOUBLE)
    off = (i[1:] * (i[1:] + alpha)).sqrt()
    values, vectors = torch.linalg.eigh(torch.diag(2 * i + 1 + alpha) + torch.diag(off, 1) + torch.diag(off, -1))
    return values, vectors[0].square()


class Row(NamedTuple):
    """One problem of a grid."""

    objective: str
    level: float


@dataclass(frozen=True)
class Grid:
    """All objectives at all levels, for one event shape and one number of samples, in double precision."""

    family: str
    event: tuple[int, ...]
    samples: int
    bound: str = "elbo"
    levels: tuple[float, ...] = LEVELS

    @cached_property
    def objectives(self) -> tuple[Ridge, ...]:
        """The objectives, in the order of the rows."""
        size = math.prod(self.event)
        bounded = self.bound == "iwae"
        shape = self.event if self.family == "categorical" else (size,)
        q = from_parameters(self.family, *[torch.full(shape, v, dtype=DOUBLE) for v in STANDARD[self.family]])
        typical = sample(q, 1000, torch.Generator().manual_seed(0)).flatten(1)
        tied = bounded and self.family == "gaussian" and self.samples > 1
        return ridges(typical, one_direction=tied, weights_of_a_bound=bounded)

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """The B problems: objective by objective, level by level."""
        return tuple(Row(ridge.name, level) for ridge in self.objectives for level in self.levels)

    @cached_property
    def values(self) -> tuple[Tensor, ...]:
        """q's parameters, each [B, *event]; the signs of the logits differ between rows, and no two latents agree."""
        count, size = len(self.rows), self.event[0]
        level = torch.tensor([row.level for row in self.rows], dtype=DOUBLE)
        uneven = torch.linspace(1, 1 / 3, size, dtype=DOUBLE)
        turn = torch.arange(count)[:, None] // len(self.levels) + torch.arange(count)[:, None] + torch.arange(size)
        if self.family == "gaussian":
            loc = (0.6 + level / 10)[:, None] * (1 - 2 * (turn % 2)) * uneven
            return loc, scale_of(level)[:, None] * uneven
        if self.family == "bernoulli":
            return (level[:, None] * uneven * (1 - 2 * (turn % 2)),)
        favoured = torch.nn.functional.one_hot(turn % self.event[1], self.event[1]).double()
        # No two categories are equally likely, but at level 0, and their order is not that of their numbers.
        others = -torch.tensor([0.4, 0.1, 0.7, 0.2], dtype=DOUBLE)[: self.event[1]]
        others = others * level.clamp_max(1)[:, None, None] * (1 - favoured)
        return (level[:, None, None] * uneven[:, None] * favoured + others,)

    @cached_property
    def theta(self) -> Tensor:
        """The objectives' own parameter, [B]."""
        return torch.linspace(0.8, 1.2, len(self.rows), dtype=DOUBLE)

    @cached_property
    def shift(self) -> Tensor:
        """[B, D] or [B, L], logits by which a latent's noise must be shifted to make its rare outcomes common.

        0 for a latent without rare outcomes.
        """
        (*_, last) = self.values
        if self.family == "gaussian":
            return torch.zeros_like(last)
        gap = last.abs() if self.family == "bernoulli" else last.amax(-1) - last.amin(-1)
        return torch.where(gap > 3, gap, 0.0)

    def is_rare(self, z: Tensor, rows: Sequence[int]) -> Tensor:
        """Whether each latent has another value than its likeliest.

        Args:
            z: [..., len(rows), *event].
            rows: of the grid, to which the rows of z belong.

        Returns:
            [..., len(rows), D] or [..., len(rows), L].
        """
        logits = self.values[0][torch.tensor(rows)]
        if self.family == "bernoulli":
            return (z > 0.5) != (logits > 0)
        return z.argmax(-1) != logits.argmax(-1)

    @cached_property
    def rarity(self) -> Tensor:
        """[B, D] or [B, L], chance that a latent does not have its likeliest value."""
        (logits,) = self.values
        if self.family == "bernoulli":
            return torch.sigmoid(-logits.abs())
        rest = (logits - logits.amax(-1, keepdim=True)).exp().sum(-1) - 1  # the likeliest one's share is the 1
        return rest / (1 + rest)

    def f(self, theta: Tensor, rows: Sequence[int] | None = None) -> Objective:
        """The objective of a batch of rows.

        Args:
            theta: [..., B].
            rows: the B rows of the grid that the batch holds, all by default; objective by objective, in the order of
                `objectives`, as they lie in the grid. A row may come more than once.
        """
        chosen = list(range(len(self.rows))) if rows is None else list(rows)
        spans, start = [], 0
        for ridge in self.objectives:
            count = sum(self.rows[row].objective == ridge.name for row in chosen)
            if count:
                spans.append((ridge, slice(start, start + count)))
            start += count
        entropy = torch.tensor([float(ridge.entropy) for ridge, span in spans for _ in range(span.stop - span.start)])
        dims = len(self.event)

        def objective(z: Tensor, q: Distribution, /) -> Tensor:
            y = z.flatten(-dims) if dims > 1 else z
            cost = theta.to(y) * torch.cat([ridge(y[..., span, :]) for ridge, span in spans], -1)
            return cost + entropy.to(y) * log_prob(q, z) if bool(entropy.any()) else cost

        return objective

    @cached_property
    def has_oracle(self) -> bool:
        """Whether the exact gradient can be had: not for a bound whose tuples are too many."""
        if self.bound == "elbo" or self.samples == 1:
            return True
        if self.family == "gaussian":
            return self.samples == 2 or (self.samples == 3 and self.event == (1,))
        return bool(self.states**self.samples <= MAX_STATES // 8)

    @property
    def states(self) -> int:
        """Number of joint states of a discrete q."""
        return 2 ** self.event[0] if self.family == "bernoulli" else int(self.event[1] ** self.event[0])

    def _expectation(self, values: Sequence[Tensor], theta: Tensor) -> Tensor:
        """The exact objective [B], differentiable."""
        q = from_parameters(self.family, *values)
        bounded = self.bound == "iwae" and self.samples > 1
        if self.family != "gaussian":
            f = self.f(theta)
            return expectation_of_bound(q, f, self.samples) if bounded else expectation(q, f)
        loc, scale = values
        parts = []
        for index, ridge in enumerate(self.objectives):
            span = slice(index * len(self.levels), (index + 1) * len(self.levels))
            one = self._bound_of if bounded else self._mean_of
            parts.append(one(ridge, loc[span], scale[span], theta[span]))
        return torch.cat(parts)

    @staticmethod
    def _mean_of(ridge: Ridge, loc: Tensor, scale: Tensor, theta: Tensor) -> Tensor:
        """E_q[f] of a Normal q, ridge by ridge: the argument of each is Normal."""
        points, weight = _line(9.0, 0.04)
        mean = loc @ ridge.weights.T + ridge.shift  # B x H
        spread = (scale.square() @ ridge.weights.square().T).sqrt()
        inner = ridge.shape(mean[..., None] + spread[..., None] * points) @ weight
        entropy = (scale.log() + 0.5 * math.log(2 * math.pi * math.e)).sum(-1)
        return theta * (inner @ ridge.amplitude + ridge.offset) - float(ridge.entropy) * entropy

    def _bound_of(self, ridge: Ridge, loc: Tensor, scale: Tensor, theta: Tensor) -> Tensor:
        """E[-log mean_k exp(-f(z_k))] of a Normal q where f sees, beside log q, one direction of z only.

        Of the standard noise behind z, f depends on its part a along that direction and on the squared length of the
        whole, which is a^2 plus a chi-square number: two dimensions a sample, for any number of latents.
        """
        along, square, weight = self._noise_of_a_sample()
        direction = ridge.weights[0]
        mean, spread = loc @ direction, (scale.square() @ direction.square()).sqrt()  # B
        projected = mean[:, None] + spread[:, None] * along  # B x T, direction . z
        share = ridge.weights @ direction / direction.square().sum()  # H, every ridge's direction is a multiple of it
        cost = ridge.shape(projected[..., None] * share + ridge.shift) @ ridge.amplitude
        cost = theta[:, None] * (cost + ridge.offset)
        if ridge.entropy:
            log_q = -0.5 * square - (scale.log() + 0.5 * math.log(2 * math.pi)).sum(-1, keepdim=True)
            cost = cost + log_q
        bounds = []
        for log_weight in -cost:  # row by row, to bound memory
            total = log_weight
            for _ in range(self.samples - 1):
                total = torch.logaddexp(total[..., None], log_weight)  # T x ... x T
            for _ in range(self.samples):
                total = total @ weight
            bounds.append(math.log(self.samples) - total)
        return torch.stack(bounds)

    def _noise_of_a_sample(self) -> tuple[Tensor, Tensor, Tensor]:
        """Points [T] of the noise along a direction, of the squared length of all noise, and their weights."""
        points, weight = _line(8.4, 0.1 if self.samples == 2 and self.event == (1,) else 0.25)
        if self.event == (1,):
            return points, points.square(), weight
        rest, share = _laguerre(16, (self.event[0] - 1) / 2 - 1)
        along = points[:, None].expand(-1, len(rest)).reshape(-1)
        square = (points.square()[:, None] + 2 * rest).reshape(-1)
        weights = (weight[:, None] * share).reshape(-1)
        kept = weights > 1e-13
        return along[kept], square[kept], weights[kept]

    @cached_property
    def exact(self) -> Tensor:
        """[B, P + 2]: the exact gradients of q's parameters and of theta, and the value."""
        leaves = [value.clone().requires_grad_() for value in self.values]
        theta = self.theta.clone().requires_grad_()
        value = self._expectation(leaves, theta)
        *grads, of_theta = torch.autograd.grad(value.sum(), (*leaves, theta), materialize_grads=True)
        flat = [g.reshape(len(self.rows), -1) for g in grads]
        return torch.cat([*flat, of_theta[:, None], value.detach()[:, None]], -1)
