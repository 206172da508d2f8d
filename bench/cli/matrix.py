"""What a run would do, as a matrix: estimators by problems, a block a measurement, with how many cells each has."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.suite.plan import Plan, Skipped
    from bench.suite.schema import Cell

COLUMN = 5
"""Columns of the terminal that a number takes, with the gap before it."""
NAMES = 36
"""Columns that names have at least."""


def blocks(cells: "list[Cell]", done: Mapping[str, bool], columns: int) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Title and rows of each block: a measurement, or those with the same cells, on as many problems as there is room.

    A problem is a number, which the title explains; an entry is the count of cells, or how many of them are done
    once any is.
    """
    some = any(done.values())
    most = max(1, (columns - NAMES) // COLUMN)
    same: dict[str, list[str]] = {}  # the matrix as text: the measurements that have it
    found: dict[str, tuple[str, list[dict[str, Any]]]] = {}
    for kind in dict.fromkeys(cell.measurement.kind for cell in cells):
        own = [cell for cell in cells if cell.measurement.kind == kind]
        problems = list(dict.fromkeys(cell.problem.label for cell in own))
        for first in range(0, len(problems), most):
            numbered = dict(enumerate(problems[first : first + most], first + 1))
            rows = _rows(own, numbered, done, some)
            key = ", ".join(f"{number} = {problem}" for number, problem in numbered.items())
            same.setdefault(f"{key} {rows}", []).append(kind)
            found[f"{key} {rows}"] = key, rows
    for text, (key, rows) in found.items():
        yield f"{' and '.join(same[text])}, cells{' done' if some else ''} on {key}", rows


def _rows(
    cells: "list[Cell]", problems: Mapping[int, str], done: Mapping[str, bool], some: bool
) -> list[dict[str, Any]]:
    """A row an estimator, by name, with an entry a problem."""
    rows = []
    for label in sorted({cell.estimator.label for cell in cells if cell.problem.label in problems.values()}):
        row: dict[str, Any] = {"estimator": label}
        for number, problem in problems.items():
            here = [cell for cell in cells if (cell.problem.label, cell.estimator.label) == (problem, label)]
            ready = sum(done[cell.id] for cell in here)
            row[str(number)] = (f"{ready}/{len(here)}" if some else str(len(here))) if here else "."
        rows.append(row)
    return rows


def left_out(skipped: "list[Skipped]") -> list[str]:
    """What is left out and why, estimators with one reason on the same problems in one sentence."""
    problems_of: dict[tuple[str, str], dict[str, None]] = {}
    for one in skipped:
        problems_of.setdefault((one.estimator, one.reason), {})[one.problem] = None
    groups: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (estimator, reason), problems in problems_of.items():
        groups.setdefault((reason, tuple(problems)), []).append(estimator)
    sentences = []
    for (reason, where), names in groups.items():
        on = f"on {', '.join(where)}"
        many = f"{len(names)} estimators {on}: each {reason}: {', '.join(sorted(names))}"
        sentences.append("left out: " + (many if names[1:] else f"{names[0]} {on}: it {reason}"))
    return sentences


def plain(chosen: "Plan", done: Mapping[str, bool], out: str) -> dict[str, Any]:
    """The plan as JSON has it."""
    return {
        "directory": out,
        "cells": [
            {
                "cell": cell.id,
                "title": cell.title,
                "done": done[cell.id],
                "measurement": cell.measurement.kind,
                "problem": cell.problem.label,
                "estimator": cell.estimator.label,
                "samples": cell.estimator.samples,
            }
            for cell in chosen.cells
        ],
        "left_out": [one._asdict() for one in chosen.skipped],
        "may_grow": list(dict.fromkeys(series.table.growth() for series in chosen.series)),
    }
