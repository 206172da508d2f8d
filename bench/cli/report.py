"""`gradest report`."""

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.guard import DONE, find_own_code, reading
from bench.cli.paths import path

if TYPE_CHECKING:
    from bench.report.selection import Selection


@reading
def report_verb(
    directories: Annotated[list[Path], typer.Argument(parser=path, help="Folders of runs; several are read as one.")],
    formats: Annotated[str, typer.Option("--format", help="Some of md,tex,csv,html,pdf,svg,png.")] = "",
    out: Annotated[
        Path | None, typer.Option(parser=path, help="Where to write; the run's own folder by default.")
    ] = None,
    chosen: Annotated[
        str, typer.Option("--estimators", help="Names or labels, a,b[samples=4]: these in colour, the others in grey.")
    ] = "",
    problems: Annotated[str, typer.Option(help="Problems by name, beginning or pattern, digits,cubic/*.")] = "",
    width: Annotated[str, typer.Option(help="Of every figure: column (3.4 in) or page (7 in).")] = "",
    columns: Annotated[str, typer.Option(help="Of the tables in LaTeX, estimator,variance,ratio.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the files and notes as JSON.")] = False,
    imports: Annotated[
        list[str] | None,
        typer.Option(
            "--import", help="Import this module of your own: a measurement draws its own tables; repeatable."
        ),
    ] = None,
    archive: Annotated[
        bool, typer.Option("--archive", help="Then move cells/*.json into one file to publish, cells.zip.")
    ] = False,
) -> int:
    """Make tables, figures and report.html from records.

    Of chosen estimators or problems, tables and figures are written into a folder selection/ beside the whole report,
    or where --out says.
    """
    from bench.report.selection import Selection, split
    from estimators.errors import BadInput
    from estimators.plugins import import_own

    if imports:
        find_own_code()
    if archive and (out is not None or len(directories) > 1):
        raise BadInput("--archive moves the records of one run within its folder; leave out --out and other folders")
    for name in imports or ():
        import_own(name)
    selection = Selection(split(chosen), split(problems), width, split(columns))
    code = report(directories, formats, out, selection, as_json)
    if archive:
        pack(directories[0], quiet=as_json)
    return code


def report(
    directories: list[Path],
    formats: str,
    out: Path | None,
    selection: "Selection | None" = None,
    as_json: bool = False,
) -> int:
    """Write the report of one or several runs; returns the exit code.

    Raises:
        BadInput: a folder without records, an unknown format, several folders and nowhere to write, or something
            selected that there is not.
    """
    from bench.report.output import FORMATS
    from bench.report.selection import FOLDER
    from estimators.errors import BadInput, unknown

    chosen = list(filter(None, formats.split(","))) or FORMATS
    for name in chosen:
        if name not in FORMATS:
            raise BadInput(unknown("format", name, FORMATS))
    if selection is not None and selection.columns and "tex" not in chosen:
        raise BadInput(f"--columns chooses those of the tables in LaTeX, and --format {formats} writes none: add tex")
    of_a_part = selection is not None and selection.of_a_part
    if of_a_part and "html" in formats.split(","):
        raise BadInput("the page is of the whole run: leave html out of --format, or --estimators and --problems out")
    if out is None and len(directories) > 1:
        raise BadInput("several folders are read as one run; say where to write with --out DIR")
    where = out or (directories[0] / FOLDER if of_a_part else directories[0])
    write_report(directories, where, chosen, selection, as_json)
    return DONE


def pack(directory: Path, quiet: bool = False) -> None:
    """Move a run's records into its archive, and say where they are.

    Raises:
        BadInput: the archive that is there is damaged.
    """
    from bench.run.planned import forget_plan
    from bench.run.store import Store

    store = Store(directory)
    store.pack()
    forget_plan(directory)
    if not quiet:
        print(f"records: {store.archive}")


def write_report(
    directories: Sequence[Path],
    out: Path,
    formats: Sequence[str] | None = None,
    selection: "Selection | None" = None,
    as_json: bool = False,
) -> None:
    """Write what several folders hold as one run, and say what was written and left out.

    Raises:
        BadInput: a folder holds no run, or no record yet, or nothing of what is selected.
    """
    from bench.cli.tables import print_lines
    from bench.records import damage
    from bench.records.damage import Damage
    from bench.records.record import Record
    from bench.records.shown import LeftOut, merged, newest, sentences
    from bench.report.output import ALL_FORMATS, write
    from bench.report.selection import WHOLE
    from bench.report.text import plural
    from bench.run.folder import name_of_run, title_of_run
    from bench.run.planned import read_plan
    from bench.run.store import Store
    from estimators.errors import BadInput

    records: list[Record] = []
    older: list[LeftOut] = []
    damaged: list[Damage] = []
    unfinished: list[str] = []
    titles: dict[str, None] = {}  # in order, each once
    for directory in directories:
        titles[title_of_run(directory)] = None
        there = Store(directory).found()
        found = newest(there.records)
        if not found.records:
            which = f"no whole record: {there.damaged[0].words()}" if there.damaged else "no records yet"
            raise BadInput(f"{str(directory)!r} holds {which}; gradest run makes them")
        damaged += there.damaged
        planned = read_plan(directory) or set()
        if missing := planned - {record.cell for record in there.records}:
            left = f"{len(missing)} of {plural(len(planned), 'cell')} are not there yet"
            unfinished.append(f"{name_of_run(directory)} is not finished: {left}.")
        records += found.records
        older += found.left_out
    notes = unfinished + damage.sentences(damaged) + sentences(older)
    started = time.monotonic()
    chosen = selection or WHOLE
    answer: list[str] = []
    kinds, title = set(formats or ALL_FORMATS), " and ".join(titles)
    files = write(records, out, kinds, title, notes, answering=answer.extend, selection=chosen)
    said = [*notes, *sentences(merged(records).left_out)]
    page = out / "report.html"
    if as_json:
        where = str(page if page in files else out)
        broken = [one.plain() for one in damaged]
        told = {"report": where, "answer": answer, "notes": said, "damaged": broken, "files": [*map(str, files)]}
        print(json.dumps(told, indent=1))
        return
    print_lines([*answer, *said])
    print(f"wrote {plural(len(files), 'file')} in {time.monotonic() - started:.0f} s")
    print(f"report: {page if page in files else out}{os.linesep}", end="")
