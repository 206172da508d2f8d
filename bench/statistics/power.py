"""How small a difference between estimators some seeds can show, and how many seeds would show one that was seen."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.statistics.interval import array, normal_quantile

NODES = 2000
"""Sample deviations over which the noncentral t distribution is averaged."""
MOST_SEEDS = 100_000
"""More are counted as infinitely many."""


class Seeds(NamedTuple):
    """Numbers of seeds that would tell two estimators apart."""

    estimate: float
    """If the differences go on as those that were seen: infinite where their mean is 0."""
    low: float
    high: float
    """If the mean difference over its standard deviation lies at either end of its interval; infinite where 0 lies in
    it, as no number of seeds is then known to do."""


def power(effect: float, seeds: int, level: float = 0.95, comparisons: int = 1) -> float:
    """Chance that a paired two-sided t test tells a difference from 0, by the noncentral t distribution.

    Args:
        effect: mean difference over the standard deviation of the differences.
        seeds: n, at least 2.
        level: 1 less the chance of a false statement over all comparisons.
        comparisons: how many are made; each has its share of that chance (Bonferroni).
    """
    from scipy.stats import ncf

    if effect == 0:  # where scipy's noncentral F is wrong
        return (1 - level) / comparisons
    # The square of a noncentral t is a noncentral F; scipy's noncentral t itself is NaN or wrong at many arguments.
    return float(ncf.sf(_quantile(seeds, level, comparisons) ** 2, 1, seeds - 1, seeds * effect**2))


def detectable_difference(
    differences: ArrayLike, *, comparisons: int = 1, chance: float = 0.8, level: float = 0.95
) -> float:
    """The smallest true difference that as many seeds would tell from 0 with this chance.

    Args:
        differences: [n] of paired seeds, at least 2; their standard deviation is taken for the true one.
        comparisons: how many are made, over all of which the level holds (Bonferroni).
        chance: the power.
        level: of the two-sided t test.

    Raises:
        ValueError: fewer seeds, values that are not finite, or a level or chance outside (0, 1).
    """
    from scipy.optimize import brentq

    x = _differences(differences, 2)
    _check(level, chance, comparisons)
    deviation = float(x.std(ddof=1))
    top = (2 * _quantile(x.size, level, comparisons) + 10) / math.sqrt(x.size)

    def lacking(effect: float) -> float:
        return power(effect, x.size, level, comparisons) - chance

    return 0.0 if deviation == 0 else deviation * float(brentq(lacking, 0.0, top, xtol=1e-12))


def deviation_interval(seeds: int, level: float = 0.95) -> tuple[float, float]:
    """Ends of the interval of a true standard deviation over that of so many Gaussian values, and so of what is
    detectable: by the chi-squared distribution of the sample's variance.

    Args:
        seeds: n, at least 2.
        level: coverage.
    """
    from scipy.stats import chi2

    low, high = (chi2.isf(tail, seeds - 1) for tail in ((1 - level) / 2, (1 + level) / 2))
    return math.sqrt((seeds - 1) / low), math.sqrt((seeds - 1) / high)


def seeds_needed(differences: ArrayLike, *, comparisons: int = 1, chance: float = 0.8, level: float = 0.95) -> Seeds:
    """How many seeds would tell A from B with this chance, judged by a few seeds' paired differences.

    The few know neither the mean difference nor its standard deviation well: the interval is that of their ratio, exact
    for Gaussian differences by the noncentral t distribution, and mostly wide.

    Args:
        differences: [n], of at least 3 paired seeds.
        comparisons: how many are made, over all of which the level holds (Bonferroni).
        chance: the power.
        level: of the test, and of the interval.

    Raises:
        ValueError: fewer seeds, values that are not finite, or a level or chance outside (0, 1).
    """
    x = _differences(differences, 3)
    _check(level, chance, comparisons)
    deviation, mean = float(x.std(ddof=1)), abs(float(x.mean()))
    if deviation == 0:
        return Seeds(*[2.0 if mean > 0 else math.inf] * 3)
    small, large = effect_interval(mean / deviation, x.size, level)

    def number(effect: float) -> float:
        return _smallest(effect, chance, level, comparisons)

    # Far from 0 on either side is easy: the larger side counts.
    easiest = max(abs(small), abs(large))
    return Seeds(number(mean / deviation), number(easiest), number(small) if small > 0 else math.inf)


def effect_interval(effect: float, seeds: int, level: float = 0.95) -> tuple[float, float]:
    """Ends of the interval of a mean over its standard deviation: the noncentralities at which it has either tail.

    Args:
        effect: mean over standard deviation of the seeds.
        seeds: n.
        level: coverage, exact for Gaussian values.
    """
    from scipy.optimize import brentq
    from scipy.stats import chi2, norm

    root = math.sqrt(seeds)
    t = effect * root
    reach = 10 + 3 * abs(t)
    # Noncentral t, given each of many equally likely sample deviations s: P(Z + shift <= t s).
    s = np.sqrt(chi2.ppf((np.arange(NODES) + 0.5) / NODES, seeds - 1) / (seeds - 1))

    def end(tail: float) -> float:
        def above(shift: float) -> float:
            return float(norm.cdf(t * s - shift).mean()) - tail

        return float(brentq(above, t - reach, t + reach, xtol=1e-6)) / root

    return end(0.5 + level / 2), end(0.5 - level / 2)


def _smallest(effect: float, chance: float, level: float, comparisons: int) -> float:
    """The least number of seeds with this power: it grows with them."""
    low, high = 1, 2
    while power(effect, high, level, comparisons) < chance:
        low, high = high, 2 * high
        if low > MOST_SEEDS:
            return math.inf
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(effect, middle, level, comparisons) >= chance else (middle, high)
    return float(high)


def _quantile(seeds: int, level: float, comparisons: int) -> float:
    from scipy.stats import t

    return float(t.isf((1 - level) / 2 / comparisons, seeds - 1))


def _differences(values: ArrayLike, least: int) -> NDArray[np.float64]:
    x = array(values)
    if x.size < least or not np.isfinite(x).all():
        raise ValueError(f"needs finite differences of at least {least} seeds, got {x.size}")
    return x


def _check(level: float, chance: float, comparisons: int) -> None:
    normal_quantile(level)
    if not 0 < chance < 1:
        raise ValueError(f"chance must lie strictly between 0 and 1, got {chance}")
    if comparisons < 1:
        raise ValueError(f"comparisons must be at least 1, got {comparisons}")
