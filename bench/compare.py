"""Two runs side by side, from their records alone."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench.machine_load import busy
from bench.run.status import run_suite_of
from bench.run.store import Store
from bench.statistics import Interval, mean_interval, ratio_interval
from bench.suite.identity import (
    ROUNDING,
    Record,
    comparable,
    kind,
    machine,
    measurement,
    newest,
    same_draws,
    same_source,
    sentences,
    subject,
)
from estimators.errors import BadInput

EQUAL = "same draws: identical"


class Pair(NamedTuple):
    """A record of each run, of the same thing."""

    a: Record
    b: Record

    def differ(self) -> str:
        """What cells of one id, and so of one seed, have different numbers from; empty where their seeds differ."""
        if not same_draws(self.a, self.b):
            return ""
        if not same_source(self.a, self.b):
            return "same draws, other source: paired, so no interval"
        return "same draws, other machine or versions"


def compare(first: Path, second: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """Rows for what both runs measured, and notes on what sets them apart.

    A variance is compared by the ratio B / A. A cell's noise comes from its id: cells of one configuration are the same
    draws, equal or different for their source's or machine's sake, and no interval of independent draws holds for them;
    of other settings the draws are independent, and the 95 % interval is the jackknife's on log variance. The test ELBO
    is compared by the mean of B - A over the seeds that both have, by number (Student t), the step time by the ratio of
    the two ratios to the plain step timed beside each, so that no second of one machine is set beside one of another.

    Raises:
        BadInput: a folder holds no run, or the two share nothing.
    """
    runs, notes, names = [], [], (first, second)
    for directory in names:
        run_suite_of(directory)
        found = newest(record | {"folder": str(directory)} for record in Store(directory).whole())
        runs.append([record for record in found.records if record["status"] == "ok"])
        notes += sentences(found.left_out)
    pairs = _pairs(*runs)
    for run, name in zip(runs, names, strict=True):
        if not run:
            raise BadInput(f"no cell of {str(name)!r} went well: gradest status {name} says why")
    if not pairs:
        raise BadInput(f"{str(first)!r} and {str(second)!r} share no measurement of one estimator on one problem")
    rows = [row for pair in sorted(pairs, key=_place) for row in _rows(pair)]
    alone = [f"{len(run) - len(pairs)} cells went well in {name} alone" for run, name in zip(runs, names, strict=True)]
    return rows, [*alone, *notes, *_settings(pairs), *_differences(pairs)]


def _place(pair: Pair) -> tuple[tuple[bool, Any], ...]:
    """Where a pair stands in the table: by kind, problem, |logit| or scale, and estimator."""
    return tuple((part is not None, part) for part in comparable(pair.a))


def _pairs(first: Sequence[Record], second: Sequence[Record]) -> list[Pair]:
    """Each record with at most one of the other run: of the same measurement, else cell, else subject, else alike."""
    pairs = list[Pair]()
    left, right = list(first), list(second)
    for key in (measurement, lambda record: record["cell"], subject, comparable):
        others: dict[Any, list[Record]] = {}
        for record in right:
            others.setdefault(key(record), []).append(record)
        alone = []
        for record in left:
            if partners := others.get(key(record)):
                pairs.append(Pair(record, partners.pop()))
            else:
                alone.append(record)
        left, right = alone, [record for partners in others.values() for record in partners]
    return pairs


def _settings(pairs: Sequence[Pair]) -> list[str]:
    """One note for each setting that shared cells were made with differently: then they measure different things."""
    notes: dict[str, None] = {}  # in order, each once
    for pair in pairs:
        a, b = (_flat(record["config"]) for record in pair)
        for name in sorted(a.keys() | b.keys()):
            if a.get(name) != b.get(name):
                words = f"SETTINGS DIFFER: {kind(pair.a)} {name}: {a.get(name)} in A, {b.get(name)} in B"
                notes[words] = None
    return list(notes)


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in table.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


def _rows(pair: Pair) -> Iterator[dict[str, Any]]:
    config = pair.a["config"]
    base = {"problem": config["problem"]["label"], "estimator": config["estimator"]["label"]}
    compared = {"moments": _variances, "train": _elbo, "time": _time}[kind(pair.a)]
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


def _differences(pairs: Sequence[Pair]) -> list[str]:
    """What of provenance the shared cells of the two runs do not share, with all values that occur."""
    keys = ("host", "cpu", "gpu", "threads", "python", "torch", "gradest", "commit", "dirty")
    notes = []
    for key in keys:
        a, b = (sorted({str(record["provenance"].get(key)) for record in run}) for run in zip(*pairs, strict=True))
        if a != b:
            notes.append(f"{key}: {', '.join(a)} in A, {', '.join(b)} in B")
    return notes
