"""What an executor is, what is asked of one, and how it says that a process died."""

import signal
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import NamedTuple, Protocol, Self

from bench.records.record import Record
from bench.suite.schema import Cell
from bench.training.stopped import Stopped

TO_STOP = 5.0
"""Seconds in which cells that are told to stop, and can, may leave their checkpoints."""
Run = Callable[[Cell], Record | Stopped]
"""Runs one cell, in whatever process."""
Results = Iterator[tuple[Cell, Record | Exception | Stopped]]
"""Cells with what came of them."""


class Died(Exception):
    """The process that ran a cell died, so that nothing could make a record of the cell's failure there.

    Args:
        words: how it died.
        cells: how many it had been given, all of which come with this one exception.
    """

    def __init__(self, words: str, cells: int = 1) -> None:
        super().__init__(words, cells)
        self.words, self.cells = words, cells

    def __str__(self) -> str:
        return self.words


def ending(code: int | None) -> str:
    """How a process ended, by its exit code; minus the number of a signal, None where it is not known."""
    if code is None or code == 255:  # as dask has it where somebody else read the code
        return "died"
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"was killed by {name}" + (", as the system does where memory runs out" if name == "SIGKILL" else "")


class Asked(NamedTuple):
    """What a person asked for: where cells are to run."""

    workers: int | None = None
    """Processes; None where it was not said: one, or as many as the scheduler has."""
    scheduler: str | None = None
    """An existing cluster's address, or the name of a table in the user's configuration."""
    device: str = "cpu"
    """That cells compute on."""


class Executor(Protocol):
    """Spreads cells over processes. What is costly, a cluster, is made at the first cell and kept inside the `with`."""

    elsewhere: bool
    """Whether cells run on other machines, whose devices are not those of this one."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None: ...

    def __call__(self, cells: Iterable[Cell], run: Run, /) -> Results:
        """Run the cells, and yield each with its record, in any order; or with the reason why it has none, `Died`.

        The next cell is taken from the iterable only when there is a process for it, or will be in a moment. A cell
        whose process died is not tried again here. One that a limit stopped, before it began or inside, comes with
        what stopped it, or not at all.

        Raises:
            BadInput: what was asked for cannot be had.
            Stopped: the limit has come, or the cluster is lost; what was under way has been told, and yielded.
            KeyboardInterrupt: the same at Ctrl-C.
        """
        ...

    def singly(self, cells: Iterable[Cell], run: Run, /) -> Results:
        """The same, and no process has more than one of them: for cells one of which may end its process."""
        ...

    def alone(self, cells: Iterable[Cell], run: Run, /) -> Results:
        """Run the cells one at a time and nothing beside them, for what is timed; otherwise as a call does."""
        ...
