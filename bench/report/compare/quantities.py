"""What of two records is compared, and how: variances, the test ELBO, the time of a step."""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ttest_ind

from bench.machine_load import busy
from bench.records.record import Record
from bench.records.results import Moments, OfParameters, Point, Time, Training
from bench.records.shown import ROUNDING, same_draws, same_source
from bench.report.compare.pairs import Pair
from bench.report.compare.significance import OF_STRETCHES, effective, p_value
from bench.report.verdicts import EXACTLY
from bench.report.verdicts import ROUNDING as OF_A_GRADIENT
from bench.statistics import Interval, mean_interval, no_interval, normal_quantile, ratio_interval, replicated_ratio

EQUAL = "same draws: identical"
GAUSSIAN = normal_quantile(0.95)

Likeness = Literal["equal", "other numbers", "exact", ""]
"""What is known without a test: two numbers are equal, differ at the same draws, or differ and neither has noise."""


class Row(NamedTuple):
    """One comparison of the two runs."""

    problem: str
    estimator: str
    quantity: str
    point: int | float | None
    estimate: float
    low: float
    high: float
    remark: str
    nothing: float = 1.0
    """The estimate where nothing changed: 1 of a ratio, 0 of a difference."""
    p_value: float = math.nan
    """That nothing changed, before any correction; NaN where it is not tested."""
    likeness: Likeness = ""
    doubts: tuple[str, ...] = ()
    """What may have moved the number beside a change of the code."""
    kind: str = ""
    """Of the cell: moments, train or time."""


class Compared(NamedTuple):
    """What a quantity comes to at a point."""

    interval: Interval
    remark: str = ""
    p_value: float = math.nan
    likeness: Likeness = ""


def rows_of(pair: Pair, swept: bool = False) -> Iterator[Row]:
    """What is compared of a pair, a row a quantity and point.

    Args:
        pair: of the same thing.
        swept: whether a run holds the estimator with other numbers of samples too, so that its own is named.
    """
    cell = pair.a.config
    label = f"{cell.estimator.label}, S={cell.estimator.samples}" if swept else cell.estimator.label
    kinds: dict[str, Callable[[Pair], Iterator[Row]]] = {"moments": _variances, "train": _elbo, "time": _time}
    compared = kinds.get(cell.kind)
    if compared is None:  # what a measurement of a person's own holds is not known here
        return
    for row in compared(pair):
        yield row._replace(problem=cell.problem.label, estimator=label, kind=cell.kind)


def _row(quantity: str, point: int | float | None, found: Compared, **more: Any) -> Row:
    """Of a pair that is named later."""
    return Row("", "", quantity, point, *found.interval, found.remark, p_value=found.p_value, likeness=found.likeness,
               **more)  # fmt: skip


def _variances(pair: Pair) -> Iterator[Row]:
    place = pair.a.config.problem.place
    old, new = map(_at_steps, pair)
    for step, points in old.items():
        if step in new:
            yield _row("variance B/A", step if place is None else place, _of_points(points, new[step], pair))


Place = tuple[int | None, int | None]
"""Trajectory and minibatch of a point; None where there is one of each."""


def _at_steps(record: Record) -> dict[int | None, dict[Place, Point]]:
    """Points by checkpoint, trajectory and minibatch."""
    found: dict[int | None, dict[Place, Point]] = {}
    for point in record.result(Moments).points:
        found.setdefault(point.step, {})[point.trajectory, point.minibatch] = point
    return found


def _of_points(old: Mapping[Place, Point], new: Mapping[Place, Point], pair: Pair) -> Compared:
    """Ratio of two checkpoints, of one point each or of several trajectories."""
    single = (None, None)
    if single in old and single in new:
        return _ratio(old[single], new[single], pair)
    a, b = _grid(old), _grid(new)
    if single in old or single in new:
        return Compared(_bare(_geometric(b) / _geometric(a)), "one point beside several: no interval")
    if not ((a > 0).all() and (b > 0).all()):
        return Compared(_bare(math.nan), "a variance is 0 or missing")
    found = _replicated(a, b, pair)
    if not same_draws(*pair) and no_interval(min(map(_rare_events, (old, new)))):
        unbounded = Interval(found.interval.estimate, 0.0, math.inf)
        return Compared(unbounded, f"{found.remark}; too few rare outcomes for an interval")
    return found


def _rare_events(points: Mapping[Place, Point]) -> float:
    """Expected number over a trajectory's minibatches, the least of any trajectory; infinite where none is rare."""
    found: dict[int | None, float] = {}
    for (trajectory, _), point in points.items():
        events = math.inf if math.isnan(point.q.rare_events) else point.q.rare_events
        found[trajectory] = found.get(trajectory, 0.0) + events
    return min(found.values())


def _grid(points: Mapping[Place, Point]) -> NDArray[np.float64]:
    """[trajectories, minibatches]; NaN where a point is missing."""
    shape = [1 + max(place[i] or 0 for place in points) for i in (0, 1)]
    grid = np.full(shape, math.nan)
    for (trajectory, minibatch), point in points.items():
        grid[trajectory or 0, minibatch or 0] = point.q.variance.estimate
    return grid


def _geometric(grid: NDArray[np.float64]) -> float:
    """Geometric mean over trajectories of the mean over minibatches; NaN where it has none."""
    means = grid.mean(1)
    return float(np.exp(np.log(means).mean())) if (means > 0).all() else math.nan


def _replicated(old: NDArray[np.float64], new: NDArray[np.float64], pair: Pair) -> Compared:
    """Of several trajectories: paired where both runs measured at the same weights, as far as they say."""
    first, second = (record.result(Moments).weights for record in pair)
    # By their hash: of seeds 0 and 1 beside 1 and 2 the second of the one is the first of the other.
    common = [(i, second.index(one)) for i, one in enumerate(first) if one in second]
    if not common:
        return _of_others(old, new)
    old, new = (grid[list(places)] for grid, places in zip((old, new), zip(*common, strict=True), strict=True))
    paired = replicated_ratio(new, old)
    p = p_value(paired, 1, len(common) - 1)
    if same_draws(*pair):
        if np.array_equal(old, new):
            return Compared(Interval(1.0, 1.0, 1.0), EQUAL, likeness="equal")
        rounded = same_source(*pair) and bool((abs(new / old - 1) < ROUNDING).all())
        return _other_numbers(_geometric(new) / _geometric(old), rounded, p, pair)
    words = f"{len(common)} trajectories" if len(common) > 1 else "1 trajectory: no interval"
    return Compared(paired, f"independent draws at the same weights, paired over {words}", p)


def _of_others(old: NDArray[np.float64], new: NDArray[np.float64]) -> Compared:
    """Of two samples of trajectories that are independent of each other: Welch's interval of the logarithms."""
    words = "other weights: trajectories are independent"
    a, b = (np.log(grid.mean(1)) for grid in (new, old))
    ratio = _geometric(new) / _geometric(old)
    if min(len(a), len(b)) < 2:
        return Compared(_bare(ratio), words)
    found = ttest_ind(a, b, equal_var=False)
    ends = found.confidence_interval(0.95)
    return Compared(Interval(ratio, math.exp(ends.low), math.exp(ends.high)), words, float(found.pvalue))


def _ratio(old: Point, new: Point, pair: Pair) -> Compared:
    """Of two variances, with an interval where the draws are independent."""
    a, b = old.q.variance, new.q.variance
    ratio = b.estimate / a.estimate if a.estimate else math.nan
    rounding = _at_rounding(old.q) and _at_rounding(new.q)
    independent = ratio_interval(b.estimate, b.log_se, a.estimate, a.log_se)
    freedom = min(effective(old.q, old.draws), effective(new.q, new.draws))
    p = p_value(independent, 1, freedom, reach=GAUSSIAN)
    if same_draws(*pair):
        if a.estimate == b.estimate:
            return Compared(Interval(1.0, 1.0, 1.0), EQUAL, likeness="equal")
        rounded = rounding or (same_source(*pair) and abs(ratio - 1) < ROUNDING)
        return _other_numbers(ratio, rounded, p, pair)
    if rounding:  # both are 0 but for rounding, and a ratio of rounding errors is far from 1
        return Compared(independent, "both 0 up to rounding", likeness="equal")
    if math.isnan(a.low) and math.isnan(b.low) and a.estimate:
        alike = abs(ratio - 1) <= sum(max(point.tolerance, EXACTLY) for point in (old, new))
        return Compared(_bare(ratio), "both exact", likeness="equal" if alike else "exact")
    if no_interval(old.q.rare_events) or no_interval(new.q.rare_events):
        p = math.nan  # neither a 0 nor an interval says anything where the draws met no rare outcome
    elif a.estimate == 0:
        return Compared(independent, "independent draws", likeness="exact")  # noise where there was none
    return Compared(independent, "independent draws", p)


def _at_rounding(q: OfParameters) -> bool:
    """Whether a variance is 0, or rounding beside the gradient that it is of."""
    return q.variance.estimate == 0 or q.variance.estimate <= (OF_A_GRADIENT * q.gradient_norm) ** 2


def _other_numbers(ratio: float, rounded: bool, p: float, pair: Pair) -> Compared:
    """Of the same draws: no interval, since neither's noise is known to be the other's; `p` is of independent draws."""
    if rounded:
        return Compared(_bare(ratio), f"{EQUAL} up to rounding", likeness="equal")
    return Compared(_bare(ratio), pair.differ(), p, "other numbers")


def _elbo(pair: Pair) -> Iterator[Row]:
    results = [record.result(Training) for record in pair]
    old, new = (dict(zip(found.seeds, found.ends, strict=True)) for found in results)
    both = [(a, b) for seed, a in old.items() if a is not None and (b := new.get(seed)) is not None]
    if not both:
        return
    differences = [b - a for a, b in both]
    seeds = f"paired over {len(differences)} seed{'s' * (len(differences) != 1)}"
    if lost := len(old.keys() | new.keys()) - len(differences):
        seeds += f", {lost} diverged or in one run alone"
    alike = ""
    likeness: Likeness = ""
    if same_draws(*pair):
        alike = pair.differ().partition(":")[0] if any(differences) else EQUAL
        rounded = same_source(*pair) and all(abs(b - a) < ROUNDING * abs(a) for a, b in both)
        likeness = "equal" if rounded or not any(differences) else "other numbers"
    found = mean_interval(differences)
    p = math.nan if likeness == "equal" else p_value(found, 0, len(differences) - 1)
    rate = pair.a.config.measurement.learning_rate  # that of both: only trainings of one rate are paired
    remark = "; ".join(filter(None, (seeds, alike)))
    yield _row("test ELBO B - A", rate, Compared(found, remark, p, likeness), nothing=0.0)


def _time(pair: Pair) -> Iterator[Row]:
    first, second = (record.result(Time) for record in pair)
    beside = (("plain steps", first.plain_ratio, second.plain_ratio), ("floors", first.ratio, second.ratio))
    for unit, old, new in beside:
        if old is None or new is None:
            continue
        doubts = [f"{name} on a busy machine" for name, record in zip("AB", pair, strict=True) if _busy(record)]
        if pair.a.machine != pair.b.machine:
            doubts.append("two machines")
        remarks = list(doubts)
        if math.isnan(old.log_se) or math.isnan(new.log_se):
            interval = _bare(new.median / old.median)
            remarks.append("no interval: a record does not hold the noise of its clock")
        else:
            interval = ratio_interval(new.median, new.log_se, old.median, old.log_se)
        # The clock's interval is Student's of a few stretches: far out it says much less than a Gaussian one.
        found = Compared(interval, "; ".join(remarks), p_value(interval, 1, OF_STRETCHES))
        yield _row(f"step time B/A, in {unit}", None, found, doubts=tuple(doubts))
        return  # seconds alone would be those of a machine at a moment


def _busy(record: Record) -> bool:
    load, cores = record.result(Time).load, record.provenance.cores
    return bool(load) and cores is not None and busy(load[0], cores)


def _bare(ratio: float) -> Interval:
    """Without an interval."""
    return Interval(ratio, math.nan, math.nan)
