"""`python -m bench.studies.peers OUT_DIR`: time, then write peers.json, and from it the table and the figure."""

import importlib.util
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from bench.run.store import write_atomic
from bench.studies import results
from bench.studies.peers import table
from bench.studies.peers.cases import COMPARISONS
from bench.studies.results import Results, Run

MODULES = {"storch": "storchastic", "pyro": "pyro-ppl"}


def publish(run: Run, out: Path) -> None:
    """Write peers.csv, .md, .pdf and .png, from the measurements alone."""
    from bench.report import drawing
    from bench.report.figures.canvas import Plot
    from bench.studies.peers.figure import draw

    results.write_texts(out, {"peers.csv": results.csv(table.wide(run)), "peers.md": table.markdown(run)})
    for ending, content in next(drawing.files([Plot("peers", "", "", partial(draw, run))], ("pdf", "png"))).items():
        write_atomic(out / f"peers.{ending}", content)


def _refuse(message: str) -> typer.Exit:
    typer.echo(message, err=True)
    return typer.Exit(2)


def main(
    out: Annotated[Path, typer.Argument(help="Folder to write into.")],
    rounds: Annotated[int, typer.Option(min=5, help="Rounds timed of each comparison.")] = 200,
    redraw: Annotated[bool, typer.Option("--redraw", help="Measure nothing; remake table and figure.")] = False,
) -> None:
    """Time a training step beside that of storchastic and of Pyro."""
    measured = out / "peers.json"
    if not redraw:
        missing = [package for module, package in MODULES.items() if importlib.util.find_spec(module) is None]
        if missing:
            raise _refuse(
                f"bench.studies.peers times storchastic and pyro-ppl; {' and '.join(missing)} "
                f"{'are' if len(missing) > 1 else 'is'} not installed here: run `tox -e peers`, which installs both "
                "beside the package"
            )
        from bench.studies.peers.timing import measure_all  # it imports the peers

        results.write(measured, Results().replaced(measure_all(COMPARISONS, rounds)))
    elif not measured.is_file():
        raise _refuse(f"--redraw reads {measured}, which is not there: run without --redraw first")
    (run,) = results.read(measured).runs
    publish(run, out)
    for ending in ("csv", "md", "pdf", "png"):
        typer.echo(out / f"peers.{ending}")


if __name__ == "__main__":
    typer.run(main)
