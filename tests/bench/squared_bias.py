"""The interval of a squared bias from all draws at once, which `squared_bias_from_parts` is given summed up."""

import math

import numpy as np
from numpy.typing import ArrayLike

from bench.statistics import SquaredBias, differences, squared_bias_from_parts


def squared_bias_interval(
    deviations: ArrayLike, parts: ArrayLike | None = None, floor: float | None = None, level: float = 0.95
) -> SquaredBias:
    """Interval for ||E g - reference||^2, whose estimate is the U-statistic less the reference's own noise.

    Args:
        deviations: [n, P] draws minus the reference.
        parts: [k, P], where the reference is the mean of a long run: those of its k equal parts, minus its own; else
            None.
        floor: tr Cov / N of the reference, where it is known better than from the parts.
        level: nominal coverage.
    """
    c = np.asarray(deviations, dtype=np.float64)
    c = c.reshape(len(c), -1)
    n, bias = len(c), c.mean(0)
    estimate = (n * n * float(bias @ bias) - float(np.square(c).sum())) / (n * (n - 1))
    r = np.zeros((0, c.shape[1])) if parts is None else np.asarray(parts, dtype=np.float64).reshape(-1, c.shape[1])
    if floor is None:
        floor = float(np.square(r).sum()) / (len(r) * (len(r) - 1)) if len(r) else 0.0
    along = float((c @ bias).var(ddof=1)) / n
    return squared_bias_from_parts(estimate - floor, bias, along, differences(c) / math.sqrt(n), r, level)
