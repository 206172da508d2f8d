"""Squared biases, free of the noise floor that the draws and a sampled reference put under them."""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.statistics.interval import Interval, array, normal_quantile


class SquaredBias(NamedTuple):
    """A squared bias with its interval, and the smallest one that would have shown."""

    interval: Interval
    """||E g - reference||^2; the estimate is unbiased, and so can be slightly negative."""
    visible: float
    """The smallest estimate whose interval leaves 0 out."""


PAIRS = 128
"""Differences of draws from which the square of their covariance is taken: its error is then some tenth."""


def differences(x: Any) -> Any:
    """Some of the draws x [n, P] as differences of two, over sqrt(2): of mean 0 and the same covariance, independent.

    An array or a tensor, like x; at most `PAIRS` of them.
    """
    count = min(len(x) // 2, PAIRS)
    return (x[: 2 * count : 2] - x[1 : 2 * count : 2]) / math.sqrt(2)


def _square(y: NDArray[np.float64]) -> float:
    """tr Cov^2 from independent draws y [m, P] of mean 0: the mean of <y_i, y_j>^2 over i != j."""
    products = np.square(y @ y.T)
    count = len(y)
    if count < 2:
        return float(products.sum())
    # Where no two draws share a coordinate the difference is 0, or less by rounding.
    return max(0.0, float((products.sum() - products.trace()) / (count * (count - 1))))


def squared_bias_from_parts(
    estimate: float,
    bias: ArrayLike,
    along: float,
    noise: NDArray[np.float64],
    parts: NDArray[np.float64],
    level: float = 0.95,
) -> SquaredBias:
    """Interval for ||E g - reference||^2 from sums over the draws g, free of the noise floor.

    The estimate is the U-statistic sum_{i != j} <c_i, c_j> / (n (n - 1)) of the deviations c_i = g_i - reference, less
    the reference's own noise tr Cov / N. Its mean is the squared bias itself; that of ||mean c||^2 exceeds it by both.

    With C the covariance of the mean deviation, reference included, an estimate T of beta = ||b||^2 has the variance
    2 tr C^2 + 4 b'C b. The interval holds every beta within as many of ITS standard deviations of T as the level asks,
    b'C b being s beta with s = d'C d / d'd at the mean deviation d. Standard errors taken at T itself cover 67 % where
    the bias is as small as the noise, and end below 0 in 20 % of cases where all coordinates vary together: d happens
    to be short, and T and its error with it. T itself is always held.

    Args:
        estimate: T.
        bias: [P], d.
        along: what the n draws have in d'C d.
        noise: [m, P] independent, of mean 0 and the covariance that the draws have in C.
        parts: [k, P] means of the reference's k parts minus their mean; none where it is exact.
        level: nominal coverage.

    Raises:
        ValueError: a level outside (0, 1).
    """
    quantile = normal_quantile(level)
    d = array(bias)
    square, count = _square(noise), len(parts)
    if count:
        own = differences(parts) / math.sqrt(count)
        square += _square(own) + 2 * float(np.square(noise @ own.T).mean())
        along += float((parts @ d).var(ddof=1)) / count
    length = float(d @ d)
    slope = along / length if length > 0 else 0.0
    visible = quantile * math.sqrt(2 * square)
    # The roots of (T - beta)^2 = quantile^2 (2 tr C^2 + 4 s beta).
    centre = estimate + 2 * quantile**2 * slope
    inside = visible**2 + 4 * quantile**2 * slope * (estimate + quantile**2 * slope)
    half = math.sqrt(max(inside, 0.0))
    # Of an estimate far below 0 all these values may be positive, since the noise grows with them. That is chance, or
    # draws that misjudge the noise, and no evidence of a bias.
    low, high = min(centre - half, estimate), max(centre + half, estimate)
    return SquaredBias(Interval(estimate, low, high), visible)
