"""`python -m bench.studies.claims` holds every published sentence against its table and writes results/claims.csv.

With `--write` it first puts the tables' numbers into the sentences; with `--check` it writes nothing. It exits with 1
where a sentence does not hold or a number has no source, one line each.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from bench.run.store import write_atomic
from bench.studies.claims.check import csv, faults, written
from bench.studies.claims.scan import loose, pages, useless
from bench.studies.claims.source import ROOT, Sources, read
from bench.studies.claims.tables import values
from estimators.errors import BadInput

CSV = "results/claims.csv"


def problems(sources: Sources, root: Path) -> Iterator[str]:
    """All that does not hold, a line each."""
    for claim in sources.claim:
        try:
            yield from faults(claim, root)
        except BadInput as error:
            yield str(error)
    for file in pages(root):
        try:
            yield from loose(file, sources, root)
        except BadInput:
            continue  # said above, of the claim
    yield from useless(sources, root)


def refresh(sources: Sources, root: Path) -> None:
    """Put the tables' numbers into the pages."""
    for file in dict.fromkeys(claim.file for claim in sources.claim):
        before = text = (root / file).read_text()
        for claim in sources.claim:
            if claim.file == file:
                text = written(claim, text, values(claim, root))
        if text != before:
            write_atomic(root / file, text.encode())
            print(f"{file}: numbers refreshed")


def main(
    write: Annotated[bool, typer.Option("--write", help="Put the tables' numbers into the sentences first.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Write nothing.")] = False,
    root: Annotated[Path, typer.Option(help="The checkout.")] = ROOT,
) -> None:
    """Hold published sentences against their tables."""
    try:
        sources = read(root)
        if write:
            refresh(sources, root)
        if lines := list(problems(sources, root)):
            print("\n".join(lines))
            raise typer.Exit(1)
        made = csv(sources.claim, root)
    except BadInput as error:
        print(error)
        raise typer.Exit(2) from error
    if not check:
        write_atomic(root / CSV, made.encode())
    elif not (root / CSV).exists() or (root / CSV).read_text() != made:
        print(f"{CSV} is not what the tables and sentences say: write it by `python -m bench.studies.claims`")
        raise typer.Exit(1)
    print(f"{len(sources.claim)} claims hold")


if __name__ == "__main__":
    typer.run(main)
