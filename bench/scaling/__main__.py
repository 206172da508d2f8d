"""`python -m bench.scaling DIR`: measure, then publish."""

from pathlib import Path
from typing import Annotated

import typer

from bench.scaling import records
from bench.scaling.factors import FACTORS
from bench.scaling.measure import measure_apart
from bench.scaling.output import publish
from estimators.errors import unknown


def main(
    out: Annotated[Path, typer.Argument(help="Folder to write into.")],
    factor: Annotated[
        list[str] | None, typer.Option(help=f"Measure only these, and keep the others: {', '.join(FACTORS)}.")
    ] = None,
    redraw: Annotated[bool, typer.Option("--redraw", help="Measure nothing; tables and figures alone.")] = False,
) -> None:
    """Measure how cost grows, and write scaling.json, tables and figures."""
    for name in factor or ():
        if name not in FACTORS:
            raise typer.BadParameter(unknown("factor", name, list(FACTORS)))
    for name in () if redraw else factor or FACTORS:
        record = measure_apart(FACTORS[name])
        # After each factor: what was measured survives a run that is stopped.
        records.write(out, records.read(out).replaced(record))
        print(f"{name}: {record.seconds:.0f} s", flush=True)
    if not (out / records.NAME).exists():
        raise typer.BadParameter(f"{out} holds no {records.NAME}: there is nothing to redraw")
    publish(out)


if __name__ == "__main__":
    typer.run(main)
