"""What a person sees while cells run: progress with the time left, on a line as narrow as theirs."""

import sys
import time
from collections import deque
from collections.abc import Hashable, Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn
from rich.table import Column
from rich.text import Text

from bench.cli.loudness import ASKED
from bench.printed import unescaped, visible
from bench.records.record import Record
from bench.report.text import plural
from bench.run.expected import Expected, Span, at_once, kinds
from bench.suite.cost import typical_seconds
from bench.suite.schema import Cell

LOOKED_AT = 200
"""The last cells, which tell how many run at once."""
OFTEN = 0.5
"""Seconds between two estimates of the time left: there may be hundreds of cells in one."""
BAR_FROM, TITLE_FROM = 60, 50
"""Columns of a terminal from which there is room for a bar, and for what runs."""


class Left:
    """How long the cells that are left will take.

    Each is expected to take what others of its kind took (`bench.run.expected`), beside what a typical core takes for
    it; those that nothing is known of as long as a usual one of the run. As many run at once as were seen to, but those
    that run alone; and between two cells passes what passed between the others, for their records are written.

    Args:
        cells: to run.
        expected: knows what other cells took.
    """

    def __init__(self, cells: Iterable[Cell], expected: Expected | None = None) -> None:
        self.waiting = {cell.id: cell for cell in cells}
        self.expected = expected or Expected()
        typical = typical_seconds(self.waiting.values())
        self.expected.typical |= typical
        self.groups: dict[tuple[Hashable, ...], _Group] = {}
        """Of the cells that wait, those of which the same is expected: there may be ten thousand cells."""
        for name, cell in self.waiting.items():
            self._group(name, cell).change(1, typical.get(name))
        self.spans: deque[Span] = deque(maxlen=LOOKED_AT)
        self.count, self.took, self.worked = 0, 0.0, 0.0
        """How many are done, and their seconds: of all, and of all but the first."""
        self.first = self.last = 0.0
        """When the first cell was done, and the last so far."""

    def _group(self, name: str, cell: Cell) -> "_Group":
        key = kinds(cell)[0], cell.measurement.alone, name in self.expected.typical
        return self.groups.setdefault(key, _Group(cell))

    def finish(self, cell: Cell, record: Record, now: float) -> None:
        """Note that a cell is done.

        Args:
            cell: which.
            record: of it.
            now: seconds of a clock that does not go back.
        """
        name = record.cell
        del self.waiting[name]
        self._group(name, cell).change(-1, self.expected.typical.get(name))
        self.expected.add(record)
        self.spans.append(Span.of(record))
        self.first, self.last = self.first if self.count else now, now
        self.took += record.seconds or 0.0
        self.worked += (record.seconds or 0.0) if self.count else 0.0
        self.count += 1

    def seconds(self) -> float | None:
        """Seconds left from the moment at which the last cell was done; None before one says what it took."""
        if not self.waiting:
            return 0.0
        if not self.took:
            return None
        together = at_once(self.spans)
        pause = max(0.0, self.last - self.first - self.worked / together) / max(1, self.count - 1)
        usual = self.took / self.count
        beside = alone = 0.0
        for group in self.groups.values():
            seconds = group.seconds(self.expected, usual)
            if group.cell.measurement.alone:
                alone += seconds
            else:
                beside += seconds
        return beside / together + alone + pause * len(self.waiting)


class _Group:
    """Cells of which the same is expected."""

    def __init__(self, cell: Cell) -> None:
        self.cell, self.count, self.typical = cell, 0, 0.0

    def change(self, by: int, typical: float | None) -> None:
        """Take a cell in, or out."""
        self.count += by
        self.typical += by * (typical or 0.0)

    def seconds(self, expected: Expected, otherwise: float) -> float:
        """Of all of them together; those of which nothing is known take as long as is said."""
        if not self.count:
            return 0.0
        if self.typical:
            ratio = expected.ratio(self.cell)
            return self.count * otherwise if ratio is None else self.typical * ratio
        usual = expected.usual(self.cell)
        return self.count * (otherwise if usual is None else usual)


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
        self.expected = Expected()

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
        self.left, self.cells = Left(todo, self.expected), len(todo)
        self.shown = self.started = time.monotonic()
        self.told: float = 0.0
        self.until: float | None = None
        bar = self.console.is_terminal and not ASKED.quiet
        total = sum(cell.problem.cost for cell in todo)
        wide = self.console.width >= TITLE_FROM
        with Progress(*self._columns(), console=self.console, disable=not bar, expand=wide) as self.progress:
            done = f"0 of {self.cells} cells"
            self.task = self.progress.add_task(visible(todo[0].title), total=total, done=done, until=None)
            yield

    def cell_done(self, record: Record, cell: Cell) -> None:
        """What `run_suite` takes as `progress`."""
        now = time.monotonic()
        self.left.finish(cell, record, now)
        waiting = self.left.waiting
        done = f"{self.cells - len(waiting)} of {self.cells} cells"
        running = visible(next(iter(waiting.values()), cell).title)
        if now - self.told > OFTEN or not waiting:
            seconds = self.left.seconds()
            self.told, self.until = now, None if seconds is None else now + seconds
        self.progress.update(self.task, advance=cell.problem.cost, description=running, done=done, until=self.until)
        if not record.went_well:
            self.console.print(visible(f"{record.status}: {cell.title}: {record.reason}"), soft_wrap=True)
        elif ASKED.verbose:
            took = "" if record.seconds is None else f" ({record.seconds:.1f} s)"
            self._say(f"ok: {cell.title}{took}")
        if not self.console.is_terminal and now - self.shown > 15:
            self.shown = now
            left = "" if self.until is None else f", about {max(0.0, self.until - now):.0f} s left"
            self._say(f"{done}, {now - self.started:.0f} s{left}")
