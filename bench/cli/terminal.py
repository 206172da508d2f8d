"""What a person sees while cells run: progress with time left."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from bench.records.record import Record
from bench.report.text import plural
from bench.suite.schema import Cell


def _work(cells: Iterable[Cell]) -> int:
    """Rough work of cells, for the time left."""
    return sum(cell.problem.cost for cell in cells)


class Display:
    """A progress bar on a terminal; a line now and then elsewhere."""

    def __init__(self) -> None:
        self.console = Console(stderr=True, markup=False, emoji=False, highlight=False)

    @contextmanager
    def running(self, todo: list[Cell], kept: int) -> Iterator[None]:
        """What `run_suite` takes as `starting`."""
        if not todo:
            yield
            return
        self.console.print(f"{plural(len(todo), 'cell')} to run" + (f", {kept} done before" if kept else ""))
        self.waiting = {cell.id: cell for cell in todo}
        self.cells, self.total = len(todo), _work(todo)
        self.shown = self.started = time.monotonic()
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[done]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self.console, disable=not self.console.is_terminal) as self.progress:
            self.task = self.progress.add_task(todo[0].title[:60], total=self.total, done=f"0 of {self.cells} cells")
            yield

    def cell_done(self, record: Record, cell: Cell) -> None:
        """What `run_suite` takes as `progress`."""
        del self.waiting[cell.id]
        done = f"{self.cells - len(self.waiting)} of {self.cells} cells"
        running = next(iter(self.waiting.values()), cell).title[:60]
        self.progress.update(self.task, advance=cell.problem.cost, description=running, done=done)
        if not record.went_well:
            self.console.print(f"{record.status}: {cell.title}: {record.reason}")
        if not self.console.is_terminal and time.monotonic() - self.shown > 15:
            self.shown = time.monotonic()
            elapsed, left = self.shown - self.started, _work(self.waiting.values())
            seconds = elapsed * left / (self.total - left)
            self.console.print(f"{done}, {elapsed:.0f} s, about {seconds:.0f} s left")
