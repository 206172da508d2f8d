"""`python -m bench.studies.peers OUT_DIR`: time, then write peers.json, and from it the tables and the figures."""

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

MODULES = {"storch": "storchastic", "pyro": "pyro-ppl", "jax": "jax", "optax": "optax"}
FIGURES = {"peers": False, "peers-jax": True}
"""Whether each is the one beside JAX."""


def publish(run: Run, out: Path) -> None:
    """Write peers.csv and .md, and peers and peers-jax as .pdf and .png, from the measurements alone."""
    from bench.report import drawing
    from bench.report.figures.canvas import Plot
    from bench.studies.peers.figure import draw

    results.write_texts(out, {"peers.csv": results.csv(table.wide(run)), "peers.md": table.markdown(run)})
    plots = [Plot(name, "", "", partial(draw, run, beside_jax)) for name, beside_jax in FIGURES.items()]
    for name, contents in zip(FIGURES, drawing.files(plots, ("pdf", "png")), strict=True):
        for ending, content in contents.items():
            write_atomic(out / f"{name}.{ending}", content)


def _refuse(message: str) -> typer.Exit:
    typer.echo(message, err=True)
    return typer.Exit(2)


def main(
    out: Annotated[Path, typer.Argument(help="Folder to write into.")],
    rounds: Annotated[int, typer.Option(min=5, help="Rounds timed of each comparison.")] = 20,
    redraw: Annotated[bool, typer.Option("--redraw", help="Measure nothing; remake tables and figures.")] = False,
) -> None:
    """Time a training step beside that of storchastic, Pyro and JAX."""
    measured = out / "peers.json"
    if not redraw:
        missing = [package for module, package in MODULES.items() if importlib.util.find_spec(module) is None]
        if missing:
            raise _refuse(
                f"bench.studies.peers times storchastic, pyro-ppl and jax with optax; {' and '.join(missing)} "
                f"{'are' if len(missing) > 1 else 'is'} not installed here: run `tox -e peers`, which installs them "
                "beside the package"
            )
        from bench.studies.peers.timing import measure_all  # it imports the peers

        results.write(measured, Results().replaced(measure_all(COMPARISONS, rounds)))
    elif not measured.is_file():
        raise _refuse(f"--redraw reads {measured}, which is not there: run without --redraw first")
    (run,) = results.read(measured).runs
    publish(run, out)
    for name in ("peers.csv", "peers.md", *(f"{figure}.{ending}" for figure in FIGURES for ending in ("pdf", "png"))):
        typer.echo(out / name)


if __name__ == "__main__":
    typer.run(main)
