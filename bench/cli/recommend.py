"""`gradest recommend`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.guard import DONE, FAILED, JSON, guarded

if TYPE_CHECKING:
    from bench.library.recommend import Candidate

SHOWN = 8
"""Estimators in the table."""


@guarded
def recommend_verb(
    problem: Annotated[
        str, typer.Argument(help="KIND[key=value,...], such as mine:Mine[latents=3], or a suite that ends in .toml.")
    ],
    f_evals: Annotated[
        int | None,
        typer.Option(min=1, max=100_000, help="Evaluations of f a row that each may spend; else they are charged."),
    ] = None,
    estimators: Annotated[
        list[str] | None, typer.Option("--estimator", "-e", help="Only these, as NAME[key=value,...]; repeatable.")
    ] = None,
    unbiased: Annotated[bool, typer.Option("--unbiased", help="Leave out those declared biased.")] = False,
    draws: Annotated[int, typer.Option(min=3, help="Draws of each estimator at each point.")] = 1000,
    steps: Annotated[int, typer.Option(min=1, help="Steps of training before the second point.")] = 300,
    out: Annotated[Path | None, typer.Option(help="Folder of the records; runs/recommend-PROBLEM by default.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes; above 1 needs the extra `cluster`.")] = 1,
    as_json: JSON = False,
) -> int:
    """Say which estimator to take for a problem, of a person's own too, with the numbers that say so."""
    from bench.cli.tables import print_table
    from bench.cli.terminal import Display
    from bench.library.recommend import answer, suite_of
    from bench.run.executors import executor_for
    from bench.run.runner import run_suite
    from bench.run.store import Store
    from bench.suite.plan import plan

    suite = suite_of(problem, f_evals=f_evals, draws=draws, steps=steps, estimators=estimators or ())
    folder = out or Path("runs") / suite.name
    display = Display()
    executor = executor_for(workers)
    outcome = run_suite(suite, folder, executor=executor, progress=display.cell_done, starting=display.running)
    cells = {cell.id for cell in plan(suite).cells}
    found = answer([r for r in Store(folder).records() if r.cell in cells], budget=f_evals, unbiased=unbiased)
    if as_json:
        rows = [_row(candidate) | {"points": _numbers(candidate)} for candidate in found.candidates]
        print(json.dumps({"answer": found.sentence, "ranking": rows, "records": str(folder)}, indent=1))
    else:
        print_table([_row(candidate) for candidate in found.candidates[:SHOWN]])
        print(f"\n{found.sentence}\nrecords: {folder} (gradest report {folder})")
    return FAILED if outcome.unwell else DONE


def _numbers(candidate: "Candidate") -> dict[str, Any]:
    """Each point's value with the ends of its interval, null where it is exact."""
    return {
        place: {key: None if x != x else x for key, x in (("value", r.value), ("low", r.low), ("high", r.high))}
        for place, r in candidate.at.items()
    }


def _row(candidate: "Candidate") -> dict[str, Any]:
    """A row of the table, the same for people and as JSON."""
    return {
        "estimator": candidate.label,
        "samples": candidate.samples,
        "unbiased": candidate.unbiased,
        "f_evals": int(candidate.f_evals),
        **{place: ranked.text for place, ranked in candidate.at.items()},
        "worst ratio to the best": candidate.worst,
    }
