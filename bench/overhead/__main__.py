"""`python -m bench.overhead DIR`: measure what the suite itself costs, and write overhead.{json,md,csv}."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from bench.overhead import imports, long_report, runs
from bench.overhead.copies import Size
from bench.overhead.quantities import as_csv, as_json, as_markdown
from bench.run.provenance import machine
from bench.run.store import write_atomic
from bench.suite.load import load_suite


def main(
    out: Annotated[Path, typer.Argument(help="Folder to write into.")],
    suite: Annotated[str, typer.Option(help="Suite to run; a name, or a path that ends in .toml.")] = "quick",
    repeats: Annotated[int, typer.Option(min=1, help="Runs of the suite, and reports.")] = 3,
    imported: Annotated[int, typer.Option(min=1, help="Interpreters started to time the import.")] = 15,
    size: Annotated[
        tuple[int, int, int, int], typer.Option(help="The long report: estimators, VAEs, toys, levels of a toy.")
    ] = Size(),
) -> None:
    """Measure and write."""
    about = machine("cpu")  # before anything runs: the load is that of others
    with tempfile.TemporaryDirectory() as folder:
        of_import = imports.measure(imported)
        of_run, records = runs.measure(load_suite(suite), Path(folder), repeats)
        of_report, study = long_report.measure(records, Size(*size), Path(folder), repeats)
    quantities = [*of_import, *of_run, *of_report]
    write_atomic(out / "overhead.json", as_json(quantities, about, study).encode())
    write_atomic(out / "overhead.csv", as_csv(quantities).encode())
    text = as_markdown(quantities, about, study)
    write_atomic(out / "overhead.md", text.encode())
    print(text)


if __name__ == "__main__":
    typer.run(main)
