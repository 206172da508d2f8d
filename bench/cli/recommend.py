"""`gradest recommend`."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.guard import DONE, FAILED, JSON, guarded
from bench.cli.loudness import ASKED
from bench.cli.paths import path

if TYPE_CHECKING:
    from bench.library.recommend import Candidate

SHOWN = 8
"""Estimators in the table."""


@guarded
def recommend_verb(
    problem: Annotated[
        str,
        typer.Argument(
            help="KIND[key=value,...], such as mine:Mine[latents=3]; FAMILY[latents=50] for a stand-in on embedded "
            "data; or a suite that ends in .toml."
        ),
    ],
    f_evals: Annotated[
        int | None,
        typer.Option(min=1, max=100_000, help="Evaluations of f a row that each may spend; else they are charged."),
    ] = None,
    estimators: Annotated[
        list[str] | None, typer.Option("--estimator", "-e", help="Only these, as NAME[key=value,...]; repeatable.")
    ] = None,
    unbiased: Annotated[bool, typer.Option("--unbiased", help="Leave out those declared biased.")] = False,
    black_box: Annotated[
        bool, typer.Option("--black-box", help="f gives values alone: leave out those that differentiate it.")
    ] = False,
    draws: Annotated[int, typer.Option(min=3, help="Draws of each estimator at each point.")] = 1000,
    steps: Annotated[int, typer.Option(min=1, help="Steps of training before the second point.")] = 300,
    out: Annotated[
        Path | None, typer.Option(parser=path, help="Folder of the records; runs/recommend-PROBLEM by default.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes; above 1 needs the extra `cluster`.")] = 1,
    as_json: JSON = False,
) -> int:
    """Say which estimator to take for a problem, of a person's own too, with the numbers that say so."""
    from bench.cli.tables import print_json, print_lines, print_table
    from bench.cli.terminal import Display
    from bench.library.recommend import answer, suite_of
    from bench.run.executors import Asked, executor_for
    from bench.run.runner import run_suite
    from bench.run.store import Store
    from bench.suite.plan import plan
    from estimators.plugins import staying_here

    given = estimators or ()
    asked = {"black_box": black_box, "unbiased": unbiased}
    with staying_here():
        suite = suite_of(problem, f_evals=f_evals, draws=draws, steps=steps, estimators=given, **asked)
    folder = out or Path("runs") / suite.name
    display = Display()
    executor = executor_for(Asked(workers))
    outcome = run_suite(suite, folder, executor=executor, progress=display.cell_done, starting=display.running)
    cells = {cell.id for cell in plan(suite).cells}
    records = [record for record in Store(folder).records() if record.cell in cells]
    found = answer(
        records,
        budget=f_evals,
        unbiased=unbiased,
        about=[one.label for one in suite.estimators] if estimators else (),
    )
    if as_json:
        rows = [_row(candidate) | {"points": _numbers(candidate)} for candidate in found.candidates]
        told = {"answer": found.sentence, "biases": found.biases, "ranking": rows, "records": str(folder)}
        print_json(told)
    elif ASKED.quiet:
        print(found.sentence)
    else:
        print_lines([found.sentence, *found.biases], indent="")
        print()
        equal = len({candidate.f_evals for candidate in found.candidates}) == 1
        print_table([_shown(candidate, equal) for candidate in found.candidates[:SHOWN]], whole=("estimator",))
        if len(found.candidates) > SHOWN:
            print(f"and {len(found.candidates) - SHOWN} more: --json has all")
        print(f"records: {folder} (gradest report {folder})")
    return FAILED if outcome.unwell else DONE


def _shown(candidate: "Candidate", equal: bool) -> dict[str, Any]:
    """A row that fits a terminal: without the problem that all places share, nor evaluations of f that are equal."""
    places = [place.rpartition(", ") for place in candidate.at]
    one = len({problem for problem, _, _ in places}) == 1 and all(point for _, _, point in places)
    names = [point if one else place for place, (_, _, point) in zip(candidate.at, places, strict=True)]
    return {
        "estimator": f"{candidate.label}{'' if candidate.unbiased else ' †'}",
        "S": candidate.samples,
        **({} if equal else {"f_evals": int(candidate.f_evals)}),
        **{name: ranked.text for name, ranked in zip(names, candidate.at.values(), strict=True)},
        "worst ratio": candidate.worst,
    }


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
        "worst ratio to the best": candidate.worst if math.isfinite(candidate.worst) else None,
    }
