"""Which problems of a grid are proved, by integrating over the noise, and which bounded, by Sobol points over it."""

from dataclasses import replace

import torch
from torch import Tensor

from estimators.checks.grid import Grid
from estimators.checks.integrand import GridIntegrand
from estimators.checks.sampling import Prepared
from estimators.checks.tally import Known, Tally, length, scales
from estimators.integration import NotIntegrable, integrate
from estimators.integration.scrambled import REPLICATES, Points, student
from estimators.integration.structure import Shape

PROVED = 1e-8
"""A mean within this share of the exact gradient's length of it is proved to be the exact gradient."""
TOLERATED = 1e-6
"""An integral that is known less exactly than to this share of that length proves nothing."""
LEAST_NUMBERS, MOST_NUMBERS, NUMBERS_A_DRAW = 1e5, 3e7, 100
"""Of noise, in a product over a problem's noise: so many for each draw that sampling might take, between two ends."""
SAMPLED = 5
"""How many times what a product may take the Sobol points of a grid may take, within the same end."""
TARGET = 0.04
"""Share of the exact gradient's length that a bound is to reach."""
LOG_LEVEL = -6.908
"""Of a bound: Student's t at 99.9 %, to be safe of it at 99 %: replicates' laws are skewed."""


def decided(
    prepared: Prepared, grid: Grid, log_alpha: float, seed: int, draws: int, *, confirm: bool = False
) -> tuple[Known, Known]:
    """Means that are proved, or refuted, by integration, and those that are bounded; other rows must be sampled.

    Args:
        prepared: the estimator.
        grid: the problems.
        log_alpha: level at which a bounded mean that is not 0 is suspicious, and must be sampled.
        seed: of random places and of the scrambling.
        draws: of a problem at most, on which it depends how large products and sets of points may be.
        confirm: integrate what refutes again, seen from other random places; it must be the same.
    """
    integrand = GridIntegrand(prepared, grid, torch.arange(len(grid.rows)))
    nothing = Known.nothing(Tally(grid).total)
    most = _most(draws)
    found, shape = integrate(integrand, seed=seed, most=most)
    if shape is None:
        return nothing, nothing
    known = found.tolerance[:, :-3].norm(dim=1) + grid.inexact[:, :-2].norm(dim=1)
    exact = known <= TOLERATED * length(grid, found.variance)
    rows = found.found & exact
    proved = nothing
    if bool(rows.any()):
        mean, variance, tolerance = (
            torch.where(rows[:, None], part, 0.0) for part in (found.mean, found.variance, found.tolerance)
        )
        tolerance = tolerance + torch.cat((grid.inexact, grid.inexact[:, -1:]), 1)
        limit = 4 * tolerance + PROVED * scales(grid, variance) + rounding(grid, variance)
        proved = Known(rows, mean, variance, tolerance, torch.where(rows[:, None], limit, torch.inf))
        beyond = rows & (mean.abs() > limit).any(1)
        if confirm and bool(beyond.any()):
            again = integrate(GridIntegrand(prepared, grid, beyond.nonzero()[:, 0]), seed=seed + 1, most=most).moments
            same = (again.mean - mean[beyond]).abs() <= limit[
                beyond
            ] + 4 * again.tolerance  # not where nothing is found
            rows = rows.clone()
            rows[beyond] = same.all(1)
            proved = replace(proved, rows=rows, limit=torch.where(rows[:, None], limit, torch.inf))
    if bool(rows.all()):
        return proved, nothing
    try:
        return proved, _bounded(shape, grid, ~rows, nothing, log_alpha, seed, draws)
    except NotIntegrable:
        return proved, nothing


def _most(draws: int) -> float:
    """Numbers of noise that a product may take."""
    return min(MOST_NUMBERS, max(LEAST_NUMBERS, NUMBERS_A_DRAW * draws))


def rounding(grid: Grid, variance: Tensor) -> Tensor:
    """[B, 1], of the exact answers, which sum up costs of both signs."""
    eps = torch.finfo(variance.dtype).eps
    return 256 * eps * (grid.exact[:, -1:].abs() + variance[:, -2:-1].sqrt())


def _bounded(
    shape: Shape, grid: Grid, wanted: Tensor, nothing: Known, log_alpha: float, seed: int, draws: int
) -> Known:
    """Bounds of the wanted rows [B], but of those whose mean may well not be 0."""
    mean, variance, error = (part.clone() for part in (nothing.mean, nothing.variance, nothing.error))
    rows = wanted.nonzero()[:, 0]
    most = min(MOST_NUMBERS, SAMPLED * _most(draws))
    points = Points(shape, rows, seed, most)
    for count in points.counts:
        if not len(rows) or (count > points.counts[0] and points.numbers(count) * len(rows) > most):
            break
        found = points.replicated(rows, count)
        mean[rows], variance[rows], error[rows] = found.mean, found.variance, found.error
        bound = found.mean.abs() + student(LOG_LEVEL, REPLICATES - 1) * found.error
        wide = bound[:, :-3].norm(dim=1) > TARGET * length(grid, variance)[rows]
        rows = rows[wide | _suspicious(mean, error, scales(grid, variance), log_alpha)[rows]]
    finite = (mean + variance + error).isfinite().all(1)
    calm = wanted & finite & ~_suspicious(mean, error, scales(grid, variance), log_alpha)
    half = student(LOG_LEVEL, REPLICATES - 1) * error
    return Known(calm, mean, variance, half, nothing.limit)


def _suspicious(mean: Tensor, error: Tensor, size: Tensor, log_alpha: float) -> Tensor:
    """[B], whether a mean may well not be 0: that is for draws to decide, whose test holds for skewed laws too."""
    return (mean.abs() > student(log_alpha, REPLICATES - 1) * error + PROVED * size).any(1)
