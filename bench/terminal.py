"""What a person sees while cells run: progress with time left, and one line for every outcome."""

import importlib.util
import math
import os
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from bench.cli import DONE, FAILED, INTERRUPTED
from bench.doctor import REPORT
from bench.problems.toys import ToyPoint
from bench.run.executors import Executor, inline
from bench.run.runner import run_suite
from bench.run.status import run_suite_of
from bench.run.store import Record, Store
from bench.suite import identity
from bench.suite.plan import plan
from bench.suite.schema import Cell, Suite, title_of
from estimators.errors import BadInput, unknown

VAE_WEIGHT = 20
"""How many times the work of a toy cell a VAE's cell is, for the time left."""


def print_table(rows: Sequence[dict[str, Any]]) -> None:
    """Rows as a table as wide as the terminal, or as wide as it needs where the output is a file."""
    if not rows:
        print("nothing to show")
        return
    console = Console(width=None if sys.stdout.isatty() else 10_000, emoji=False, highlight=False)
    table = Table(box=None, pad_edge=False)
    for key in rows[0]:
        table.add_column(key, overflow="fold", no_wrap=key == "name")
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    console.print(table)


def _cell(value: Any) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case None:
            return "-"
        case float():
            return "-" if math.isnan(value) else f"{value:.3g}"
        case dict():
            return ", ".join(f"{key} {_cell(item)}" for key, item in value.items()) or "-"
        case list() | tuple():
            return " ".join(map(_cell, value)) or "-"
    return str(value).replace("[", r"\[")


def show_plan(suite: Suite, out: Path) -> None:
    """Print what a run would do."""
    chosen = plan(suite)
    store = Store(out)
    print_table(
        [{"cell": cell.id, "done": store.read(cell.id) is not None, "what": cell.title} for cell in chosen.cells]
    )
    for skipped in chosen.skipped:
        print(f"left out: {skipped.estimator} on {skipped.problem}: it {skipped.reason}")
    print(f"{len(chosen.cells)} cells, into {out}")


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
        self.console.print(f"{len(todo)} cells to run" + (f", {kept} done before" if kept else ""))
        self.waiting = {cell.id: cell for cell in todo}
        self.cells, self.total = len(todo), sum(map(_weight, todo))
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
        self.progress.update(self.task, advance=_weight(cell), description=running, done=done)
        if record["status"] != "ok":
            self.console.print(f"{record['status']}: {cell.title}: {record['reason']}")
        if not self.console.is_terminal and time.monotonic() - self.shown > 15:
            self.shown = time.monotonic()
            elapsed, left = self.shown - self.started, sum(map(_weight, self.waiting.values()))
            seconds = elapsed * left / (self.total - left)
            self.console.print(f"{done}, {elapsed:.0f} s, about {seconds:.0f} s left")


def _weight(cell: Cell) -> int:
    return 1 if isinstance(cell.problem, ToyPoint) else VAE_WEIGHT


def _executor(workers: int) -> Executor:
    if workers == 1:
        return inline
    from bench.run.executors.local_dask import Dask

    return Dask(workers)


def run_and_report(suite: Suite, out: Path, *, workers: int, force: bool) -> int:
    """Run a suite with progress, then its report; returns the exit code.

    Raises:
        BadInput: the folder holds a run of another suite, or see `run_suite`.
    """
    if (out / "suite.toml").exists() and (held := run_suite_of(out).name) != suite.name:
        raise BadInput(
            f"{str(out)!r} holds a run of suite {held!r}, not {suite.name!r}; choose another folder with --out"
        )
    display = Display()
    started = time.monotonic()
    try:
        outcome = run_suite(
            suite,
            out,
            executor=_executor(workers),
            force=force,
            progress=display.cell_done,
            starting=display.running,
        )
    except KeyboardInterrupt:
        done = len(list(Store(out).cells.glob("*.json")))
        again = shlex.join(["gradest", *(arg for arg in sys.argv[1:] if arg != "--force")])
        print(f"interrupted; {done} cells are done and kept in {out}. Go on with: {again}", file=sys.stderr)
        return INTERRUPTED
    page = out / "report.html"
    newest = max((path.stat().st_mtime for path in Store(out).cells.glob("*.json")), default=0.0)
    if outcome.fresh == 0 and page.is_file() and page.stat().st_mtime >= newest:
        print(f"nothing to do: all {outcome.done} cells are done; the report is {page}")
    else:
        if outcome.fresh:
            print(f"ran {outcome.fresh} cells in {time.monotonic() - started:.0f} s")
        missing = [package for package in REPORT if importlib.util.find_spec(package) is None]
        if missing:
            print(f"records are in {out}; no report here without {', '.join(missing)}: gradest report {out}")
        else:
            _write([out], out)
    for record in outcome.unwell:
        print(f"{record['status']}: {title_of(record['config'])}: {record['reason']}", file=sys.stderr)
    if outcome.unwell:
        print(
            f"{len(outcome.unwell)} of {outcome.done} cells went wrong; --force runs them again",
            file=sys.stderr,
        )
    return FAILED if outcome.unwell else DONE


def report(directories: list[Path], formats: str, out: Path | None) -> int:
    """Write the report of one or several runs; returns the exit code.

    Raises:
        BadInput: a folder without records, an unknown format, or several folders and nowhere to write.
    """
    from bench.report import FORMATS

    chosen = list(filter(None, formats.split(","))) or FORMATS
    for name in chosen:
        if name not in FORMATS:
            raise BadInput(unknown("format", name, FORMATS))
    if out is None and len(directories) > 1:
        raise BadInput("several folders are read as one run; say where to write with --out DIR")
    _write(directories, out or directories[0], chosen)
    return DONE


def _write(directories: Sequence[Path], out: Path, formats: Sequence[str] | None = None) -> None:
    from bench.report import ALL_FORMATS, write

    records: list[identity.Record] = []
    older: list[identity.LeftOut] = []
    titles: dict[str, None] = {}  # in order, each once
    for directory in directories:
        suite = run_suite_of(directory)
        titles[suite.title or suite.name] = None
        # Where a record lies is said of those that are left out.
        found = identity.newest(record | {"folder": str(directory)} for record in Store(directory).whole())
        if not found.records:
            raise BadInput(f"{str(directory)!r} holds no records yet; gradest run makes them")
        records += found.records
        older += found.left_out
    notes = identity.sentences(older)
    started = time.monotonic()
    files = write(records, out, set(formats or ALL_FORMATS), " and ".join(titles), notes)
    for note in [*notes, *identity.sentences(identity.merged(records).left_out)]:
        print(note)
    print(f"wrote {len(files)} files in {time.monotonic() - started:.0f} s")
    page = out / "report.html"
    print(f"report: {page if page in files else out}{os.linesep}", end="")


def print_status(found: dict[str, Any]) -> None:
    """A run's state in a few lines."""
    of, left = ("", "") if found["note"] else (f" of {found['cells']}", f"{found['pending']} to run, ")
    print(
        f"suite {found['suite']} in {found['directory']}: {found['done']}{of} cells done, {left}"
        f"{found['failed']} went wrong, {found['diverged_seeds']} seeds diverged, {found['seconds']:.0f} s of work"
    )
    if found["note"]:
        print(found["note"])
    for item in found["unwell"]:
        print(f"{item['status']}: {item['title']}: {item['reason']}")
