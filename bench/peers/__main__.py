"""`python -m bench.peers OUT_DIR`: time, then write peers.json, and from it the table and the figure."""

import importlib.util
import json
from pathlib import Path
from typing import Annotated

import typer

from bench.peers import report
from bench.peers.cases import COMPARISONS
from bench.run.store import write_atomic

MODULES = {"storch": "storchastic", "pyro": "pyro-ppl"}


def absent() -> list[str]:
    """Peers that are not installed."""
    return [package for module, package in MODULES.items() if importlib.util.find_spec(module) is None]


def main(
    out: Annotated[Path, typer.Argument(help="Folder to write into.")],
    rounds: Annotated[int, typer.Option(min=5, help="Rounds timed of each comparison.")] = 200,
    redraw: Annotated[bool, typer.Option("--redraw", help="Measure nothing; remake table and figure.")] = False,
) -> None:
    """Time a training step beside that of storchastic and of Pyro."""
    measured = out / "peers.json"
    if not redraw:
        if missing := absent():
            verb = "are" if len(missing) > 1 else "is"
            typer.echo(
                f"bench.peers times storchastic and pyro-ppl; {' and '.join(missing)} {verb} not installed here: "
                "run `tox -e peers`, which installs both beside the package",
                err=True,
            )
            raise typer.Exit(2)
        from bench.peers.timing import measure_all  # it imports the peers

        measurements = measure_all(COMPARISONS, rounds)
        write_atomic(measured, json.dumps(measurements, indent=1, allow_nan=False).encode())
    elif not measured.is_file():
        typer.echo(f"--redraw reads {measured}, which is not there: run without --redraw first", err=True)
        raise typer.Exit(2)
    for path in report.write(json.loads(measured.read_text()), out):
        typer.echo(path)


if __name__ == "__main__":
    typer.run(main)
