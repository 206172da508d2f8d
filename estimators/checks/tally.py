"""What is known of a grid's problems: their means by integration, by Sobol points, or by sums over draws."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from estimators.checks import bernstein
from estimators.checks.grid import DOUBLE, Grid

RARE_EVENTS = 25
"""Effective number of a latent's rare outcomes at which f must have been evaluated, for the mean to be tested."""

CERTAIN = -1e6
"""Stands for the logarithm of a chance of 0, where a proof refutes."""

CAPTURED = 0.7
"""Weighted share of a latent's rare outcomes that must come from forced noise, for the mean to be tested."""


class Deviations(NamedTuple):
    """Draws of some rows, minus what they should be in mean."""

    error: Tensor
    """[R, rows, K], weighted; the columns are those of `Tally`."""
    rare: Tensor
    """[R, rows, D] or [R, rows, L], how often f met a rare outcome of each latent, weighted."""
    slots: Tensor
    """[rows], evaluations of f at draws, over all R."""
    plain: list[str]
    """Sources of noise that could not be forced."""
    size: float
    """Largest |value|."""


def length(grid: Grid, variance: Tensor) -> Tensor:
    """[B], of the exact gradient; where the objective is constant, the standard deviation of the estimate.

    Args:
        grid: the problems.
        variance: of one estimate, [B, K], the columns being those of `Tally`; not a number where it is not known.
    """
    typical = variance[:, :-3].sum(1).nan_to_num(0.0).sqrt().clamp_min(1e-6)
    return torch.where(grid.constant, typical, grid.exact[:, :-2].norm(dim=1))


def scales(grid: Grid, variance: Tensor) -> Tensor:
    """[B, K], what a deviation of each column is a share of; theta's gradient is that of costs of about 1."""
    gradient = length(grid, variance)[:, None].expand(-1, variance.shape[1] - 3)
    of_theta = 1 + grid.exact[:, -2:-1].abs() + variance[:, -3:-2].sqrt()
    of_value = grid.theta.abs()[:, None] + grid.exact[:, -1:].abs() + variance[:, -2:-1].sqrt()
    return torch.cat((gradient, of_theta, of_value, torch.ones_like(of_value)), 1)


@dataclass(frozen=True)
class Known:
    """Means of some rows that were not sampled."""

    rows: Tensor
    """[B], which."""
    mean: Tensor
    """[B, K]."""
    variance: Tensor
    """[B, K], of the estimate."""
    error: Tensor
    """[B, K], half of the mean's interval: of the integral what it may be off by, else a 99 % one of Student's t."""
    limit: Tensor
    """[B, K], the deviation that refutes: infinite where the mean is but bounded."""

    @classmethod
    def nothing(cls, like: Tensor) -> "Known":
        """Of no row; `like` is [B, K]."""
        empty = torch.zeros_like(like)
        return cls(torch.zeros(len(like), dtype=torch.bool), empty, empty, empty, torch.full_like(like, torch.inf))


@dataclass
class Tally:
    """Running sums of weighted deviations from the exact answer, a row of the grid each, and what needs no sums.

    The K = P + 3 columns are the P coordinates of the gradient of q's parameters, theta's gradient, the value, and the
    projection of the gradient's error on the exact gradient, relative to its squared length.
    """

    grid: Grid
    count: Tensor = field(init=False)
    """[B]"""
    total: Tensor = field(init=False)
    """[B, K]"""
    squares: Tensor = field(init=False)
    """[B, K]"""
    largest: Tensor = field(init=False)
    """[B, K]"""
    products: Tensor = field(init=False)
    """[B, P, P], sums of products of the gradient's deviations."""
    mass: Tensor = field(init=False)
    """[B, D] or [B, L], how often f has met a rare outcome of each latent, weighted."""
    mass_squares: Tensor = field(init=False)
    """Sum of the squares of the same."""
    slots: Tensor = field(init=False)
    """[B], evaluations of f at draws."""
    plain: list[str] = field(default_factory=list)
    """Sources of noise that could not be forced."""
    size: float = 0.0
    """Largest |value|, which bounds rounding errors."""
    moved: str | None = None
    """How the estimator's own parameters were moved, None if it has none."""
    proved: Known = field(init=False)
    """Means by integration over the noise."""
    bounded: Known = field(init=False)
    """Means by scrambled Sobol points, which refute nothing."""

    def __post_init__(self) -> None:
        rows, width = self.grid.exact.shape
        self.count = torch.zeros(rows, dtype=DOUBLE)
        self.total, self.squares, self.largest = (torch.zeros(rows, width + 1, dtype=DOUBLE) for _ in range(3))
        self.products = torch.zeros(rows, width - 2, width - 2, dtype=DOUBLE)
        self.mass, self.mass_squares = (torch.zeros(self.grid.shift.shape, dtype=DOUBLE) for _ in range(2))
        self.slots = torch.zeros(rows, dtype=DOUBLE)
        self.proved = self.bounded = Known.nothing(self.total)

    def _known(self, sampled: Tensor, name: str) -> Tensor:
        """What was sampled [B, K], but in rows whose mean is known otherwise."""
        for known in (self.bounded, self.proved):
            sampled = torch.where(known.rows[:, None], getattr(known, name), sampled)
        return sampled

    @property
    def unsampled(self) -> Tensor:
        """[B], whether the row's mean is known without draws."""
        return self.proved.rows | self.bounded.rows

    def add(self, rows: Sequence[int], found: Deviations) -> None:
        """Take in the draws of some rows."""
        index, deviations = torch.tensor(rows), found.error
        self.plain += [source for source in found.plain if source not in self.plain]
        self.size = max(self.size, found.size)
        self.mass[index] += found.rare.sum(0)
        self.mass_squares[index] += found.rare.square().sum(0)
        self.slots[index] += found.slots
        self.count[index] += len(deviations)
        self.total[index] += deviations.sum(0)
        self.squares[index] += deviations.square().sum(0)
        self.largest[index] = torch.maximum(self.largest[index], deviations.abs().amax(0))
        own = deviations[..., : self.width].transpose(0, 1)
        self.products[index] += own.transpose(1, 2) @ own

    def forget(self, rows: Sequence[int]) -> None:
        """Start some rows again."""
        sums = self.count, self.total, self.squares, self.largest, self.products, self.mass, self.mass_squares
        for part in (*sums, self.slots):
            part[torch.tensor(rows)] = 0.0

    @property
    def width(self) -> int:
        """P, the number of coordinates of the gradient."""
        return self.products.shape[-1]

    @property
    def mean(self) -> Tensor:
        """[B, K]."""
        return self._known(self.total / self.count.clamp_min(1)[:, None], "mean")

    @property
    def variance(self) -> Tensor:
        """[B, K], of one draw."""
        n = self.count[:, None].clamp_min(2)
        return self._known(((self.squares - self.total.square() / n) / (n - 1)).clamp_min(0), "variance")

    @property
    def error(self) -> Tensor:
        """[B, K], standard error of the mean; of one that is known without draws, half its interval."""
        return self._known((self.variance / self.count[:, None].clamp_min(1)).sqrt(), "error")

    @property
    def norm(self) -> Tensor:
        """[B], see `length`."""
        return length(self.grid, self.variance)

    @property
    def constant(self) -> Tensor:
        """[B], whether the row's objective is constant."""
        return self.grid.constant

    @property
    def rare(self) -> Tensor:
        """[B], whether f has met too few of a latent's rare outcomes for a test: their noise could not be forced."""
        if not bool((self.grid.shift > 0).any()):
            return torch.zeros_like(self.constant)
        missed = self.mass < CAPTURED * self.grid.rarity * self.slots[:, None]
        # An effective number: a few heavy weights among many light ones count as few. That happens where the noise that
        # was forced does not decide the outcome.
        effective = self.mass.square() / self.mass_squares.clamp_min(1e-300)
        unseen = ((self.grid.shift > 0) & ((effective < RARE_EVENTS) | missed)).any(1)
        noisy = (self.largest > self.rounding)[:, :-1].any(1)
        return unseen & noisy & ~self.unsampled

    @property
    def rounding(self) -> Tensor:
        """[B, K], differences that rounding of the costs can explain, which are no evidence of bias."""
        eps = torch.finfo(DOUBLE).eps
        tolerance = torch.full_like(self.total, 1e3 * eps * max(1.0, self.size))
        tolerance[:, -1] /= self.grid.exact[:, :-2].norm(dim=1).clamp_min(1e-12)
        return tolerance

    def log_p(self) -> Tensor:
        """[B, K], logarithm of a bound on the p-value of each column's mean being 0.

        By a proof it is 0, or `CERTAIN` times what grows with the mean's distance from the limit that it was to keep.
        """
        excess = (self.mean.abs() - self.rounding).clamp_min(0)
        sampled = bernstein.log_p(excess, self.count[:, None], self.variance, self.largest)
        beyond = self.mean.abs() / self._known(torch.ones_like(sampled), "limit")
        certain = torch.where(beyond > 1, CERTAIN * (1 + beyond.log()), 0.0)
        return torch.where(self.unsampled[:, None], certain, sampled)

    def detectable(self, log_alpha: float) -> Tensor:
        """[B, K], the deviation that would have been refuted with 99 % chance; where it is bounded, the bound."""
        seen = bernstein.detectable(log_alpha, self.count[:, None].clamp_min(1), self.variance, self.largest)
        seen = torch.where(
            self.bounded.rows[:, None], self.bounded.mean.abs() + self.bounded.error, seen + self.rounding
        )
        return torch.where(self.proved.rows[:, None], self.proved.limit, seen)
