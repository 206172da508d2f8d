"""`python -m bench.studies.published DIR` measures every published cell anew, and writes README.md and its tables.

It takes about a quarter of an hour on one core, most of it for integrals over Gumbel noise and for trainings. With
`--only TABLE` it measures that table alone, and keeps what DIR has of the others.
"""

from pathlib import Path
from typing import Annotated

import typer

from bench.published import tables
from bench.run.provenance import machine
from bench.studies import results
from bench.studies.published.judged import COLUMNS, judged
from bench.studies.published.page import markdown
from estimators.errors import unknown


def main(
    out: Annotated[Path, typer.Argument(help="Folder to write into.")],
    redraw: Annotated[bool, typer.Option("--redraw", help="Measure nothing; the page and the CSV file alone.")] = False,
    only: Annotated[list[str] | None, typer.Option(help="Measure this table alone; can be repeated.")] = None,
) -> None:
    """Measure, judge and write."""
    known, path = tables(), out / "published.json"
    for name in only or []:
        if name not in known:
            raise typer.BadParameter(unknown("table", name, list(known)))
    kept, made = results.read(path), machine("cpu")  # before anything runs: the load is that of others
    for name in [] if redraw else only or known:
        found = results.Run(name=name, provenance=made, rows=tuple(judged(name, known[name])))
        of = {run.name: run for run in kept.replaced(found).runs}
        kept = results.Results(schema_version=1, runs=tuple(of[one] for one in known if one in of))
        results.write(path, kept)  # after each table, so that what stops the next leaves it
        print(f"{name}: {len(found.rows)} cells", flush=True)
    rows = [row for run in kept.runs for row in run.rows]
    flat = [row.case | {"value": row.value, "low": row.low, "high": row.high, "n": row.n} for row in rows]
    results.write_texts(out, {"README.md": markdown(known, kept.runs), "published.csv": results.csv(flat, COLUMNS)})


if __name__ == "__main__":
    typer.run(main)
