"""Which cells a worker is given at once: several where they are short, since to hand one over takes milliseconds too.

Asking a worker for a cell costs the scheduler and the two processes some five milliseconds, as much as a cell of a toy.
"""

from collections import deque
from collections.abc import Iterable

from bench.records.record import Record
from bench.run.expected import kinds
from bench.suite.schema import Cell

TOGETHER = 0.1
"""Seconds of work that a worker is given at once, where that is more than one cell."""
MOST = 16
"""Cells that a worker is given at once: a process that dies costs all of them a second try."""


class Batches:
    """Cells in their order, by one or by a few for each worker.

    Args:
        cells: each is taken when there is a worker for it, or will be within the time of a batch.
        most: that a worker is given at once.
    """

    def __init__(self, cells: Iterable[Cell] = (), most: int = MOST) -> None:
        self._cells, self._most = iter(cells), most
        self._back = deque[Cell]()
        """Taken, and not run yet."""
        self._ended = False
        self._took = dict[tuple[str, ...], float]()
        """Seconds that a cell takes, by its sort: those of the longest one, where it was not long ago."""

    @property
    def ended(self) -> bool:
        """Whether nothing is left that `take` could give."""
        return self._ended and not self._back

    def take(self) -> list[Cell]:
        """The next cells for a worker; none where nothing is left.

        They are of one sort: a cell that may take an hour does not hold up what is known of short ones.
        """
        taken: list[Cell] = []
        while (cell := self._next()) is not None:
            if taken and _sort(cell) != _sort(taken[0]):
                self._back.appendleft(cell)
                break
            taken.append(cell)
            if len(taken) >= self._count(cell):
                break
        return taken

    def put_back(self, cells: Iterable[Cell]) -> None:
        """Take these first, which a worker was given and has not begun."""
        self._back.extendleft(reversed([*cells]))

    def took(self, record: Record, cell: Cell) -> None:
        """Note how long a cell took: a longer one than those of before counts at once, a shorter one by and by."""
        seconds, sort = record.seconds or 0.0, _sort(cell)
        self._took[sort] = max(seconds, (self._took.get(sort, seconds) + seconds) / 2)

    def died(self, cell: Cell) -> None:
        """Give cells of the sort of this one, of which a process may have died, one by one to begin with."""
        self._took.pop(_sort(cell), None)

    def _next(self) -> Cell | None:
        if self._back:
            return self._back.popleft()
        cell = next(self._cells, None)
        self._ended = cell is None
        return cell

    def _count(self, cell: Cell) -> int:
        if (took := self._took.get(_sort(cell))) is None:
            return 1
        return max(1, min(self._most, int(TOGETHER / max(took, 1e-9))))


def _sort(cell: Cell) -> tuple[str, ...]:
    return kinds(cell)[1]
