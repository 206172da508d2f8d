"""Time to a target that was fixed beforehand, with runs that miss it censored."""

import math
import warnings
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.statistics.interval import Interval, normal_quantile


class TimeToTarget(NamedTuple):
    """How long runs take to reach a target."""

    times: NDArray[np.float64]
    """[n], the first time at which a run reached it, or for a miss the last time at which it was seen."""
    reached: NDArray[np.bool_]
    """[n]; a miss is censored, never dropped."""
    median: Interval
    """Kaplan-Meier median; infinite where fewer than half of the runs reach the target."""


def time_to_target(times: ArrayLike, scores: ArrayLike, target: float, level: float = 0.95) -> TimeToTarget:
    """Time until a run's score first reaches a target that was fixed beforehand; misses are censored.

    Args:
        times: [T] or [n, T], increasing: steps, evaluations of f or seconds.
        scores: [n, T], NaN after a run's end.
        target: the score to reach.
        level: nominal coverage of the median time, by Brookmeyer and Crowley's interval with the log-log transform;
            its ends are times that were observed, so that few runs make it wide.

    Raises:
        ValueError: shapes that do not fit, a run without any score, or a level outside (0, 1).
    """
    from scipy.stats import CensoredData, ecdf

    normal_quantile(level)
    curves = np.atleast_2d(np.asarray(scores, dtype=np.float64))
    clock = np.broadcast_to(np.asarray(times, dtype=np.float64), curves.shape)
    seen = np.isfinite(curves)
    if not seen.any(1).all():
        raise ValueError(f"run {int(np.flatnonzero(~seen.any(1))[0])} has no score at all")
    hit = seen & (np.nan_to_num(curves, nan=-np.inf) >= target)
    reached: NDArray[np.bool_] = np.asarray(hit.any(1))
    last = curves.shape[1] - 1 - seen[:, ::-1].argmax(1)
    at = clock[np.arange(len(curves)), np.where(reached, hit.argmax(1), last)]
    survival = ecdf(CensoredData.right_censored(at, ~reached)).sf

    def first(values: NDArray[np.float64]) -> float:
        """When a survival curve falls to one half."""
        below = np.flatnonzero(values <= 0.5)
        return float(survival.quantiles[below[0]]) if below.size else math.inf

    if not reached.any():
        return TimeToTarget(at, reached, Interval(math.inf, math.inf, math.inf))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # scipy warns of the ends where all or none have reached it
        ends: Any = survival.confidence_interval(level, method="log-log")
    low, high = (first(np.nan_to_num(end.probabilities, nan=1.0)) for end in (ends.low, ends.high))
    median = first(survival.probabilities)
    return TimeToTarget(at, reached, Interval(median, min(low, median), max(high, median)))
