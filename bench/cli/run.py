"""`gradest run`: cells with progress, one line for every outcome, then the report."""

import gc
import importlib.util
import math
import sys
import time
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli import complete
from bench.cli.doctor import REPORT
from bench.cli.dry_run import show_plan
from bench.cli.guard import DONE, FAILED, INTERRUPTED, JSON, STOPPED, again, guarded
from bench.cli.loudness import ASKED
from bench.cli.paths import path
from bench.printed import visible
from bench.report.text import plural

if TYPE_CHECKING:
    from bench.run.executors.base import Asked
    from bench.run.limit import Limit
    from bench.run.runner import Outcome
    from bench.suite.schema import Suite


LONG = 10
"""Seconds of work of a cell whose loss is worth a line."""


@guarded
def run_verb(
    suite: Annotated[
        str, typer.Argument(help="A suite's name, or a path that ends in .toml.", autocompletion=complete.suite)
    ],
    out: Annotated[Path | None, typer.Option(parser=path, help="Folder of the run; runs/SUITE by default.")] = None,
    estimators: Annotated[
        list[str] | None,
        typer.Option(
            "--estimator",
            "-e",
            help="NAME[key=value,...] in place of the suite's own; repeatable.",
            autocompletion=complete.estimator,
        ),
    ] = None,
    seeds: Annotated[int | None, typer.Option(help="Seeds to train.")] = None,
    device: Annotated[
        str | None, typer.Option(help="cpu or cuda.", autocompletion=complete.among(*complete.DEVICES))
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; above 1 needs the extra `cluster`.", show_default="1")
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            help="An existing cluster, tcp://HOST:PORT, or a table's NAME of your configuration, of Slurm say."
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would run; write nothing.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Run cells again that are done.")] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Run cells again that failed, died or ran out of memory.")
    ] = False,
    time_limit: Annotated[
        str | None, typer.Option(help="Stop by then, keep everything, exit with 3: 90s, 8m, 1h30m.")
    ] = None,
    as_json: JSON = False,
) -> int:
    """Run a suite from where an earlier run stopped, then write its report."""
    started = time.monotonic()  # what is imported below takes some of the time too
    from bench.run.limit import Limit, seconds_of
    from bench.training.stopped import Stopped
    from estimators.errors import BadInput
    from estimators.plugins import staying_here

    if force and time_limit is not None:
        raise BadInput(
            "--force does not go with --time-limit: the next run could not tell which cells were run again; give a new "
            "folder with --out"
        )
    limit = Limit(None if time_limit is None else seconds_of(time_limit), started)
    try:
        with limit:
            from bench.run.executors import Asked, check_workers
            from bench.suite.load import left_behind, load_suite, override

            with staying_here():
                whole = load_suite(suite)
                chosen = override(whole, estimators=estimators, seeds=seeds, device=device)
            for line in [] if ASKED.quiet else left_behind(whole, chosen):
                print(visible(line), file=sys.stderr)
            folder = out or Path("runs") / chosen.name
            asked = Asked(workers, scheduler, chosen.device)
            if dry_run:
                check_workers(asked)
                show_plan(chosen, folder, as_json=as_json, workers=workers or 1)
                return DONE
            with redirect_stdout(sys.stderr) if as_json else nullcontext():  # what is said is for a person
                code = run_and_report(
                    chosen,
                    folder,
                    asked=asked,
                    force=force,
                    retry_failed=retry_failed,
                    limit=limit,
                )
            if as_json:
                print_outcome(folder, code)
            return code
    except (Stopped, KeyboardInterrupt) as stopped:  # before the first cell, or between the last one and the report
        told = f"stopped by {stopped.reason}" if isinstance(stopped, Stopped) else "interrupted"
        print(f"{told} outside of any cell; what was done is kept. Go on with: {again()}", file=sys.stderr)
        return STOPPED if isinstance(stopped, Stopped) else INTERRUPTED


def print_outcome(out: Path, code: int) -> None:
    """Where a run stands at its end, as `gradest status --json` says it, with its page and the exit code."""
    from bench.cli.tables import print_json
    from bench.run.status import status

    page = out / "report.html"
    print_json(status(out) | {"report": str(page) if page.is_file() else None, "exit_code": code})


def run_and_report(
    suite: "Suite", out: Path, *, asked: "Asked", force: bool, retry_failed: bool, limit: "Limit"
) -> int:
    """Run a suite with progress, then its report; returns the exit code.

    Raises:
        BadInput: the folder holds a run of another suite, or see `run_suite`.
    """
    from bench.cli.report import write_report
    from bench.cli.tables import print_damaged
    from bench.cli.terminal import Display
    from bench.cli.unwell import unwell
    from bench.run.executors import executor_for
    from bench.run.folder import refuse_other
    from bench.run.limit import AT_LIMIT
    from bench.run.runner import run_suite
    from bench.run.store import Store
    from bench.training.stopped import Stopped
    from estimators.errors import BadInput

    if out.exists() and not out.is_dir():
        raise BadInput(f"{str(out)!r} is a file, and a run needs a folder: give one with --out")
    refuse_other(out, suite.name)
    display = Display()
    gc.freeze()  # all that was imported stays, and need not be looked through again and again while records are read
    begun = None if math.isinf(limit.deadline) else _so_far(out)  # which looks at every record
    started = time.monotonic()
    try:
        outcome = run_suite(
            suite,
            out,
            executor=executor_for(asked, limit),
            force=force,
            retry_failed=retry_failed,
            progress=display.cell_done,
            starting=display.running,
            limit=limit,
            damaged=lambda found: print_damaged(found, "run again"),
        )
    except KeyboardInterrupt:
        done = len(Store(out).ids())
        print(f"interrupted; {_cells(done)} done and kept in {out}. Go on with: {again()}", file=sys.stderr)
        return INTERRUPTED
    if outcome.stopped:
        if outcome.stopped.reason == AT_LIMIT and _so_far(out) == begun:
            print(why_nothing(outcome, out), file=sys.stderr)
        return say_stopped(outcome, out, force=force)
    page = out / "report.html"
    newest = max((path.stat().st_mtime for path in Store(out).cells.glob("*.json")), default=0.0)
    if outcome.fresh == 0 and page.is_file() and page.stat().st_mtime >= newest:
        print(f"nothing to do: {_all(outcome.done)} done; the report is {page}")
    else:
        if outcome.fresh:
            print(f"ran {plural(outcome.fresh, 'cell')} in {time.monotonic() - started:.0f} s")
        missing = [package for package in REPORT if importlib.util.find_spec(package) is None]
        if missing:
            print(f"records are in {out}; no report here without {', '.join(missing)}: gradest report {out}")
        else:
            try:
                limit.check()
                write_report([out], out)
            except Stopped as stopped:
                told = f"stopped by {stopped.reason} before the report was written; {_all(outcome.done)} done"
                print(f"{told} and kept in {out}. Go on with: {again()}", file=sys.stderr)
                return STOPPED
    for record in outcome.unwell:
        print("\n".join(map(visible, unwell(record))), file=sys.stderr)
    if outcome.unwell:
        more = "" if ASKED.traceback else ", --traceback shows where"
        of = f"{len(outcome.unwell)} of {plural(outcome.done, 'cell')} went wrong"
        print(f"{of}; --retry-failed runs those again that failed{more}", file=sys.stderr)
    return FAILED if outcome.unwell else DONE


def _are(count: int) -> str:
    return f"{count} {'is' if count == 1 else 'are'}"


def _cells(count: int) -> str:
    """`1 cell is`, `2 cells are`."""
    return f"{plural(count, 'cell')} {'is' if count == 1 else 'are'}"


def _all(count: int) -> str:
    return f"{'the' if count == 1 else 'all'} {_cells(count)}"


def _so_far(out: Path) -> tuple[dict[str, float], dict[str, int]]:
    """When the records of a run were written, and how far its checkpoints are, by cell: whatever runner's they are."""
    from bench.run.checkpoints import Checkpoints
    from bench.run.store import Store

    written = {path.stem: path.stat().st_mtime for path in Store(out).cells.glob("*.json")}
    return written, {head.cell: head.step for head in Checkpoints(out).headers()}


def why_nothing(outcome: "Outcome", out: Path) -> str:
    """Why a run of which nothing got further did not before its time limit: too short, or it waited for others."""
    from bench.run.claims import Board

    board = Board(out)
    others = board.running()  # what this runner had it has given free
    who = " and ".join(sorted({runner.words for _, runner in others.values()}))
    nothing = "nothing got further before the time limit"
    if (timing := board.timing) is not None:
        return f"{nothing}: {timing.words} measures times, beside which nothing begins"
    if len(others) >= outcome.left:
        return f"{nothing}: all that is left was waited for, and is with {who}"
    return f"{nothing}: give a longer --time-limit" + (f"; at work beside this run: {who}" if others else "")


def say_stopped(outcome: "Outcome", out: Path, *, force: bool) -> int:
    """Say of a run that was stopped what is kept and how it goes on; returns the exit code."""
    from bench.run.status import status

    assert outcome.stopped
    for cell, seconds in outcome.lost:
        if seconds >= LONG:
            print(
                f"{cell.title}: begins anew after {seconds:.0f} s: nothing is kept inside such a cell", file=sys.stderr
            )
    begun = len(status(out)["in_progress"])
    inside = f", {begun} of them begun" if begun else ""
    rest = f" again, and {outcome.left} keep their earlier records" if force else f", {_are(outcome.left)} left{inside}"
    done = outcome.fresh if force else outcome.done
    print(
        f"stopped by {outcome.stopped.reason}; {_cells(done)} done and kept in {out}{rest}. Go on with: {again()}",
        file=sys.stderr,
    )
    return STOPPED
