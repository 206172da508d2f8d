"""What of two records is compared, and how: variances, the test ELBO, the time of a step."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ttest_ind

from bench.machine_load import busy
from bench.records.record import Record
from bench.records.results import Moments, OfParameters, Time, Training, Variance
from bench.records.shown import ROUNDING, same_draws, same_source
from bench.report.compare.pairs import Pair
from bench.statistics import Interval, mean_interval, no_interval, ratio_interval, replicated_ratio

EQUAL = "same draws: identical"


def rows_of(pair: Pair, swept: bool = False) -> Iterator[dict[str, Any]]:
    """What is compared of a pair, a row a quantity and point.

    Args:
        pair: of the same thing.
        swept: whether a run holds the estimator with other numbers of samples too, so that its own is named.
    """
    cell = pair.a.config
    label = f"{cell.estimator.label}, S={cell.estimator.samples}" if swept else cell.estimator.label
    base = {"problem": cell.problem.label, "estimator": label}
    compared = {"moments": _variances, "train": _elbo, "time": _time}.get(cell.kind)
    if compared is None:  # what a measurement of a person's own holds is not known here
        return
    for quantity, point, interval, remark in compared(pair):
        yield base | {"quantity": quantity, "point": point} | interval._asdict() | {"remark": remark}


Compared = Iterator[tuple[str, Any, Interval, str]]
"""Quantity, point, interval, remark."""


def _variances(pair: Pair) -> Compared:
    place = pair.a.config.problem.place
    old, new = map(_at_steps, pair)
    for step, points in old.items():
        if step in new:
            ratio, remark = _of_points(points, new[step], pair)
            yield "variance B/A", step if place is None else place, ratio, remark


Place = tuple[int | None, int | None]
"""Trajectory and minibatch of a point; None where there is one of each."""


def _at_steps(record: Record) -> dict[int | None, dict[Place, OfParameters]]:
    """Moments with respect to q's parameters by checkpoint, trajectory and minibatch."""
    found: dict[int | None, dict[Place, OfParameters]] = {}
    for point in record.result(Moments).points:
        found.setdefault(point.step, {})[point.trajectory, point.minibatch] = point.q
    return found


def _of_points(
    old: Mapping[Place, OfParameters], new: Mapping[Place, OfParameters], pair: Pair
) -> tuple[Interval, str]:
    """Ratio of two checkpoints, of one point each or of several trajectories."""
    single = (None, None)
    if single in old and single in new:
        return _ratio(old[single].variance, new[single].variance, pair)
    a, b = _grid(old), _grid(new)
    if single in old or single in new:
        return _bare(_geometric(b) / _geometric(a)), "one point beside several: no interval"
    if not ((a > 0).all() and (b > 0).all()):
        return _bare(math.nan), "a variance is 0 or missing"
    found, remark = _replicated(a, b, pair)
    if not same_draws(*pair) and no_interval(min(map(_rare_events, (old, new)))):
        return Interval(found.estimate, 0.0, math.inf), f"{remark}; too few rare outcomes for an interval"
    return found, remark


def _rare_events(points: Mapping[Place, OfParameters]) -> float:
    """Expected number over a trajectory's minibatches, the least of any trajectory; infinite where none is rare."""
    found: dict[int | None, float] = {}
    for (trajectory, _), q in points.items():
        events = math.inf if math.isnan(q.rare_events) else q.rare_events
        found[trajectory] = found.get(trajectory, 0.0) + events
    return min(found.values())


def _grid(points: Mapping[Place, OfParameters]) -> NDArray[np.float64]:
    """[trajectories, minibatches]; NaN where a point is missing."""
    shape = [1 + max(place[i] or 0 for place in points) for i in (0, 1)]
    grid = np.full(shape, math.nan)
    for (trajectory, minibatch), q in points.items():
        grid[trajectory or 0, minibatch or 0] = q.variance.estimate
    return grid


def _geometric(grid: NDArray[np.float64]) -> float:
    """Geometric mean over trajectories of the mean over minibatches; NaN where it has none."""
    means = grid.mean(1)
    return float(np.exp(np.log(means).mean())) if (means > 0).all() else math.nan


def _replicated(old: NDArray[np.float64], new: NDArray[np.float64], pair: Pair) -> tuple[Interval, str]:
    """Of several trajectories: paired where both runs measured at the same weights, as far as they say."""
    first, second = (record.result(Moments).weights for record in pair)
    # By their hash: of seeds 0 and 1 beside 1 and 2 the second of the one is the first of the other.
    common = [(i, second.index(one)) for i, one in enumerate(first) if one in second]
    if not common:
        return _of_others(old, new), "other weights: trajectories are independent"
    old, new = (grid[list(places)] for grid, places in zip((old, new), zip(*common, strict=True), strict=True))
    if same_draws(*pair):
        if np.array_equal(old, new):
            return Interval(1.0, 1.0, 1.0), EQUAL
        rounded = same_source(*pair) and bool((abs(new / old - 1) < ROUNDING).all())
        return _bare(_geometric(new) / _geometric(old)), f"{EQUAL} up to rounding" if rounded else pair.differ()
    words = f"{len(common)} trajectories" if len(common) > 1 else "1 trajectory: no interval"
    return replicated_ratio(new, old), f"independent draws at the same weights, paired over {words}"


def _of_others(old: NDArray[np.float64], new: NDArray[np.float64]) -> Interval:
    """Of two samples of trajectories that are independent of each other: Welch's interval of the logarithms."""
    a, b = (np.log(grid.mean(1)) for grid in (new, old))
    ratio = _geometric(new) / _geometric(old)
    if min(len(a), len(b)) < 2:
        return _bare(ratio)
    ends = ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    return Interval(ratio, math.exp(ends.low), math.exp(ends.high))


def _ratio(old: Variance, new: Variance, pair: Pair) -> tuple[Interval, str]:
    """Of two variances, with an interval where the draws are independent."""
    if not same_draws(*pair):
        if math.isnan(old.low) and math.isnan(new.low) and old.estimate:
            return _bare(new.estimate / old.estimate), "both exact"
        return ratio_interval(new.estimate, new.log_se, old.estimate, old.log_se), "independent draws"
    if new.estimate == old.estimate:
        return Interval(1.0, 1.0, 1.0), EQUAL
    ratio = new.estimate / old.estimate if old.estimate else math.nan
    rounded = same_source(*pair) and abs(ratio - 1) < ROUNDING
    return _bare(ratio), "same draws: identical up to rounding" if rounded else pair.differ()


def _elbo(pair: Pair) -> Compared:
    results = [record.result(Training) for record in pair]
    old, new = (dict(zip(found.seeds, found.ends, strict=True)) for found in results)
    differences = [b - a for seed, a in old.items() if a is not None and (b := new.get(seed)) is not None]
    if not differences:
        return
    seeds = f"paired over {len(differences)} seed{'s' * (len(differences) != 1)}"
    if lost := len(old.keys() | new.keys()) - len(differences):
        seeds += f", {lost} diverged or in one run alone"
    alike = EQUAL if same_draws(*pair) and not any(differences) else pair.differ().partition(":")[0]
    rate = pair.a.config.measurement.learning_rate  # that of both: only trainings of one rate are paired
    yield "test ELBO B - A", rate, mean_interval(differences), "; ".join(filter(None, (seeds, alike)))


def _time(pair: Pair) -> Compared:
    first, second = (record.result(Time) for record in pair)
    beside = (("plain steps", first.plain_ratio, second.plain_ratio), ("floors", first.ratio, second.ratio))
    for unit, old, new in beside:
        if old is None or new is None:
            continue
        remarks = [f"{name} on a busy machine" for name, record in zip("AB", pair, strict=True) if _busy(record)]
        if pair.a.machine != pair.b.machine:
            remarks.append("two machines")
        if math.isnan(old.log_se) or math.isnan(new.log_se):
            interval = _bare(new.median / old.median)
            remarks.append("no interval: a record does not hold the noise of its clock")
        else:
            interval = ratio_interval(new.median, new.log_se, old.median, old.log_se)
        yield f"step time B/A, in {unit}", None, interval, "; ".join(remarks)
        return  # seconds alone would be those of a machine at a moment


def _busy(record: Record) -> bool:
    load, cores = record.result(Time).load, record.provenance.cores
    return bool(load) and cores is not None and busy(load[0], cores)


def _bare(ratio: float) -> Interval:
    """Without an interval."""
    return Interval(ratio, math.nan, math.nan)
