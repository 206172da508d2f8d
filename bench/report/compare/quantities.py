"""What of two records is compared, and how: variances, the test ELBO, the time of a step."""

import math
from collections.abc import Iterator
from typing import Any

from bench.machine_load import busy
from bench.records.record import Record
from bench.records.results import Moments, Time, Training, Variance
from bench.records.shown import ROUNDING, same_draws, same_source
from bench.report.compare.pairs import Pair
from bench.statistics import Interval, mean_interval, ratio_interval

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
    points = {point.step: point.q.variance for point in pair.b.result(Moments).points}
    for point in pair.a.result(Moments).points:
        if point.step in points:
            ratio, remark = _ratio(point.q.variance, points[point.step], pair)
            yield "variance B/A", point.step if place is None else place, ratio, remark


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
    old, new = (dict(zip(found.seeds, found.final.test_elbo, strict=True)) for found in results)
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
