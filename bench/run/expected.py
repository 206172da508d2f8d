"""How long cells will take, from what others like them took. Records alone are read: nothing here needs torch.

What a cell takes is foretold by the median of what cells of its kind took, of the narrowest kind with enough of them:
the same measurement of the same problem, of the same sort of problem, or any. Where it is known beforehand what the
cells cost on a typical core (`bench.suite.cost`), the median is that of the ratio, so that one with ten times the
evaluations of f is expected to take ten times as long.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from statistics import median, median_low
from typing import Protocol

from bench.records.identity import Identity
from bench.records.record import Record

ENOUGH = 3
"""Cells of a kind whose median is taken: the first of a problem trains the trajectory that the others share."""
BLURRED = 0.01
"""Seconds at either end of a cell that are not looked at."""


class Planned(Protocol):
    """A cell, as far as it matters here."""

    @property
    def id(self) -> str:
        """Of the hash of its configuration."""
        ...

    @property
    def identity(self) -> Identity:
        """What its record says that it is of."""
        ...


class Expected:
    """Seconds of cells, by kind.

    Args:
        records: of cells that ran.
        typical: seconds of cells on a typical core, by id; those of cells that are missing are not known.
    """

    def __init__(self, records: Iterable[Record] = (), typical: Mapping[str, float] | None = None) -> None:
        self.typical = dict(typical or {})
        self._seconds: dict[tuple[str, ...], list[float]] = {}
        self._ratios: dict[tuple[str, ...], list[float]] = {}
        self._sums: dict[tuple[str, ...], tuple[float, float]] = {}
        for record in records:
            self.add(record)

    def add(self, record: Record) -> None:
        """Take in what a cell took; one that failed may have ended anywhere, and is left out."""
        if record.went_well and record.seconds is not None:
            self.took(record.config, record.cell, record.seconds)

    def took(self, identity: Identity, cell: str, seconds: float) -> None:
        """Take in the seconds of a cell."""
        typical = self.typical.get(cell)
        for kind in _kinds(identity):
            self._seconds.setdefault(kind, []).append(seconds)
            if typical:
                self._ratios.setdefault(kind, []).append(seconds / typical)
                sums = self._sums.get(kind, (0.0, 0.0))
                self._sums[kind] = sums[0] + seconds, sums[1] + typical

    def seconds(self, cell: Planned | Identity) -> float | None:
        """What a cell will take; None where no cell of its measurement is known, nor what it costs.

        Args:
            cell: or its identity, of which it is not known what it costs.
        """
        if isinstance(cell, Identity):
            return _median(self._seconds, cell)
        typical = self.typical.get(cell.id)
        if typical is None:
            return _median(self._seconds, cell.identity)
        ratio = self._ratio(cell.identity)
        return None if ratio is None else typical * ratio

    def _ratio(self, identity: Identity) -> float | None:
        """Seconds here for a second on a typical core, of cells like this one; None where none are known.

        Beside those of the same sort of problem stands what all cells together took, as one more, so that a single one
        that waited for a busy machine does not stand for all. All together are taken by their sum, since a run may have
        hundreds of cells of a few milliseconds, of which is known badly what they cost.
        """
        narrow, sort, *_, every = _kinds(identity)
        if every not in self._sums:
            return None
        if len(ratios := self._ratios.get(narrow, [])) >= ENOUGH:
            return median(ratios)
        seconds, typical = self._sums[every]
        return median_low([seconds / typical, *self._ratios.get(sort, [])])


def _kinds(identity: Identity) -> Iterator[tuple[str, ...]]:
    """Of a cell, the narrowest first; the last holds all cells."""
    kind, device = identity.kind, str(identity.device)
    yield device, kind, str(identity.problem.kind), identity.problem.label
    yield device, kind, str(identity.problem.kind)
    yield device, kind
    yield (device,)


def _median(known: Mapping[tuple[str, ...], list[float]], identity: Identity) -> float | None:
    """Of the narrowest kind that enough are known of, up to all cells of its measurement."""
    found = [known[kind] for kind in [*_kinds(identity)][:-1] if kind in known]
    chosen = next((values for values in found if len(values) >= ENOUGH), found[-1] if found else None)
    return None if chosen is None else median(chosen)


def at_once(records: Iterable[Record]) -> int:
    """How many cells ran at the same time, as their starts and their seconds tell; 1 at least.

    A start is known to a millisecond, so that neighbours may seem to overlap by as much.
    """
    changes = []
    for record in records:
        if record.started is not None and (record.seconds or 0.0) > 2 * BLURRED:
            begun = _moment(record.started)
            changes += [(begun + BLURRED, 1), (begun + (record.seconds or 0.0) - BLURRED, -1)]
    running = most = 0
    for _, change in sorted(changes):
        running += change
        most = max(most, running)
    return max(1, most)


def _moment(started: str) -> float:
    """Seconds since 1970."""
    return datetime.fromisoformat(started).timestamp()
