"""`python -m bench.studies.published DIR` measures every published cell anew, and writes README.md and its tables.

It takes about six minutes on one core, most of them for integrals over Gumbel noise.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from bench.published import Table, tables
from bench.run.provenance import machine
from bench.studies import results
from bench.studies.published.judged import COLUMNS, judged
from bench.studies.published.page import markdown

NAME = "published"


def main(
    out: Annotated[Path, typer.Argument(help="Folder to write into.")],
    redraw: Annotated[bool, typer.Option("--redraw", help="Measure nothing; the page and the CSV file alone.")] = False,
) -> None:
    """Measure, judge and write."""
    known, kept = tables(), out / f"{NAME}.json"
    if redraw:
        (run,) = results.read(kept).runs
    else:
        run = measured(known)
        results.write(kept, results.Results().replaced(run))
    flat = [row.case | {"value": row.value, "low": row.low, "high": row.high, "n": row.n} for row in run.rows]
    texts = {"README.md": markdown(known, run), "published.csv": results.csv(flat, COLUMNS)}
    results.write_texts(out, texts)


def measured(known: Mapping[str, Table]) -> results.Run:
    """All cells of these tables, by name."""
    made, rows = machine("cpu"), list[results.Row]()
    for name, table in known.items():
        rows += judged(name, table)
        print(f"{name}: {len(table.cells)} cells", flush=True)
    return results.Run(name=NAME, provenance=made, rows=tuple(rows))


if __name__ == "__main__":
    typer.run(main)
