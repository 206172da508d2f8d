"""How long cells will take, from what others like them took. Records alone are read: nothing here needs torch.

What a cell takes is foretold by the median of what cells of its kind took, of the narrowest kind with enough of them:
the same measurement of the same problem, of the same sort of problem, or any. Where it is known beforehand what the
cells cost on a typical core (`bench.suite.cost`), the median is that of the ratio, so that one with ten times the
evaluations of f is expected to take ten times as long.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from statistics import median, median_low
from typing import Any, NamedTuple, Protocol

from bench.records.record import Record

ENOUGH = 3
"""Cells of a kind whose median is taken: the first of a problem trains the trajectory that the others share."""
BLURRED = 0.01
"""Seconds at either end of a cell that are not looked at."""


class Kinds(Protocol):
    """A cell or its identity, as far as it matters here: the kind of its measurement, its problem and its device."""

    @property
    def measurement(self) -> Any:
        """With its `kind`."""
        ...

    @property
    def problem(self) -> Any:
        """With its `kind` and its `label`."""
        ...

    @property
    def device(self) -> str | None:
        """Where it runs."""
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
        self._sums: dict[str, tuple[float, float]] = {}
        for record in records:
            self.add(record)

    def add(self, record: Record) -> None:
        """Take in what a cell took; one that failed may have ended anywhere, and is left out."""
        if not record.went_well or record.seconds is None:
            return
        seconds, typical = record.seconds, self.typical.get(record.cell)
        for kind in kinds(record.config):
            self._seconds.setdefault(kind, []).append(seconds)
            if typical:
                self._ratios.setdefault(kind, []).append(seconds / typical)
        if typical:
            device = str(record.config.device)
            before = self._sums.get(device, (0.0, 0.0))
            self._sums[device] = before[0] + seconds, before[1] + typical

    def seconds(self, cell: Kinds) -> float | None:
        """What a cell will take; None where no cell of its measurement is known, nor what it costs.

        Args:
            cell: or its identity, which is not known to cost anything.
        """
        typical = self.typical.get(getattr(cell, "id", ""))
        if typical is None:
            return self.usual(cell)
        ratio = self.ratio(cell)
        return None if ratio is None else typical * ratio

    def usual(self, cell: Kinds) -> float | None:
        """The median of the cells of its narrowest kind with enough of them, up to all of its measurement."""
        found = [self._seconds[kind] for kind in kinds(cell) if kind in self._seconds]
        chosen = next((values for values in found if len(values) >= ENOUGH), found[-1] if found else None)
        return None if chosen is None else median(chosen)

    def ratio(self, cell: Kinds) -> float | None:
        """Seconds here for a second on a typical core, of cells like this one; None where none are known.

        Beside those of the same sort of problem stands what all cells together took, as one more, so that a single one
        that waited for a busy machine does not stand for all. All together are taken by their sum, since a run may have
        hundreds of cells of a few milliseconds, of which is known badly what they cost.
        """
        if (sums := self._sums.get(str(cell.device))) is None:
            return None
        narrow, sort, _ = kinds(cell)
        if len(ratios := self._ratios.get(narrow, [])) >= ENOUGH:
            return median(ratios)
        return median_low([sums[0] / sums[1], *self._ratios.get(sort, [])])


def kinds(cell: Kinds) -> tuple[tuple[str, ...], ...]:
    """Of a cell, the narrowest first: its problem, the sort of that, any."""
    whole = str(cell.device), str(cell.measurement.kind), str(cell.problem.kind), str(cell.problem.label)
    return whole, whole[:3], whole[:2]


class Span(NamedTuple):
    """When a cell ran."""

    begun: float
    """Seconds since 1970."""
    seconds: float

    @classmethod
    def of(cls, record: Record) -> "Span":
        """Of a record; nothing of one that does not say when it was started."""
        begun = datetime.fromisoformat(record.started).timestamp() if record.started else 0.0
        return cls(begun, record.seconds or 0.0 if record.started else 0.0)


def at_once(spans: Iterable[Span]) -> int:
    """How many cells ran at the same time; 1 at least.

    A start is known to a millisecond, so that neighbours may seem to overlap by as much.
    """
    changes = []
    for begun, seconds in spans:
        if seconds > 2 * BLURRED:
            changes += [(begun + BLURRED, 1), (begun + seconds - BLURRED, -1)]
    running = most = 0
    for _, change in sorted(changes):
        running += change
        most = max(most, running)
    return max(1, most)
