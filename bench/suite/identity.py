"""What a cell is, and when two records are of the same thing: said here once, for store, report and compare.

- A **cell** is a resolved configuration; its id is the hash of that, and its noise comes from the id. Two records with
  one id are the same draws again, and the same numbers up to the rounding of two machines or the versions of two
  sources. But a time is a measurement of a machine: two machines give two.
- The **subject** of a cell is what it measures, whatever the settings (how many draws, steps, seeds, threads): kind of
  measurement, problem at its point, estimator, device. Where one run measured a subject twice, the newer record is
  shown. Other settings mean another id, and so other draws.
"""

import hashlib
import json
import math
import sys
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

Record = Mapping[str, Any]

SWEPT = ("logit", "scale")
"""The swept quantities of a toy: one record a value, all of them points of one problem."""
ROUNDING = 1e-3
"""Relative difference between two machines' numbers that rounding explains; a training makes much of little."""


def cell_id(config: Mapping[str, Any]) -> str:
    """16 hex digits of the hash of a resolved configuration."""
    text = json.dumps(config, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def kind(record: Record) -> str:
    """What a record measures: train, moments or time."""
    return str(record["config"]["measurement"]["kind"])


def machine(record: Record) -> str:
    """The machine of a record, as far as its times depend on it: the host and its accelerator."""
    provenance = record["provenance"]
    return " ".join(str(provenance[key]) for key in ("host", "gpu") if provenance.get(key))


def _of_machine(record: Record) -> str:
    """The machine where it is a part of what is measured, else nothing."""
    return machine(record) if kind(record) == "time" else ""


def measurement(record: Record) -> Hashable:
    """Equal for records of which a report of several runs shows one: a cell, of each machine where it is a time."""
    return str(record["cell"]), _of_machine(record)


def subject(record: Record) -> tuple[Any, ...]:
    """Equal for records of which a run shows one: kind, problem at its point, estimator, device, machine of a time."""
    config = record["config"]
    problem = config["problem"]
    place = (problem.get(part) for part in ("kind", "label", *SWEPT))
    return (kind(record), *place, config["estimator"]["label"], config["device"], _of_machine(record))


def comparable(record: Record) -> tuple[Any, ...]:
    """Equal for records of two runs that can be set side by side: the subject, on whatever device and machine."""
    return subject(record)[:-2]


class LeftOut(NamedTuple):
    """A record that is not shown, and the one that is instead."""

    record: Record
    shown: Record


class Kept(NamedTuple):
    """Records to show, by id, and those left out for them."""

    records: list[Record]
    left_out: list[LeftOut]


def _rank(record: Record) -> tuple[bool, str]:
    return record["status"] == "ok", str(record.get("started"))


def _one_each(records: Iterable[Record], key: Callable[[Record], Hashable], rank: Callable[[Record], Any]) -> Kept:
    """Of the records with one key that of the highest rank, the later in order where they tie."""
    groups: dict[Hashable, list[Record]] = {}
    for record in records:
        groups.setdefault(key(record), []).append(record)
    shown = [max(reversed(group), key=rank) for group in groups.values()]
    pairs = zip(shown, groups.values(), strict=True)
    left_out = [LeftOut(record, best) for best, group in pairs for record in group if record is not best]
    return Kept(sorted(shown, key=lambda record: (str(record["cell"]), machine(record))), left_out)


def newest(records: Iterable[Record]) -> Kept:
    """Of one run's records the newest of each subject."""
    return _one_each(records, subject, lambda record: str(record.get("started")))


def merged(records: Iterable[Record]) -> Kept:
    """Of several runs' records one of each measurement: one that went well before one that did not, then the later."""
    return _one_each(records, measurement, _rank)


def same_source(a: Record, b: Record) -> bool:
    """Whether both records were made by the same version of an estimator's source, as far as they say."""
    return bool(a["provenance"].get("estimator_source") == b["provenance"].get("estimator_source"))


def same_draws(a: Record, b: Record) -> bool:
    """Whether two records were made with the same noise: they are of one cell."""
    return bool(a["cell"] == b["cell"])


def _timeless(value: Any) -> Any:
    """Measurements without the seconds that they took."""
    match value:
        case Mapping():
            return {key: _timeless(part) for key, part in value.items() if key != "seconds"}
        case list() | tuple():
            return [_timeless(part) for part in value]
    return value


def _headline(record: Record) -> list[tuple[float | None, float]]:
    """The numbers that a record is read for, each with the size that a difference is held against.

    A variance of rounding alone has no digit that two machines share: it is held against the gradient's square.
    """
    measured = record["measurements"]
    if kind(record) == "train":
        final = measured.get("final") or {}
        return [(end, 0.0) for name in ("train_elbo", "test_elbo", "test_iwae") for end in final.get(name) or []]
    moments = [point["q"] for point in measured.get("points", [])]
    return [(q["variance"]["estimate"], (q.get("gradient_norm") or 0.0) ** 2) for q in moments]


def disagreement(a: Record, b: Record) -> float:
    """How far two records of the same draws are apart: the largest relative difference of their headline numbers.

    Returns:
        0 where all their measurements but seconds are equal; infinity where one has a number that the other lacks.
    """
    if _timeless(a["measurements"]) == _timeless(b["measurements"]):
        return 0.0
    first, second = _headline(a), _headline(b)
    if [x is None for x, _ in first] != [y is None for y, _ in second]:
        return math.inf
    gaps = [
        abs(x - y) / max(abs(x), abs(y), size)
        for (x, size), (y, _) in zip(first, second, strict=True)
        if x is not None and y is not None and x != y
    ]
    return max(gaps, default=sys.float_info.epsilon)


def _why(pair: LeftOut) -> str:
    """Why a record is left out, in words that records with one reason share."""
    record, shown = pair
    if record["status"] != "ok" and shown["status"] == "ok":
        return f"{record['status']}, where a record of the same thing went well"
    if not same_draws(record, shown):
        return "an older one of the same thing with other settings"
    if not same_source(record, shown):
        return "an older one of the same cell, of another version of the estimator's source"
    if kind(record) == "time" or machine(record) == machine(shown):
        return "an older one of the same cell"
    gap = disagreement(record, shown)
    if gap > ROUNDING:
        return f"the same draws on another machine, BUT NUMBERS THAT DIFFER, by up to {gap:.1g} of one"
    told = "equal in every number" if gap == 0 else "equal up to rounding in variances and ELBOs"
    return f"the same draws on another machine, {told}"


def sentences(left_out: Sequence[LeftOut]) -> list[str]:
    """What was left out, why, how many records and of which folder, where a reader noted that in `folder`."""
    counts = Counter((str(pair.record.get("folder", "")), _why(pair)) for pair in left_out)
    return [
        f"{'1 record' if count == 1 else f'{count} records'} left out{f' of {folder}' if folder else ''}: {why}."
        for (folder, why), count in counts.items()
    ]
