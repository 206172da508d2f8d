"""`gradest report`."""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.guard import DONE, guarded


@guarded
def report_verb(
    directories: Annotated[list[Path], typer.Argument(help="Folders of runs; several are read as one.")],
    formats: Annotated[str, typer.Option("--format", help="Some of md,tex,csv,html,pdf,svg,png.")] = "",
    out: Annotated[Path | None, typer.Option(help="Where to write; the run's own folder by default.")] = None,
    archive: Annotated[
        bool, typer.Option("--archive", help="Then move cells/*.json into one file to publish, cells.zip.")
    ] = False,
) -> int:
    """Make tables, figures and report.html from records."""
    from estimators.errors import BadInput

    if archive and (out is not None or len(directories) > 1):
        raise BadInput("--archive moves the records of one run within its folder; leave out --out and other folders")
    code = report(directories, formats, out)
    if archive:
        pack(directories[0])
    return code


def report(directories: list[Path], formats: str, out: Path | None) -> int:
    """Write the report of one or several runs; returns the exit code.

    Raises:
        BadInput: a folder without records, an unknown format, or several folders and nowhere to write.
    """
    from bench.report.output import FORMATS
    from estimators.errors import BadInput, unknown

    chosen = list(filter(None, formats.split(","))) or FORMATS
    for name in chosen:
        if name not in FORMATS:
            raise BadInput(unknown("format", name, FORMATS))
    if out is None and len(directories) > 1:
        raise BadInput("several folders are read as one run; say where to write with --out DIR")
    write_report(directories, out or directories[0], chosen)
    return DONE


def pack(directory: Path) -> None:
    """Move a run's records into its archive, and say where they are.

    Raises:
        BadInput: the archive that is there is damaged.
    """
    from bench.run.planned import forget_plan
    from bench.run.store import Store

    store = Store(directory)
    store.pack()
    forget_plan(directory)
    print(f"records: {store.archive}")


def write_report(directories: Sequence[Path], out: Path, formats: Sequence[str] | None = None) -> None:
    """Write what several folders hold as one run, and say what was written and left out.

    Raises:
        BadInput: a folder holds no run, or no record yet.
    """
    from bench.records.record import Record
    from bench.records.shown import LeftOut, merged, newest, sentences
    from bench.report.output import ALL_FORMATS, write
    from bench.report.text import plural
    from bench.run.folder import name_of_run, title_of_run
    from bench.run.planned import read_plan
    from bench.run.store import Store
    from estimators.errors import BadInput

    records: list[Record] = []
    older: list[LeftOut] = []
    unfinished: list[str] = []
    titles: dict[str, None] = {}  # in order, each once
    for directory in directories:
        titles[title_of_run(directory)] = None
        found = newest(Store(directory).whole())
        if not found.records:
            raise BadInput(f"{str(directory)!r} holds no records yet; gradest run makes them")
        planned = read_plan(directory) or set()
        if missing := planned - {record.cell for record in found.records}:
            left = f"{len(missing)} of {plural(len(planned), 'cell')} are not there yet"
            unfinished.append(f"{name_of_run(directory)} is not finished: {left}.")
        records += found.records
        older += found.left_out
    notes = unfinished + sentences(older)
    started = time.monotonic()
    files = write(records, out, set(formats or ALL_FORMATS), " and ".join(titles), notes)
    for note in [*notes, *sentences(merged(records).left_out)]:
        print(note)
    print(f"wrote {len(files)} files in {time.monotonic() - started:.0f} s")
    page = out / "report.html"
    print(f"report: {page if page in files else out}{os.linesep}", end="")
