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
    """Where a pair stands in the table: by kind, problem, |logit| or scale, and estimator."""
    return tuple((part is not None, part) for part in pair.a.config.comparable)


def pair_up(first: Sequence[Record], second: Sequence[Record]) -> list[Pair]:
    """Each record with at most one of the other run: of the same measurement, else cell, else subject, else alike."""
    pairs = list[Pair]()
    left, right = list(first), list(second)
    keys: tuple[Callable[[Record], Hashable], ...] = (
        lambda record: record.measurement,
        lambda record: record.cell,
        lambda record: record.subject,
        lambda record: record.config.comparable,
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
