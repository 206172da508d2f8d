"""What a certificate measures on: a grid of small problems whose exact gradient is known.

One batch holds a row for each objective and each sharpness of q, so that a whole grid is one call of an estimator. All
objectives are sums of ridge functions, f(z) = theta (sum_h a_h phi(w_h . z + b_h) + c) + e log q(z). Under a Normal q
each ridge sees one Gaussian number, w . z + b, so that E_q[f] is a sum of one-dimensional integrals for any number of
latents; under a discrete q it is enumerated.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution

from estimators.base import Objective
from estimators.checks.ridges import Ridge, ridges
from estimators.distributions import log_prob
from estimators.exact import NODES, expectation, expectation_of_bound
from estimators.families import Enumerated, Family, Projected, family_named
from estimators.families.quadrature import MAX_STATES
from estimators.noise import Noise

LEVELS = (0.0, 1.0, 3.0, 6.0, 15.0)
"""Largest |logit| of a discrete q, down to a third of it in its other latents; for others the family says it."""
MOST_TUPLES = 2**20
"""Tuples of points at which a bound of a continuous q is evaluated."""
STEPS = (0.05, 0.1, 0.15, 0.2, 0.25)
"""Between points of the noise along a direction: the finest that the tuples allow."""
COARSER = 1.25
"""Factor of the steps by which it is seen how exact a bound is."""
STAGGER = (1.0, 1.3, 0.8)
"""Factors of the steps of the numbers in a tuple: equal steps see less exactly what depends on a difference."""
DOUBLE = torch.float64


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
    size: float = 1.0
    """Of the costs, with a sign."""

    @property
    def kind(self) -> Family:
        """The family itself."""
        return family_named(self.family)

    @cached_property
    def objectives(self) -> tuple[Ridge, ...]:
        """The objectives, in the order of the rows."""
        bounded = self.bound == "iwae"
        zeros = [torch.zeros(shape, dtype=DOUBLE) for shape in self.kind.parameter_shapes(self.event)]
        noise = Noise(torch.Generator().manual_seed(0))
        typical = self.kind.sample(self.kind.from_raw(*zeros), 1000, noise).flatten(1)
        tied = bounded and isinstance(self.kind, Projected) and self.samples > 1
        # A tanh that is steep beside q's scale needs hundreds of points a latent to be integrated over.
        steep = 2.0 if self.kind.discrete else 0.5
        return ridges(typical, steep=steep, one_direction=tied, weights_of_a_bound=bounded)

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """The B problems: objective by objective, level by level."""
        return tuple(Row(ridge.name, level) for ridge in self.objectives for level in self.levels)

    @cached_property
    def values(self) -> tuple[Tensor, ...]:
        """q's parameters, see `Family.sharpened`: signs of logits differ between rows, and no two latents agree."""
        count = torch.arange(len(self.rows))[:, None]
        level = torch.tensor([row.level for row in self.rows], dtype=DOUBLE)
        # Every level comes with either sign: what is wrong may be so for one of them alone.
        turn = count // len(self.levels) + count % len(self.levels) + torch.arange(self.event[0])
        return self.kind.sharpened(level, turn, self.event)

    @cached_property
    def constant(self) -> Tensor:
        """[B], whether the row's objective is constant."""
        return torch.tensor([row.objective == "constant" for row in self.rows])

    @cached_property
    def theta(self) -> Tensor:
        """The objectives' own parameter, [B], a factor of the costs."""
        return self.size * torch.linspace(0.8, 1.2, len(self.rows), dtype=DOUBLE)

    @cached_property
    def shift(self) -> Tensor:
        """[B, D] or [B, L], logits by which a latent's noise must be shifted to make its rare outcomes common.

        0 for a latent without rare outcomes.
        """
        return self.kind.noise_shift(*self.values)

    def is_rare(self, z: Tensor, rows: Sequence[int]) -> Tensor:
        """Whether each latent has another value than its likeliest.

        Args:
            z: [..., len(rows), *event].
            rows: of the grid, to which the rows of z belong.

        Returns:
            [..., len(rows), D] or [..., len(rows), L].
        """
        assert isinstance(self.kind, Enumerated)
        return self.kind.is_rare(self.values[0][torch.tensor(rows)], z)

    @cached_property
    def rarity(self) -> Tensor:
        """[B, D] or [B, L], chance that a latent does not have its likeliest value."""
        assert isinstance(self.kind, Enumerated)
        return self.kind.rarity(self.values[0])

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

    @property
    def states(self) -> int | None:
        """Number of joint states of q, None for infinitely many."""
        return self.kind.joint_states(self.event)

    @cached_property
    def _bounded(self) -> bool:
        """Whether the objective is a bound over several draws, whose exact value is a sum over tuples of points."""
        return self.bound == "iwae" and self.samples > 1

    @cached_property
    def has_oracle(self) -> bool:
        """Whether the exact gradient can be had: not for a bound whose tuples of points are too many."""
        if not self._bounded:
            return True
        if self.states is not None:
            return bool(self.states**self.samples <= MAX_STATES // 8)
        if isinstance(self.kind, Projected):
            return bool(self._steps)
        points, _ = self.kind.quadrature(self.kind.build(*self.values), NODES)
        return bool(len(points) ** self.samples <= MAX_STATES)

    def _expectation(self, values: Sequence[Tensor], theta: Tensor, coarser: float = 1.0) -> Tensor:
        """The exact objective [B], differentiable; points of a bound so many times as far apart."""
        q = self.kind.build(*values)
        if not isinstance(self.kind, Projected):
            f = self.f(theta)
            return expectation_of_bound(q, f, self.samples) if self._bounded else expectation(q, f)
        one = partial(self._bound_of, coarser) if self._bounded else self._mean_of
        count = len(self.levels)
        parts = [
            one(self.kind, ridge, [v[i * count : (i + 1) * count] for v in values], theta[i * count : (i + 1) * count])
            for i, ridge in enumerate(self.objectives)
        ]
        return torch.cat(parts)

    @staticmethod
    def _mean_of(kind: Projected, ridge: Ridge, values: Sequence[Tensor], theta: Tensor) -> Tensor:
        """E_q[f] of a ridge sum, by the law of each ridge's argument."""
        q = kind.build(*values)
        points, chances = kind.projected(q, ridge.weights)  # B x H x T
        inner = ridge.shape(points + ridge.shift[:, None]) @ chances
        return theta * (inner @ ridge.amplitude + ridge.offset) - float(ridge.entropy) * kind.entropy(q)

    def _bound_of(
        self, coarser: float, kind: Projected, ridge: Ridge, values: Sequence[Tensor], theta: Tensor
    ) -> Tensor:
        """E[-log mean_k exp(-f(z_k))] where f sees, beside log q, one direction of z only."""
        direction = ridge.weights[0]
        share = ridge.weights @ direction / direction.square().sum()  # H, every ridge's direction is a multiple of it
        costs, each = [], []
        for step in self._steps:
            points, log_q, chances = kind.along(kind.build(*values), direction, coarser * step)  # B x T
            cost = ridge.shape(points[..., None] * share + ridge.shift) @ ridge.amplitude
            cost = theta[:, None] * (cost + ridge.offset)
            costs.append(cost + log_q if ridge.entropy else cost)
            each.append(chances)
        bounds = []
        for own in zip(*costs, strict=True):  # row by row, to bound memory
            total = -own[0]
            for cost in own[1:]:
                total = torch.logaddexp(total[..., None], -cost)  # T x ... x T
            for chances in reversed(each):
                total = total @ chances
            bounds.append(math.log(self.samples) - total)
        return torch.stack(bounds)

    @cached_property
    def _steps(self) -> tuple[float, ...]:
        """Between points of the noise along a direction, for each number of a tuple; none where tuples are too many."""
        assert isinstance(self.kind, Projected)
        q = self.kind.build(*(v[:1] for v in self.values))
        for step in STEPS:
            steps = tuple(step * STAGGER[i % len(STAGGER)] for i in range(self.samples))
            if math.prod(len(self.kind.along(q, self.objectives[0].weights[0], s)[2]) for s in steps) <= MOST_TUPLES:
                return steps
        return ()

    @cached_property
    def exact(self) -> Tensor:
        """[B, P + 2]: the exact gradients of q's parameters and of theta, and the value."""
        return self._answers(1.0)

    @cached_property
    def inexact(self) -> Tensor:
        """[B, P + 2], how exact these are, beyond rounding: a bound of a continuous q is a sum over points."""
        if self._bounded and isinstance(self.kind, Projected):
            return (self._answers(COARSER) - self.exact).abs()
        return torch.zeros_like(self.exact)

    def _answers(self, coarser: float) -> Tensor:
        return _answers(self, self.kind, coarser)


@lru_cache(maxsize=256)
def _answers(grid: Grid, kind: Family, coarser: float) -> Tensor:
    """See `Grid.exact`: many estimators are certified on the same grid, whose bounds take a second each.

    Args:
        grid: the problems.
        kind: the family that its name stands for now.
        coarser: how many times as far apart the points of a bound are.
    """
    leaves = [value.clone().requires_grad_() for value in grid.values]
    theta = grid.theta.clone().requires_grad_()
    value = grid._expectation(leaves, theta, coarser)
    *grads, of_theta = torch.autograd.grad(value.sum(), (*leaves, theta), materialize_grads=True)
    flat = [g.reshape(len(grid.rows), -1) for g in grads]
    return torch.cat([*flat, of_theta[:, None], value.detach()[:, None]], -1)
