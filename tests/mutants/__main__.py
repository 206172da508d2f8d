"""`python -m tests.mutants results/mutants.md`: plants faults and says how many the tests see."""

import tempfile
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from bench.run.provenance import machine
from bench.run.store import write_atomic
from tests.mutants.planting import Area, Mutant, areas, plant
from tests.mutants.scores import as_markdown, equivalents, score

KNOWN = {area.name: area for area in areas()}


def chosen(name: str) -> str:
    """The name of an area of areas.toml.

    Raises:
        typer.BadParameter: there is no such area.
    """
    if name not in KNOWN:
        raise typer.BadParameter(f"unknown area {name!r}; choose among {', '.join(KNOWN)}")
    return name


def main(
    out: Annotated[Path, typer.Argument(help="Markdown file to write.")],
    area: Annotated[list[str] | None, typer.Option(parser=chosen, help="Only this area; may be given again.")] = None,
    share: Annotated[float, typer.Option(min=0.0, help="Try so many times the mutants that areas.toml says.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Of the sample.")] = 0,
    processes: Annotated[int, typer.Option(min=1, help="Mutants at a time.")] = 2,
) -> None:
    """Plant faults one at a time, run the tests on each, and write how many they see."""
    same, start = equivalents(), time.perf_counter()
    results: list[tuple[Area, int, list[Mutant]]] = []
    for name in area or KNOWN:
        asked = replace(KNOWN[name], sampled=max(1, round(share * KNOWN[name].sampled)))
        with tempfile.TemporaryDirectory() as folder:
            number, mutants = plant(asked, Path(folder), seed, processes)
        typer.echo(f"{name}: {score(mutants, same)} of {len(mutants)} tried, {time.perf_counter() - start:.0f} s")
        results.append((asked, number, mutants))
    about = machine("cpu")
    made = (
        f"Made by `tox -e mutants -- --seed {seed}` in {(time.perf_counter() - start) / 60:.0f} minutes; mutmut "
        f"{version('mutmut')}, gradest {about['gradest']}, commit {about['commit']}, {about['cpu']}."
    )
    write_atomic(out, as_markdown(results, same, made).encode())


if __name__ == "__main__":
    typer.run(main)
