"""`python -m bench.studies.audit DIR` measures coverage and false sentences, and writes CSV files and audit.md."""

from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import typer

from bench.run.provenance import machine
from bench.studies import results
from bench.studies.audit import coverage, page, pools, replicates


def main(out: Annotated[Path, typer.Argument(help="Folder to write into.")]) -> None:
    """Draw, simulate and write."""
    made = results.made_on(machine("cpu"))
    tables: dict[str, list[dict[str, Any]]] = {"coverage": [], "null": []}
    for pool in chain(pools.toys(), pools.vaes()):
        tables["coverage"] += coverage.covered(pool)
        tables["null"] += coverage.said(pool)
        print(f"{pool.problem} {pool.point} {pool.estimator}", flush=True)
    tables |= {"replicates": [*replicates.coverage()], "effects": [*replicates.seeds()], "power": [*replicates.power()]}
    texts = {f"{name}.csv": results.csv(rows) for name, rows in tables.items()}
    results.write_texts(out, texts | {"audit.md": page.markdown(tables, made)})


if __name__ == "__main__":
    typer.run(main)
