"""What a person sees while cells run: progress with the time left, on a line as narrow as theirs."""

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from statistics import median

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn
from rich.table import Column
from rich.text import Text

from bench.cli.loudness import ASKED
from bench.printed import unescaped, visible
from bench.records.record import Record
from bench.report.text import plural
from bench.suite.schema import Cell

BAR_FROM, TITLE_FROM = 60, 50
"""Columns of a terminal from which there is room for a bar, and for what runs."""


class Left:
    """How long the cells that are left will take.

    A cell is weighed by the median seconds of those of its kind that are done, on problems of the same rough cost; one
    of a kind that none is done of by its rough cost, at the seconds that a unit of it took in the others.
    """

    def __init__(self, cells: Iterable[Cell]) -> None:
        self.waiting = {cell.id: cell for cell in cells}
        self.took: dict[tuple[str, int], list[float]] = {}
        self.done: list[Cell] = []

    def finish(self, cell: Cell, seconds: float | None) -> None:
        """Note that a cell is done, and what it took, where that is known."""
        del self.waiting[cell.id]
        self.done.append(cell)
        if seconds is not None:
            self.took.setdefault(self._kind(cell), []).append(seconds)

    @staticmethod
    def _kind(cell: Cell) -> tuple[str, int]:
        return cell.measurement.kind, cell.problem.cost

    def seconds(self, elapsed: float) -> float:
        """Seconds left: those that passed, times what is left of the work over what is done of it."""
        medians = {kind: median(took) for kind, took in self.took.items()}
        cost = sum(kind[1] * len(took) for kind, took in self.took.items())
        total = sum(map(sum, self.took.values()))
        a_unit = total / cost if cost and total else 1.0

        def work(cells: Iterable[Cell]) -> float:
            return sum(medians.get(self._kind(cell)) or a_unit * cell.problem.cost for cell in cells)

        done = work(self.done)
        return elapsed * work(self.waiting.values()) / done if done else 0.0


class _Remaining(ProgressColumn):
    """The time left, counted down between two cells."""

    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        """Hours, minutes and seconds; nothing is known before the first cell is done."""
        until = task.fields["until"]
        if until is None:
            return Text("left -:--:--")
        seconds = max(0, round(until - time.monotonic()))
        return Text(f"left {seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}")


class Display:
    """A progress bar on a terminal; a line now and then elsewhere. As loud as the command was asked to be."""

    def __init__(self) -> None:
        file = unescaped(sys.stderr)  # for the bar; all texts below are made visible
        self.console = Console(file=file, markup=False, emoji=False, highlight=False)

    def _columns(self) -> list[ProgressColumn]:
        """What fits: the count and the time left always, then what runs, then a bar."""
        width = self.console.width
        narrow = Column(no_wrap=True)
        columns: list[ProgressColumn] = []
        if width >= TITLE_FROM:
            title = Column(ratio=1, no_wrap=True, overflow="ellipsis")
            columns.append(TextColumn("{task.description}", markup=False, table_column=title))
        if width >= BAR_FROM:
            columns.append(BarColumn(bar_width=10 if width < 100 else 24))
        columns.append(TextColumn("{task.fields[done]}", table_column=narrow))
        return [*columns, TimeElapsedColumn(table_column=narrow), _Remaining(table_column=narrow)]

    def _say(self, words: str) -> None:
        if not ASKED.quiet:
            self.console.print(visible(words), soft_wrap=True)

    @contextmanager
    def running(self, todo: list[Cell], kept: int) -> Iterator[None]:
        """What `run_suite` takes as `starting`."""
        if not todo:
            yield
            return
        self._say(f"{plural(len(todo), 'cell')} to run" + (f", {kept} done before" if kept else ""))
        self.left, self.cells = Left(todo), len(todo)
        self.shown = self.started = time.monotonic()
        bar = self.console.is_terminal and not ASKED.quiet
        total = sum(cell.problem.cost for cell in todo)
        wide = self.console.width >= TITLE_FROM
        with Progress(*self._columns(), console=self.console, disable=not bar, expand=wide) as self.progress:
            done = f"0 of {self.cells} cells"
            self.task = self.progress.add_task(visible(todo[0].title), total=total, done=done, until=None)
            yield

    def cell_done(self, record: Record, cell: Cell) -> None:
        """What `run_suite` takes as `progress`."""
        self.left.finish(cell, record.seconds)
        waiting = self.left.waiting
        done = f"{self.cells - len(waiting)} of {self.cells} cells"
        running = visible(next(iter(waiting.values()), cell).title)
        now = time.monotonic()
        seconds = self.left.seconds(now - self.started)
        self.progress.update(self.task, advance=cell.problem.cost, description=running, done=done, until=now + seconds)
        if not record.went_well:
            self.console.print(visible(f"{record.status}: {cell.title}: {record.reason}"), soft_wrap=True)
        elif ASKED.verbose:
            took = "" if record.seconds is None else f" ({record.seconds:.1f} s)"
            self._say(f"ok: {cell.title}{took}")
        if not self.console.is_terminal and now - self.shown > 15:
            self.shown = now
            self._say(f"{done}, {now - self.started:.0f} s, about {seconds:.0f} s left")
