"""Variances measured at several minibatches of several trajectories: what is replicated, and what each level adds.

Minibatches are nested in trajectories, each trajectory having its own. The estimand is the mean over minibatches within
a trajectory, and the geometric mean of that over trajectories. Trajectories are the units: the logarithms of their
means vary by draws, minibatches and trajectory together, so that Student's t over them holds all three, whatever share
each has; what the draws of one point alone give is its Monte Carlo error.

Measured for T = M = 5 and lognormal effects, nominal 95 % intervals cover 94 to 96 % (`tox -e audit`);
at T = 10 it is 93 % where minibatches vary by half or more, as the logarithm of a mean over M of relative standard
deviation s is low by s^2 / 2 M. Where one trajectory in ten lies far off, 5 or 10 of them mostly hold none that does,
and intervals cover 40 to 65 %.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.statistics.interval import Interval, mean_interval


class Components(NamedTuple):
    """Relative standard deviations of a variance at one point, by what makes them."""

    monte_carlo: float
    """Of its draws: what an interval at one point holds."""
    minibatch: float
    """Of the choice of the rows, within a trajectory; 0 where the draws explain all of it."""
    trajectory: float
    """Of the trajectory; 0 where draws and minibatches explain all of it."""


def replicated(variances: ArrayLike, level: float = 0.95) -> Interval:
    """Geometric mean over trajectories of the mean over minibatches, with Student's interval over trajectories.

    Args:
        variances: [T, M] positive values.
        level: nominal coverage.

    Returns:
        The mean; its ends are NaN for one trajectory, which says nothing of the others.

    Raises:
        ValueError: another shape, a value that is not positive and finite, or a level outside (0, 1).
    """
    return _exponential(mean_interval(_logs(variances), level))


def replicated_ratio(numerator: ArrayLike, denominator: ArrayLike, level: float = 0.95) -> Interval:
    """Ratio of two such means, paired by trajectory: both were measured at the same trajectories and minibatches.

    Args:
        numerator: [T, M] positive values.
        denominator: [T, M'] positive values at the same trajectories.
        level: nominal coverage.

    Raises:
        ValueError: see `replicated`, or different numbers of trajectories.
    """
    a, b = _logs(numerator), _logs(denominator)
    if len(a) != len(b):
        raise ValueError(f"a ratio is paired by trajectory, but there are {len(a)} and {len(b)}")
    return _exponential(mean_interval(a - b, level))


def replicated_mean(values: ArrayLike, level: float = 0.95) -> Interval:
    """Mean over all of an additive quantity, such as a squared bias, with Student's interval over trajectories.

    Args:
        values: [T, M] finite values of either sign.
        level: nominal coverage.

    Raises:
        ValueError: another shape, a value that is not finite, or a level outside (0, 1).
    """
    return mean_interval(_table(values).mean(1), level)


def components(variances: ArrayLike, log_se: ArrayLike) -> Components:
    """What draws, minibatches and trajectories each add, by the law of total variance (expected mean squares).

    All is relative to the mean of the trajectory. Within a trajectory the mean square holds the draws and the
    minibatches; between their means it holds those over M, and the trajectories. A component that comes out negative is
    0, which raises it in the mean where it is small.

    Args:
        variances: [T, M] positive values, T and M at least 2.
        log_se: [T, M] Monte Carlo standard errors of their logarithms, finite.

    Raises:
        ValueError: another shape, or values that are not so.
    """
    table, errors = _table(variances), np.asarray(log_se, dtype=np.float64)
    logs = _logs(table)
    if errors.shape != table.shape or not np.isfinite(errors).all():
        raise ValueError(f"standard errors must be finite and shaped as the variances, {table.shape}")
    if min(table.shape) < 2:
        raise ValueError(f"components need at least 2 trajectories of 2 minibatches each, got {table.shape}")
    relative = table / table.mean(1, keepdims=True)
    draws = float(np.square(relative * errors).mean())
    within = float(relative.var(1, ddof=1).mean())
    between = float(logs.var(ddof=1))
    rest = max(within - draws, 0.0), max(between - within / table.shape[1], 0.0)
    return Components(math.sqrt(draws), *map(math.sqrt, rest))


def _table(values: ArrayLike) -> NDArray[np.float64]:
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or not table.size or not np.isfinite(table).all():
        raise ValueError(f"replicates must be finite, [trajectories, minibatches], got the shape {table.shape}")
    return table


def _logs(variances: ArrayLike) -> NDArray[np.float64]:
    """[T] logarithms of the trajectories' means."""
    table = _table(variances)
    if (table <= 0).any():
        raise ValueError("variances that are compared by their logarithms must be positive")
    logs: NDArray[np.float64] = np.log(table.mean(1))
    return logs


def _exponential(of_logs: Interval) -> Interval:
    """The ends may be infinite: of few trajectories that differ by much."""
    return Interval(*(math.inf if value > 700 else math.exp(value) for value in of_logs))
