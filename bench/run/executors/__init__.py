"""Executors: how cells are spread over processes. Each takes cells and the function that runs one."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from bench.records.record import Record
from bench.run.executors.inline import inline
from bench.run.limit import Limit
from bench.suite.schema import Cell
from bench.training.stopped import Stopped

__all__ = ["Executor", "executor_for", "inline"]


class Executor(Protocol):
    """Yields every cell with its record, in any order; or with the reason why it has none, where a worker died.

    A cell that a limit stopped, before it began or inside, comes with what stopped it, or not at all.
    """

    def __call__(
        self, cells: Sequence[Cell], run: Callable[[Cell], Record | Stopped], /
    ) -> Iterator[tuple[Cell, Record | Exception | Stopped]]:
        """Run the cells."""
        ...


def executor_for(workers: int, limit: Limit | None = None) -> Executor:
    """The executor for so many processes: one runs the cells here."""
    if workers == 1:
        return inline
    from bench.run.executors.local_dask import Dask  # an optional dependency

    return Dask(workers, limit)
