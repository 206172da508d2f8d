"""`python -m bench.studies.scaling DIR`: measure, then publish."""

from pathlib import Path
from typing import Annotated

import typer

from bench.studies import results
from bench.studies.scaling.factors import FACTORS
from bench.studies.scaling.measure import measure_apart
from estimators.errors import unknown

NAME = "scaling.json"


def publish(folder: Path) -> None:
    """Make the tables and figures of a folder's scaling.json, each file whole or not at all."""
    # What measures needs nothing of what draws.
    from bench.report import drawing
    from bench.report.output import write_figures
    from bench.studies.scaling import figures, page
    from bench.studies.scaling.fit import fitted

    table = fitted(results.read(folder / NAME))
    results.write_texts(folder, {"scaling.md": page.markdown(table), "scaling.csv": page.csv(table)})
    plots = list(figures.plots(table))
    write_figures(plots, drawing.files(plots, ("pdf", "png")), folder, {"pdf", "png"})


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
        run = measure_apart(FACTORS[name])
        # After each factor: what was measured survives a run that is stopped.
        results.write(out / NAME, results.read(out / NAME).replaced(run))
        print(f"{name}: {run.about['seconds']:.0f} s", flush=True)
    if not (out / NAME).exists():
        raise typer.BadParameter(f"{out} holds no {NAME}: there is nothing to redraw")
    publish(out)


if __name__ == "__main__":
    typer.run(main)
