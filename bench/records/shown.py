"""Which of several records of one thing is shown, and what is said of those that are left out for it."""

import math
import sys
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from bench.records.record import Record
from bench.records.results import Moments, Training

ROUNDING = 1e-3
"""Relative difference between two machines' numbers that rounding explains; a training makes much of little."""


class LeftOut(NamedTuple):
    """A record that is not shown, and the one that is instead."""

    record: Record
    shown: Record


class Kept(NamedTuple):
    """Records to show, by id, and those left out for them."""

    records: list[Record]
    left_out: list[LeftOut]


def _one_each(records: Iterable[Record], key: Callable[[Record], Hashable], rank: Callable[[Record], Any]) -> Kept:
    """Of the records with one key that of the highest rank, the later in order where they tie."""
    groups: dict[Hashable, list[Record]] = {}
    for record in records:
        groups.setdefault(key(record), []).append(record)
    shown = [max(reversed(group), key=rank) for group in groups.values()]
    pairs = zip(shown, groups.values(), strict=True)
    left_out = [LeftOut(record, best) for best, group in pairs for record in group if record is not best]
    return Kept(sorted(shown, key=lambda record: (record.cell, record.machine)), left_out)


def newest(records: Iterable[Record]) -> Kept:
    """Of one run's records the newest of each subject."""
    return _one_each(records, lambda record: record.subject, lambda record: str(record.started))


def merged(records: Iterable[Record]) -> Kept:
    """Of several runs' records one of each measurement: one that went well before one that did not, then the later."""
    return _one_each(records, lambda record: record.measurement, lambda record: (record.went_well, str(record.started)))


def same_source(a: Record, b: Record) -> bool:
    """Whether both records were made by the same version of an estimator's source, as far as they say."""
    return a.provenance.estimator_source == b.provenance.estimator_source


def same_draws(a: Record, b: Record) -> bool:
    """Whether two records were made with the same noise: they are of one cell."""
    return a.cell == b.cell


_OF_A_RUN = {"seconds", "resumed", "elsewhere"}


def _without_seconds(value: Any) -> Any:
    """Measurements without the seconds that they took, and the parts in which they were made."""
    match value:
        case Mapping():
            return {key: _without_seconds(part) for key, part in value.items() if key not in _OF_A_RUN}
        case list() | tuple():
            return [_without_seconds(part) for part in value]
    return value


def _headline(record: Record) -> list[tuple[float | None, float]]:
    """The numbers that a record is read for, each with the size that a difference is held against.

    A variance of rounding alone has no digit that two machines share: it is held against the gradient's square.
    """
    if record.kind == "train":
        final = record.result(Training).final
        return [(end, 0.0) for ends in (final.train_elbo, final.test_elbo, final.test_iwae) for end in ends]
    moments = [point.q for point in record.result(Moments).points]
    return [(_known(q.variance.estimate), (_known(q.gradient_norm) or 0.0) ** 2) for q in moments]


def _known(x: float) -> float | None:
    return None if math.isnan(x) else x


def disagreement(a: Record, b: Record) -> float:
    """How far two records of the same draws are apart: the largest relative difference of their headline numbers.

    Returns:
        0 where all their measurements but seconds are equal; infinity where one has a number that the other lacks.
    """
    if _without_seconds(a.measurements) == _without_seconds(b.measurements):
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
    if not record.went_well and shown.went_well:
        return f"{record.status}, where a record of the same thing went well"
    if not same_draws(record, shown):
        return "an older one of the same thing with other settings"
    if not same_source(record, shown):
        return "an older one of the same cell, of another version of the estimator's source"
    if record.kind == "time" or record.machine == shown.machine:
        return "an older one of the same cell"
    gap = disagreement(record, shown)
    if gap > ROUNDING:
        return f"the same draws on another machine, BUT NUMBERS THAT DIFFER, by up to {gap:.1g} of one"
    how_equal = "equal in every number" if gap == 0 else "equal up to rounding in variances and ELBOs"
    return f"the same draws on another machine, {how_equal}"


def sentences(left_out: Sequence[LeftOut]) -> list[str]:
    """What was left out, why, how many records and of which folder, where that is known."""
    counts = Counter((pair.record.folder, _why(pair)) for pair in left_out)
    return [
        f"{'1 record' if count == 1 else f'{count} records'} left out{f' of {folder}' if folder else ''}: {why}."
        for (folder, why), count in counts.items()
    ]
