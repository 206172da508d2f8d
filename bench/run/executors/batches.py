"""Which cells a worker is given at once: several where they are short, since to hand one over takes milliseconds too.

Asking a worker for a cell costs the scheduler and the two processes some five milliseconds, as much as a cell of a toy.
"""

import math
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
        self._paces = dict[tuple[str, ...], float]()
        """Seconds here for one of a typical core, by the sort of a cell: of the slowest, where that was lately."""

    @property
    def ended(self) -> bool:
        """Whether nothing is left that `take` could give."""
        return self._ended and not self._back

    def take(self) -> list[Cell]:
        """The next cells for a worker; none where nothing is left.

        All but the first are known to be short, so that none waits for one that may take an hour.
        """
        taken, together = list[Cell](), 0.0
        # A cell is taken to be looked at only where the worker will be free again in a moment, or others could have it.
        while len(taken) < self._most and together < TOGETHER and (cell := self._next()) is not None:
            together += self._expected(cell)
            if taken and together > TOGETHER:
                self._back.appendleft(cell)
                break
            taken.append(cell)
        return taken

    def put_back(self, cells: Iterable[Cell]) -> None:
        """Take these first, which a worker was given and has not begun."""
        self._back.extendleft(reversed([*cells]))

    def took(self, record: Record, cell: Cell) -> None:
        """Note how long a cell took: a slower one than those of before counts at once, a faster one by and by."""
        pace, sort = (record.seconds or 0.0) / _typical(cell), _sort(cell)
        self._paces[sort] = max(pace, (self._paces.get(sort, pace) + pace) / 2)

    def died(self, cells: Iterable[Cell]) -> None:
        """Give cells of the sorts of these, of which a process died, one by one to begin with."""
        for cell in cells:
            self._paces.pop(_sort(cell), None)

    def _next(self) -> Cell | None:
        if self._back:
            return self._back.popleft()
        cell = next(self._cells, None)
        self._ended = cell is None
        return cell

    def _expected(self, cell: Cell) -> float:
        """Seconds that it will take, by those of its sort; for ever where none is known."""
        return self._paces.get(_sort(cell), math.inf) * _typical(cell)


def _sort(cell: Cell) -> tuple[str, ...]:
    return *kinds(cell)[1], cell.estimator.label


def _typical(cell: Cell) -> float:
    """Seconds on a typical core; as long as any other where it does not say."""
    return cell.cost.seconds if cell.cost is not None and cell.cost.seconds > 0 else 1.0
