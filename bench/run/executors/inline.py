"""One cell after another, in this process."""

from collections.abc import Callable, Iterator, Sequence

from bench.records.record import Record
from bench.suite.schema import Cell
from bench.training.stopped import Stopped


def inline(cells: Sequence[Cell], run: Callable[[Cell], Record | Stopped]) -> Iterator[tuple[Cell, Record | Stopped]]:
    """Run the cells here, in order."""
    for cell in cells:
        yield cell, run(cell)
