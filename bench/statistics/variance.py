"""Variances, and ratios of two of them, by the jackknife on log variance; how heavy the draws' tails are."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.statistics.interval import Interval, array, normal_quantile

FEW_EFFECTIVE_DRAWS = 20.0
"""Draws over their kurtosis below which tails are called heavy: the variance rests on so few of them."""
LEAST_RARE_EVENTS = 8.0
"""Expected number of rare outcomes below which a variance has no interval. Of a nominal 95 %, 65 to 88 % is covered
where up to 5 are expected, and 94 to 95 % from 8 on; a method that cancels what a single one does (muprop, rodeo) rests
on pairs of them, and its interval stays too narrow for longer (`tox -e audit`)."""
ROUNDING = 1e-12
"""Standard errors of a logarithm below it are rounding of equal values."""


def variance_log_se(d: ArrayLike) -> float:
    """Jackknife standard error of the logarithm of a variance.

    Args:
        d: [n] squared distances ||g_i - mean||^2 of the n draws from their mean.

    Returns:
        The standard error; 0 where all d are 0, infinity where one draw alone carries the variance.
    """
    d = array(d)
    n = d.size
    if n < 3:
        raise ValueError(f"a variance interval needs at least 3 draws, got {n}")
    total = d.sum()
    if total == 0:
        return 0.0
    # The variance without draw i, in closed form: removing it also moves the mean.
    return _jackknife((total - n / (n - 1) * d) / (n - 2), total)


def _jackknife(without: NDArray[np.float64], total: float) -> float:
    """Standard error of the logarithm of an estimate, from the n that leave one of the values out each."""
    if without.min() <= 1e-12 * total:
        return math.inf
    n, logs = without.size, np.log(without)
    log_se = math.sqrt((n - 1) / n * np.square(logs - logs.mean()).sum())
    return log_se if log_se > ROUNDING else 0.0


def mean_log_se(x: ArrayLike) -> float:
    """Jackknife standard error of the logarithm of a mean of numbers that are not negative, such as squared errors.

    Args:
        x: [n] numbers, at least 3.

    Returns:
        The standard error; 0 where all are 0, infinity where one alone carries the mean.
    """
    x = array(x)
    n = x.size
    if n < 3:
        raise ValueError(f"an interval of a mean of squares needs at least 3 of them, got {n}")
    total = x.sum()
    if total == 0:
        return 0.0
    return _jackknife(total - x, total)


def variance_interval(d: ArrayLike, level: float = 0.95) -> Interval:
    """Interval for a (total) variance by the jackknife on its logarithm.

    Args:
        d: [n] squared distances ||g_i - mean||^2 of the n draws from their mean; for a vector-valued draw the
            result is the trace of the covariance.
        level: nominal coverage.

    Returns:
        sum(d) / (n - 1) with its interval; (0, 0, 0) when the draws do not differ, and an upper end of infinity
        when one draw alone carries the variance.

    Raises:
        ValueError: fewer than 3 draws, or a level outside (0, 1).
    """
    quantile = normal_quantile(level)
    d = array(d)
    log_se = variance_log_se(d)
    variance = float(d.sum() / (d.size - 1))
    if variance == 0:
        return Interval(0.0, 0.0, 0.0)
    if math.isinf(log_se):
        return Interval(variance, 0.0, math.inf)
    factor = math.exp(quantile * log_se)
    return Interval(variance, variance / factor, variance * factor)


def no_interval(rare_events: float) -> bool:
    """Whether so few rare outcomes are expected that a variance has no interval; NaN where none is rare."""
    return rare_events < LEAST_RARE_EVENTS


def heavy_tailed(kurtosis: float, draws: float, rare_events: float = math.nan) -> bool:
    """Whether a variance rests on few draws, so that its interval is optimistic or cannot be had.

    It does where draws / kurtosis, the number of equal draws that would leave it as uncertain, is below
    `FEW_EFFECTIVE_DRAWS`, or where too few rare outcomes are expected: draws that met none have small kurtosis.
    """
    return draws < FEW_EFFECTIVE_DRAWS * kurtosis or no_interval(rare_events)


def kurtosis(d: ArrayLike) -> float:
    """Kurtosis of draws from their squared distances: n sum(d^2) / (sum d)^2, 3 for one Gaussian coordinate.

    Args:
        d: [n] squared distances from the mean.

    Returns:
        The kurtosis; 1 where all d are 0.
    """
    d = array(d)
    total = d.sum()
    return 1.0 if total == 0 else float(d.size * np.square(d).sum() / total**2)


def ratio_interval(
    numerator: float,
    numerator_log_se: float,
    denominator: float,
    denominator_log_se: float,
    level: float = 0.95,
) -> Interval:
    """Interval for the ratio of two independent variances from their log standard errors.

    Returns:
        numerator / denominator with its interval; NaN where the denominator is 0.
    """
    quantile = normal_quantile(level)
    if denominator == 0:
        return Interval(math.nan, math.nan, math.nan)
    ratio = numerator / denominator
    log_se = math.hypot(numerator_log_se, denominator_log_se)
    if math.isinf(log_se):
        return Interval(ratio, 0.0, math.inf)
    factor = math.exp(quantile * log_se)
    return Interval(ratio, ratio / factor, ratio * factor)
