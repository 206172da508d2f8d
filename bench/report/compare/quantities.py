"""What of two records is compared, and how: variances, the test ELBO, the time of a step."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from bench.machine_load import busy
from bench.report.compare.pairs import Pair
from bench.statistics import Interval, mean_interval, ratio_interval
from bench.suite.identity import ROUNDING, Record, kind, machine, same_draws, same_source

EQUAL = "same draws: identical"


def rows_of(pair: Pair) -> Iterator[dict[str, Any]]:
    """What is compared of a pair, a row a quantity and point."""
    config = pair.a["config"]
    base = {"problem": config["problem"]["label"], "estimator": config["estimator"]["label"]}
    compared = {"moments": _variances, "train": _elbo, "time": _time}.get(kind(pair.a))
    if compared is None:  # what a measurement of a person's own holds is not known here
        return
    for quantity, point, interval, remark in compared(pair):
        yield base | {"quantity": quantity, "point": point} | interval._asdict() | {"remark": remark}


Compared = Iterator[tuple[str, Any, Interval, str]]
"""Quantity, point, interval, remark."""


def _variances(pair: Pair) -> Compared:
    problem = pair.a["config"]["problem"]
    place = problem.get("logit") if problem.get("logit") is not None else problem.get("scale")
    points = {p["step"]: p["q"]["variance"] for p in pair.b["measurements"]["points"]}
    for p in pair.a["measurements"]["points"]:
        if p["step"] in points:
            ratio, remark = _ratio(p["q"]["variance"], points[p["step"]], pair)
            yield "variance B/A", p["step"] if place is None else place, ratio, remark


def _ratio(old: Mapping[str, Any], new: Mapping[str, Any], pair: Pair) -> tuple[Interval, str]:
    """Of two variances, with an interval where the draws are independent."""
    if not same_draws(*pair):
        interval = ratio_interval(new["estimate"], _log_se(new), old["estimate"], _log_se(old))
        return interval, "independent draws"
    if new["estimate"] == old["estimate"]:
        return Interval(1.0, 1.0, 1.0), EQUAL
    ratio = new["estimate"] / old["estimate"] if old["estimate"] else math.nan
    rounded = same_source(*pair) and abs(ratio - 1) < ROUNDING
    return _bare(ratio), "same draws: identical up to rounding" if rounded else pair.differ()


def _elbo(pair: Pair) -> Compared:
    ends = []
    for record in pair:
        measured = record["measurements"]
        ends.append(dict(zip(measured["seeds"], measured["final"]["test_elbo"], strict=True)))
    shared = [seed for seed, end in ends[0].items() if end is not None and ends[1].get(seed) is not None]
    if not shared:
        return
    differences = [ends[1][seed] - ends[0][seed] for seed in shared]
    seeds = f"paired over {len(shared)} seed{'s' * (len(shared) != 1)}"
    if lost := len(ends[0].keys() | ends[1].keys()) - len(shared):
        seeds += f", {lost} diverged or in one run alone"
    alike = EQUAL if same_draws(*pair) and not any(differences) else pair.differ().partition(":")[0]
    yield "test ELBO B - A", None, mean_interval(differences), "; ".join(filter(None, (seeds, alike)))


def _time(pair: Pair) -> Compared:
    old, new = (record["measurements"] for record in pair)
    unit = next((name for name in ("plain_ratio", "ratio") if name in old and name in new), None)
    if unit is None:  # seconds alone, which are those of a machine at a moment
        return
    log_ses = [_log_se(measured[unit]) if "log_se" in measured[unit] else math.nan for measured in (new, old)]
    remarks = [f"{name} on a busy machine" for name, record in zip("AB", pair, strict=True) if _busy(record)]
    if machine(pair.a) != machine(pair.b):
        remarks.append("two machines")
    ratio = new[unit]["median"] / old[unit]["median"]
    if any(map(math.isnan, log_ses)):
        interval = _bare(ratio)
        remarks.append("no interval: a record does not hold the noise of its clock")
    else:
        interval = ratio_interval(new[unit]["median"], log_ses[0], old[unit]["median"], log_ses[1])
    yield (
        f"step time B/A, in {'plain steps' if unit == 'plain_ratio' else 'floors'}",
        None,
        interval,
        "; ".join(remarks),
    )


def _busy(record: Record) -> bool:
    load, cores = record["measurements"].get("load"), record["provenance"].get("cores")
    return bool(load and cores) and busy(load[0], cores)


def _bare(ratio: float) -> Interval:
    """Without an interval."""
    return Interval(ratio, math.nan, math.nan)


def _log_se(measured: Mapping[str, Any]) -> float:
    return math.inf if measured["log_se"] is None else float(measured["log_se"])
