"""What every estimate of the suite is: a number with the ends of its confidence interval."""

import math
from collections.abc import Iterable
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray


class Interval(NamedTuple):
    """An estimate with the ends of its confidence interval, all in the estimate's own unit."""

    estimate: float
    low: float
    high: float


def array(values: ArrayLike) -> NDArray[np.float64]:
    """The values as one row of doubles."""
    return np.asarray(values, dtype=np.float64).ravel()


def normal_quantile(level: float) -> float:
    """How many standard errors a Gaussian interval of this level reaches to each side.

    Raises:
        ValueError: a level outside (0, 1).
    """
    if not 0 < level < 1:
        raise ValueError(f"level must lie strictly between 0 and 1, got {level}")
    return NormalDist().inv_cdf(0.5 + level / 2)


def mean_interval(x: ArrayLike, level: float = 0.95) -> Interval:
    """Student-t interval for a mean over seeds; pass differences for a paired comparison.

    Args:
        x: [n] finite values, one a seed.
        level: nominal coverage, exact for Gaussian values.

    Returns:
        The mean with its interval; its ends are NaN for one value, for which no interval exists.

    Raises:
        ValueError: no values, values that are not finite, or a level outside (0, 1).
    """
    from scipy.stats import t  # not installed on every node that runs a suite

    normal_quantile(level)
    x = array(x)
    if x.size == 0 or not np.isfinite(x).all():
        raise ValueError("a mean interval needs at least one value, all finite")
    mean = float(x.mean())
    if x.size == 1:
        return Interval(mean, math.nan, math.nan)
    half = float(t.ppf(0.5 + level / 2, x.size - 1) * x.std(ddof=1) / math.sqrt(x.size))
    return Interval(mean, mean - half, mean + half)


def joint(intervals: Iterable[Interval]) -> Interval:
    """The first one's estimate, with ends that hold all of them; NaN where one has none."""
    first, *others = intervals
    every = np.array([first, *others])
    return Interval(first.estimate, float(every[:, 1].min()), float(every[:, 2].max()))


def mean_intervals(x: NDArray[np.floating[Any]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Ends [points] of `mean_interval` at 95 % for each row of x [points, seeds]; NaN where a seed is not finite.

    The quantile, which takes the most time, is computed once for all rows.
    """
    from scipy.stats import t

    seeds = x.shape[1]
    half = t.ppf(0.975, seeds - 1) * x.std(axis=1, ddof=1) / math.sqrt(seeds)
    mean = np.where(np.isfinite(x).all(axis=1), x.mean(axis=1), np.nan)
    return mean - half, mean + half


def share_interval(hits: ArrayLike, level: float = 0.95) -> Interval:
    """Share of the hits that are true, with Wilson's interval at this nominal coverage."""
    from scipy.stats import binomtest

    values = np.asarray(hits, dtype=bool).ravel()
    normal_quantile(level)
    found = binomtest(int(values.sum()), values.size).proportion_ci(level, method="wilson")
    return Interval(float(values.mean()), float(found.low), float(found.high))
