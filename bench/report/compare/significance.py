"""Which of many comparisons changed: p-values of their intervals, and what is left of them when there are hundreds.

Of 544 comparisons of runs that differ in nothing some 27 have a 95 % interval beside 1. So the p-values are corrected
by S. Holm, A simple sequentially rejective multiple test procedure, Scand. J. Statist. 6, 1979: whatever depends on
what, the chance that any comparison of two such runs is said to have changed stays below the level.
"""

import math
from collections.abc import Sequence

from scipy.stats import t

from bench.records.results import Noise
from bench.statistics import STRETCHES, Interval

LEVEL = 0.05
"""Chance that two runs that differ in nothing are said to differ in anything that was tested."""
OF_STRETCHES = max(STRETCHES) - 1
"""Degrees of freedom of a time's interval, of either run: the variance of the medians of its stretches."""


def p_value(interval: Interval, nothing: float, freedom: float, reach: float | None = None) -> float:
    """Two-sided p-value of a 95 % interval by Student's t.

    Args:
        interval: symmetric about its estimate, or its logarithms are.
        nothing: what there is where nothing changed: 1 for a ratio, whose logarithms are taken, 0 for a difference.
        freedom: of Student's t; infinite for a Gaussian.
        reach: standard errors from the estimate to an end; by default Student's quantile for so many degrees.

    Returns:
        The p-value; NaN where there is no interval, 1 where it has no end.
    """
    if any(map(math.isnan, interval)):
        return math.nan
    if nothing == 1 and interval.estimate == 0:  # of nothing to something
        return float(interval.high > 0)
    estimate, low, high = map(_log, interval) if nothing == 1 else interval
    half = (high - low) / 2
    if math.isinf(half):
        return 1.0
    if half == 0:
        return float(estimate == 0)
    reach = float(t.ppf(0.975, freedom)) if reach is None else reach
    return float(2 * t.sf(abs(estimate) / half * reach, freedom))


def _log(x: float) -> float:
    return math.log(x) if x > 0 else -math.inf


def effective(noise: Noise, draws: float) -> float:
    """Degrees of freedom for the far tail of a variance's interval: draws over their kurtosis, less one, at least 2.

    Hundreds of tests ask whether a ratio lies four standard errors out. There the Gaussian law of its logarithm says
    .0002 where it should say .00025 for normal draws, .0003 for Laplace's and .0004 for lognormal ones; Student's of so
    many degrees is right to within a quarter for Gaussian and Laplace draws, and too careful by a third for lognormal
    ones, at 1000 draws.
    """
    found = draws / noise.kurtosis - 1
    return math.inf if math.isnan(found) else max(2.0, found)


def corrected(p_values: Sequence[float]) -> list[float]:
    """Holm's p-values: those below `LEVEL` changed. NaN, which is no test, stays NaN and counts for none."""
    tested = sorted((i for i, p in enumerate(p_values) if not math.isnan(p)), key=p_values.__getitem__)
    found = [math.nan] * len(p_values)
    largest = 0.0
    for rank, i in enumerate(tested):
        largest = max(largest, min(1.0, p_values[i] * (len(tested) - rank)))
        found[i] = largest
    return found
