"""The exponent b of cost = a size^b, by least squares on logarithms."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from bench.statistics import Interval
from bench.studies.results import Results, Row, Run, grouped
from bench.studies.scaling.factors import Growth

ABOVE_OVERHEAD = 3.0
"""Points whose cost is so many times that of the smallest size are fitted: there the overhead hides little."""
MIN_POINTS = 4
"""With fewer points above the overhead, all are fitted."""
LOCAL_POINTS = 3
"""The largest sizes, over which the local slope is taken."""
LIMITS: dict[Growth, float] = {"linear": 1.1, "constant": 0.1}
"""The largest exponents that the growth of the work allows, and of what must not grow the largest local slope."""

Verdict = Literal["yes", "no", "late", "open"]


class Fit(NamedTuple):
    """A power law through the medians of a series."""

    exponent: Interval
    """Student's, with n - 2 degrees of freedom."""
    log_factor: float
    """log a."""
    sizes: tuple[int, ...]
    """The n sizes that were fitted."""
    everything: bool
    """Whether all points were fitted, since too few lie above the overhead."""
    local: Interval
    """Slope over the largest sizes: median of the rounds' own slopes, and its distribution-free interval."""
    expected: Growth
    """How the work grows."""

    @property
    def limit(self) -> float:
        """What the growth of the work allows."""
        return LIMITS[self.expected]

    def cost(self, size: float) -> float:
        """The fitted cost at a size."""
        return float(np.exp(self.log_factor + self.exponent.estimate * np.log(size)))

    @property
    def kept(self) -> Verdict:
        """Whether the growth keeps its limit.

        No where the exponent's interval lies above the limit, late where only that of the local slope does, open where
        it holds the limit. What must not grow is judged by its local slope alone: it may rise to its bound.
        """
        judged = self.local if self.expected == "constant" else self.exponent
        if judged.low > self.limit:
            return "no"
        if self.local.low > self.limit:
            return "late"
        return "yes" if judged.high <= self.limit else "open"


class Series(NamedTuple):
    """One subject's cost over the sizes, with its fit."""

    run: Run
    """The measurement of the factor."""
    case: dict[str, Any]
    """Subject, setting, expected growth and threads."""
    points: list[Row]
    """In seconds or in bytes, a row a size."""
    fit: Fit

    @property
    def quantity(self) -> str:
        """Seconds or bytes."""
        return self.points[0].quantity


def series_of(run: Run) -> Iterator[tuple[dict[str, Any], list[Row]]]:
    """The case of each series of a factor, with its points: first those in seconds, then those in bytes."""
    for quantity in ("seconds", "bytes"):
        yield from grouped((row for row in run.rows if row.quantity == quantity), "size")


def fitted(results: Results) -> list[Series]:
    """All series, factor by factor."""
    return [Series(run, case, points, fit(points)) for run in results.runs for case, points in series_of(run)]


def fit(series: Sequence[Row], level: float = 0.95) -> Fit:
    """The power law of a series of at least three points.

    Raises:
        ValueError: fewer points.
    """
    points = sorted(series, key=_size)
    if len(points) < 3:
        raise ValueError(f"an exponent with an interval needs at least 3 sizes, got {len(points)}")
    upper = [point for point in points if point.value >= ABOVE_OVERHEAD * points[0].value]
    chosen = upper if len(upper) >= MIN_POINTS else points
    sizes = tuple(map(_size, chosen))
    exponent, log_factor = power_law(sizes, [point.value for point in chosen], level)
    return Fit(exponent, log_factor, sizes, chosen is points, _local(points, level), points[0].case["expected"])


def _size(point: Row) -> int:
    return int(point.case["size"])


def power_law(sizes: Sequence[float], costs: Sequence[float], level: float = 0.95) -> tuple[Interval, float]:
    """Exponent b, with Student's interval, and log a of cost = a size^b through at least three points."""
    from scipy.stats import t

    x, y = np.log(np.asarray(sizes, dtype=np.float64)), np.log(np.asarray(costs, dtype=np.float64))
    centred = x - x.mean()
    squares = float(centred @ centred)
    slope = float(centred @ y) / squares
    residuals = y - y.mean() - slope * centred
    freedom = len(x) - 2
    half = float(t.ppf(0.5 + level / 2, freedom)) * float(np.sqrt(residuals @ residuals / freedom / squares))
    return Interval(slope, slope - half, slope + half), float(y.mean() - slope * x.mean())


def _local(points: Sequence[Row], level: float) -> Interval:
    """The slope of each round by itself, since what slows the machine in a round slows all of its sizes alike."""
    from scipy.stats import binom

    last = points[-LOCAL_POINTS:]
    x = np.log(list(map(_size, last)))
    centred = x - x.mean()
    costs = np.log(np.array([point.values for point in last], dtype=np.float64))  # points x rounds
    slopes = np.sort(centred @ costs / (centred @ centred))
    outer = max(int(binom.ppf(0.5 - level / 2, len(slopes), 0.5)) - 1, 0)
    return Interval(float(np.median(slopes)), float(slopes[outer]), float(slopes[-1 - outer]))
