"""Which record of one run stands beside which of the other."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

from bench.records.record import Record
from bench.records.shown import same_draws, same_source


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


def place(pair: Pair) -> tuple[tuple[bool, Any], ...]:
    """Where a pair stands in the table: by kind, problem, |logit| or scale, estimator, and its samples."""
    return tuple((part is not None, part) for part in (*pair.a.config.comparable, pair.a.config.estimator.samples))


def budgets(*runs: Sequence[Record]) -> set[Hashable]:
    """What of the runs' records any run holds with several numbers of samples, by what is `comparable` of it."""
    found: set[Hashable] = set()
    for run in runs:
        samples: dict[Hashable, set[int | None]] = {}
        for record in run:
            samples.setdefault(record.config.comparable, set()).add(record.config.estimator.samples)
        found |= {comparable for comparable, numbers in samples.items() if len(numbers) > 1}
    return found


def pair_up(first: Sequence[Record], second: Sequence[Record]) -> list[Pair]:
    """Each record with at most one of the other run: of the same measurement, else cell, else subject, else alike.

    Where a run holds an estimator at several budgets, that of one budget stands beside no other.
    """
    pairs = list[Pair]()
    left, right = list(first), list(second)
    swept = budgets(first, second)

    def alike(record: Record) -> Hashable:
        comparable = record.config.comparable
        return comparable, record.config.estimator.samples if comparable in swept else None

    keys: tuple[Callable[[Record], Hashable], ...] = (
        lambda record: record.measurement,
        lambda record: record.cell,
        lambda record: record.subject,
        alike,
    )
    for key in keys:
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
