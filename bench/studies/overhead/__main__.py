"""`python -m bench.studies.overhead DIR`: measure what the suite itself costs, and write overhead.{json,md,csv}."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from bench.report.text import number
from bench.run.provenance import machine
from bench.studies import results
from bench.studies.overhead import imports, runs
from bench.studies.results import Results, Row, Run
from bench.suite.load import load_suite

COLUMNS = ("quantity", "unit", "median", "q25", "q75", "n", "target", "met")


def markdown(run: Run) -> str:
    """A table with a few words on how each number was made."""
    return results.page(
        "What the suite itself costs",
        "Median [quartiles] of n measurements; a target is met where the median keeps to it. Import: wall clock of "
        "`import estimators` in a fresh interpreter that has imported torch. Run: wall clock of the suite `quick` "
        "without its report, less what is inside the cells' measurements; the parts are timed one by one on the same "
        "cells, and do not add up to it. "
        f"Made by `tox -e overhead`; {results.made_on(run.provenance)}.",
        results.table(
            ("quantity", "measured", "n", "target", "met"),
            [_cells(row) for row in run.rows],
            ("measured", "n", "target"),
        ),
    )


def _cells(row: Row) -> list[str]:
    quarters = f" [{number(row.low)}, {number(row.high)}]" if row.n != 1 else ""
    target = "" if row.target is None else f"<= {row.target:g} {row.unit}"
    return [row.quantity, f"{number(row.value)}{quarters} {row.unit}", str(row.n), target, row.met]


def publish(out: Path, run: Run) -> str:
    """Write overhead.csv and overhead.md; returns the page."""
    text = markdown(run)
    csv = results.csv([row.columns() for row in run.rows], COLUMNS)
    results.write_texts(out, {"overhead.csv": csv, "overhead.md": text})
    return text


def main(
    out: Annotated[Path, typer.Argument(help="Folder to write into.")],
    suite: Annotated[str, typer.Option(help="Suite to run; a name, or a path that ends in .toml.")] = "quick",
    repeats: Annotated[int, typer.Option(min=1, help="Runs of the suite.")] = 3,
    imported: Annotated[int, typer.Option(min=1, help="Interpreters started to time the import.")] = 15,
) -> None:
    """Measure and write."""
    about = machine("cpu")  # before anything runs: the load is that of others
    with tempfile.TemporaryDirectory() as folder:
        of_import = imports.measure(imported)
        of_run = runs.measure(load_suite(suite), Path(folder), repeats)
    run = Run(name="overhead", provenance=about, rows=(*of_import, *of_run))
    results.write(out / "overhead.json", Results().replaced(run))
    print(publish(out, run))


if __name__ == "__main__":
    typer.run(main)
