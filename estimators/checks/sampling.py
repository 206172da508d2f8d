"""Draws of an estimator on a grid, and their sums."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor
from torch.distributions import Distribution, Independent

from estimators.base import Estimate, Estimator
from estimators.call import trusted
from estimators.checks import bernstein
from estimators.checks.grid import DOUBLE, Grid
from estimators.checks.noise import Forced, Watch, count_of
from estimators.contract import Broken, checked
from estimators.distributions import event_shape, from_parameters, row_shape
from estimators.objective import CountedObjective

LOOKS = (2**12, 2**14, 2**16, 2**18)
"""Draws a row after which the rows are looked at."""
TARGETS = (0.05, 0.05, 0.2, 0.2)
"""Bias relative to the gradient that a row must be able to show to be done at that look."""
AT_ONCE = 2**19
"""Latents in flight at once, which bounds memory."""
PRIMES = (16001, 8009, 4001, 2003, 1009, 499, 211, 101, 53)
"""Draws at once: a size that no other dimension has, by which the rows of an estimator's noise are recognised."""
RARE_EVENTS = 25
"""Effective number of a latent's rare outcomes that f must have met; with fewer, sampling cannot tell."""

CAPTURED = 0.7
"""Share of a latent's rare outcomes, by weight, that must be met: else they come by noise that was not forced."""


def call(
    estimator: Estimator,
    family: str,
    values: Sequence[Tensor],
    f: Callable[..., Tensor],
    generator: Generator | None,
    context: Tensor | None = None,
) -> Estimate:
    """The estimate for a q with these parameters, held against the form that the contract asks for.

    Raises:
        Broken: it raises, or returns something of another form.
    """
    q = from_parameters(family, *values)
    given, objective = q, f
    if not row_shape(q) and len(event_shape(q)) == 2:  # [L, C] would be read as L rows of one latent
        given = Independent(q, 1, validate_args=False)

        def objective(z: Tensor, q: Distribution, /, *more: Any) -> Tensor:
            assert isinstance(q, Independent)
            return f(z, q.base_dist, *more)

    try:
        with trusted(finite=False):
            estimate = estimator(given, objective, generator=generator, context=context)
    except Exception as error:  # foreign code: whatever it raises is the finding
        reason = " ".join(str(error).split())[:300]
        raise Broken(f"forward raises {type(error).__name__} for rows {list(row_shape(q))}: {reason}") from error
    return checked(estimate, q)


def gradients(surrogate: Tensor, leaves: Sequence[Tensor]) -> tuple[Tensor | None, ...]:
    """Gradients of the surrogate's sum, None for a leaf that it does not reach.

    Raises:
        Broken: it has no graph at all.
    """
    if not surrogate.requires_grad:
        raise Broken("the surrogate has no gradient at all: it is detached, or made under no_grad")
    try:
        return torch.autograd.grad(surrogate.sum(), leaves, allow_unused=True)
    except RuntimeError as error:
        raise Broken(f"the surrogate cannot be differentiated: {' '.join(str(error).split())[:200]}") from error


@dataclass
class Tally:
    """Running sums of weighted deviations from the exact answer, a row of the grid each.

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

    def __post_init__(self) -> None:
        rows, width = self.grid.exact.shape
        self.count = torch.zeros(rows, dtype=DOUBLE)
        self.total, self.squares, self.largest = (torch.zeros(rows, width + 1, dtype=DOUBLE) for _ in range(3))
        self.products = torch.zeros(rows, width - 2, width - 2, dtype=DOUBLE)
        self.mass, self.mass_squares = (torch.zeros(self.grid.shift.shape, dtype=DOUBLE) for _ in range(2))
        self.slots = torch.zeros(rows, dtype=DOUBLE)

    def add(self, rows: Sequence[int], found: "Deviations") -> None:
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

    @property
    def width(self) -> int:
        """P, the number of coordinates of the gradient."""
        return self.products.shape[-1]

    @property
    def mean(self) -> Tensor:
        """[B, K]."""
        return self.total / self.count[:, None]

    @property
    def variance(self) -> Tensor:
        """[B, K], of one draw."""
        n = self.count[:, None]
        return ((self.squares - self.total.square() / n) / (n - 1)).clamp_min(0)

    @property
    def error(self) -> Tensor:
        """[B, K], standard error of the mean."""
        return (self.variance / self.count[:, None]).sqrt()

    @property
    def norm(self) -> Tensor:
        """[B], length of the exact gradient; for a constant objective, the spread of the estimate."""
        exact = self.grid.exact[:, : self.width].norm(dim=1)
        typical = self.variance[:, : self.width].sum(1).sqrt().clamp_min(1e-6)
        return torch.where(self.constant, typical, exact)

    @property
    def constant(self) -> Tensor:
        """[B], whether the row's objective is constant."""
        return torch.tensor([row.objective == "constant" for row in self.grid.rows])

    @property
    def rare(self) -> Tensor:
        """[B], whether f has met too few of a latent's rare outcomes for a test: their noise could not be forced."""
        if not bool((self.grid.shift > 0).any()):
            return torch.zeros_like(self.constant)
        missed = self.mass < CAPTURED * self.grid.rarity * self.slots[:, None]
        # Few heavy weights among many light ones count as few: the noise was forced, but not where it decides.
        effective = self.mass.square() / self.mass_squares.clamp_min(1e-300)
        unseen = ((self.grid.shift > 0) & ((effective < RARE_EVENTS) | missed)).any(1)
        noisy = (self.largest > self.rounding)[:, :-1].any(1)
        return unseen & noisy

    @property
    def rounding(self) -> Tensor:
        """[B, K], differences that are no evidence: rounding of the costs that a coordinate is made of."""
        eps = torch.finfo(DOUBLE).eps
        tolerance = torch.full_like(self.total, 1e3 * eps * max(1.0, self.size))
        tolerance[:, -1] /= self.grid.exact[:, :-2].norm(dim=1).clamp_min(1e-12)
        return tolerance

    def log_p(self) -> Tensor:
        """[B, K], logarithm of a bound on the p-value of each column's mean being 0."""
        excess = (self.mean.abs() - self.rounding).clamp_min(0)
        return bernstein.log_p(excess, self.count[:, None], self.variance, self.largest)

    def detectable(self, log_alpha: float) -> Tensor:
        """[B, K], the deviation that would have been refuted with 99 % chance at this level."""
        return self.rounding + bernstein.detectable(log_alpha, self.count[:, None], self.variance, self.largest)


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


class Prepared(NamedTuple):
    """An estimator ready to be sampled, its state filled and frozen."""

    estimator: Estimator
    context: Tensor
    """[B, X]."""
    moved: str | None
    """How its own parameters were moved, None if it has none."""


def deviations(
    prepared: Prepared,
    grid: Grid,
    rows: Sequence[int],
    count: int,
    generator: Generator,
    choices: Generator,
    noise: int,
) -> Deviations:
    """Draws of some rows of a grid.

    Args:
        prepared: the estimator.
        grid: the problems.
        rows: which of them.
        count: R.
        generator: of the estimator's noise.
        choices: of what is forced.
        noise: numbers of noise a row takes, 0 to force nothing.

    Raises:
        Broken: what comes back is not finite, or not of the form asked for.
    """
    index = torch.tensor(rows)
    values = [v[index].expand(count, *v[index].shape).clone().requires_grad_() for v in grid.values]
    theta = grid.theta[index].expand(count, len(rows)).clone().requires_grad_()
    shift = grid.shift[index]
    some_rare = (shift > 0).any(1).nonzero()[:, 0]
    watch = Forced(count, shift, noise, choices) if noise and some_rare.numel() else Watch()
    f = grid.f(theta, rows)
    met = torch.zeros(count, *shift.shape, dtype=DOUBLE)  # R x rows x D
    slots = torch.zeros(len(rows), dtype=DOUBLE)

    def noted(z: Tensor, q: Distribution, /) -> Tensor:
        nonlocal slots
        # A point between the values that is the same in all draws, such as the mean, is none of them.
        flat = z.detach().flatten(z.dim() - len(grid.event))  # S x R x rows x N
        drawn = ((flat != flat[:, :1]).any(1) | (flat == flat.round()).all(1)).any(-1)
        slots = slots + count * drawn.sum(0)
        if some_rare.numel():
            part = z.detach().index_select(z.dim() - 1 - len(grid.event), some_rare)
            found = grid.is_rare(part, [rows[i] for i in some_rare.tolist()])
            met[:, some_rare] += found.sum(0)
        return f(z, q)

    counted, context = CountedObjective(noted), prepared.context[index]  # not expanded: draws share their inputs
    with watch:
        estimate = call(prepared.estimator, grid.family, values, counted, generator, context)
    grads = gradients(estimate.surrogate, (*values, theta))
    flat = [
        (torch.zeros_like(leaf) if g is None else g).reshape(count, len(rows), -1)
        for g, leaf in zip(grads, (*values, theta), strict=True)
    ]
    found = torch.cat([*flat, estimate.value.detach()[..., None].to(DOUBLE)], -1)
    if not bool(found.isfinite().all()):
        bad = [grid.rows[rows[int(i)]] for i in (~found.isfinite()).any(-1).any(0).nonzero()[:1]]
        share = float((~found.isfinite()).any(-1).double().mean())
        raise Broken(f"{share:.2%} of the draws are not finite, first on {bad[0].objective} at level {bad[0].level:g}")
    exact = grid.exact[index]
    error = found - exact
    gradient = exact[:, :-2]
    along = (error[..., :-2] * gradient).sum(-1, keepdim=True) / gradient.square().sum(-1).clamp_min(1e-24)[:, None]
    error = torch.cat((error, along * (gradient.norm(dim=1) > 1e-9)[:, None]), -1)
    untouched: list[str] = []
    if isinstance(watch, Forced):
        weight = watch.log_weight.exp()[..., None]
        error, met = error * weight, met * weight
        untouched = watch.untouched
    if not watch.draws:
        untouched = ["a source that torch does not show"]
    return Deviations(error, met, slots, untouched, float(estimate.value.detach().abs().max()))


def noise_of(prepared: Prepared, grid: Grid, generator: Generator) -> tuple[int, int]:
    """Numbers of noise that one row takes, and evaluations of f.

    Raises:
        Broken: see `call`.
    """
    draws, counted = PRIMES[-1], CountedObjective(grid.f(grid.theta))
    with Watch() as watch:
        values = [v.expand(draws, *v.shape).clone().requires_grad_() for v in grid.values]
        call(prepared.estimator, grid.family, values, counted, generator, prepared.context)
    return count_of(watch.draws, (draws, len(grid.rows))), counted.evaluations
