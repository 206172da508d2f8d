"""The median of what may be censored: a time to a target that some seeds miss."""

import math

import numpy as np
from numpy.typing import ArrayLike

from bench.statistics.interval import Interval, normal_quantile


def median_interval(x: ArrayLike, level: float = 0.95) -> Interval:
    """Median with the interval between two order statistics, which asks nothing of the distribution.

    Args:
        x: [n] values, infinite where the event did not come: all that is known then is that it lies beyond the others.
        level: coverage, which is reached or exceeded.

    Returns:
        The median, the upper of the middle two where one is infinite; ends are NaN where no pair of order statistics
        reaches the level (fewer than 6 values at 95 %), and infinite where they fall on what did not come.

    Raises:
        ValueError: no values, or one that is NaN.
    """
    from scipy.stats import binom

    normal_quantile(level)
    ordered = np.sort(np.asarray(x, dtype=np.float64).ravel())
    n = ordered.size
    if not n or np.isnan(ordered).any():
        raise ValueError("a median needs at least one value, none of them NaN")
    low, high = float(ordered[(n - 1) // 2]), float(ordered[n // 2])
    middle = high if math.isinf(high) else (low + high) / 2
    # The r-th of n from either end: fewer than r values lie below the true median with this probability.
    ranks = [r for r in range(1, n // 2 + 1) if 2 * binom.cdf(r - 1, n, 0.5) <= 1 - level]
    if not ranks:
        return Interval(middle, math.nan, math.nan)
    return Interval(middle, float(ordered[ranks[-1] - 1]), float(ordered[n - ranks[-1]]))
