"""Ranks with simultaneous confidence intervals: how many others an estimate is told apart from, below and above.

D. Al Mohamad, J. J. Goeman and E. W. van Zwet, Simultaneous confidence intervals for ranks with application to ranking
institutions, Biometrics 78, 2022: of all pairs those are told apart whose distance in standard errors exceeds Tukey's
critical value, that of the largest distance of all pairs under equality. An estimate's rank then lies between one more
than those that are told to be below it, and all but those that are told to be above it. With the nominal chance every
interval holds its true rank, or, where some are equal, one of those that they share.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.statistics.best import law_of_distances, paired_distances, pairwise_distances
from bench.statistics.interval import normal_quantile

Ranks = list[tuple[int, int]]
"""Of each estimate its lowest and its highest rank; 1 is the lowest value."""


def rank_intervals(logs: ArrayLike, log_se: ArrayLike, level: float = 0.95, freedom: float = math.inf) -> Ranks:
    """Ranks of independent estimates.

    Args:
        logs: [k] logarithms, the lowest of which has rank 1.
        log_se: [k] their standard errors; 0 for an exact one, infinity for one that may have any rank.
        level: chance that all intervals hold.
        freedom: degrees of freedom of the standard errors at most.

    Raises:
        ValueError: shapes that differ, NaN, or a level outside (0, 1).
    """
    normal_quantile(level)
    x, se = (np.asarray(values, dtype=np.float64) for values in (logs, log_se))
    if x.ndim != 1 or x.shape != se.shape or np.isnan(x).any():
        raise ValueError(f"logs and standard errors must be rows of one length without NaN, got {x.shape}, {se.shape}")
    known = np.flatnonzero(np.isfinite(se))
    above = np.zeros((len(x), len(x)), dtype=bool)
    if len(known) > 1:
        distances, _ = pairwise_distances(x[known], se[known])
        critical = float(np.quantile(law_of_distances(tuple(se[known].tolist()), freedom).max(1), level))
        above[np.ix_(known, known)] = distances > critical
    return ranks_of(above)


def rank_intervals_paired(x: ArrayLike, level: float = 0.95, errors: ArrayLike = 0.0) -> Ranks:
    """Ranks of means over paired units, by Student's t over all pairs (Bonferroni).

    Args:
        x: [k, n] finite values, one row an estimate and one column a unit; at least 2 units.
        level: chance that all intervals hold.
        errors: [k] standard error of what else each row holds, alike at all units and independent of the other rows'.

    Raises:
        ValueError: another shape, values that are not finite, or a level outside (0, 1).
    """
    from scipy.stats import t as student

    normal_quantile(level)
    values = np.asarray(x, dtype=np.float64)
    gaps, error = paired_distances(values, errors)
    k, n = values.shape
    critical = float(student.isf((1 - level) / max(1, k * (k - 1)), n - 1))
    return ranks_of(gaps > critical * error)


def ranks_of(above: NDArray[np.bool_]) -> Ranks:
    """Lowest and highest rank of each, from [k, k] flags whether j is told to be above i."""
    k = len(above)
    return [(1 + int(row.sum()), k - int(column.sum())) for row, column in zip(above, above.T, strict=True)]
