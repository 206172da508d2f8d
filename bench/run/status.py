"""How far a run is, from its folder alone; torch is needed only where the folder does not say what was planned.

Nothing that the folder names is imported where the caller forbids that (`estimators.plugins.without_imports`).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from bench.records.record import Record
from bench.records.results import Training
from bench.run.checkpoints import Checkpoints
from bench.run.claims import Board
from bench.run.expected import Span, at_once
from bench.run.folder import name_of_run, suite_file
from bench.run.planned import Expects, Planned, read_planned
from bench.run.store import Store
from estimators.errors import BadInput

if TYPE_CHECKING:
    from bench.suite.schema import Suite


def run_suite_of(directory: Path) -> "Suite":
    """The suite that a folder was run with.

    Raises:
        BadInput: the folder holds no run.
    """
    from bench.suite.load import parse_suite

    path = suite_file(directory)
    return parse_suite(path.read_bytes(), str(path))


def _planned(directory: Path) -> tuple[Planned, str | None]:
    """The cells of a folder's suite; or none, and the reason why they are not known."""
    if (noted := read_planned(directory)) is not None:
        return noted, None
    from bench.suite.plan import plan

    try:
        suite, store = run_suite_of(directory), Store(directory)
        cells = {cell.id for cell in plan(suite).grown(lambda cell: store.read(cell.id)).cells}
        return Planned(cells, {}), None
    except BadInput as error:  # the suite names a person's own code, say; its records can still be counted
        return Planned(set(), {}), f"what is left to run cannot be told here: {error}"


def _seconds_left(expects: Mapping[str, Expects], records: Sequence[Record], done: set[str]) -> float | None:
    """How long the cells that are missing will take, by what those of their measurement took beside a typical core.

    Returns:
        Seconds, of as many processes as ran at once; None where nothing is known.
    """
    ratios: dict[str, list[float]] = {}
    for record in records:
        expected = expects.get(record.cell)
        if expected is not None and expected.seconds > 0 and record.went_well and record.seconds is not None:
            ratios.setdefault(expected.kind, []).append(record.seconds / expected.seconds)
    every = [ratio for several in ratios.values() for ratio in several]
    missing = [expected for cell, expected in expects.items() if cell not in done]
    if not every or not missing:
        return None
    total = sum(expected.seconds * median(ratios.get(expected.kind, every)) for expected in missing)
    return total / at_once(map(Span.of, records))


def status(directory: Path) -> dict[str, Any]:
    """Counts of cells by state, and what is wrong with those that are not well.

    Raises:
        BadInput: the folder holds no run, a damaged archive, or a record of a later release.
    """
    name, ((planned, expects), note) = name_of_run(directory), _planned(directory)
    found = Store(directory).found()
    records = [record for record in found.records if note or record.cell in planned]
    unwell = [record for record in records if not record.went_well]
    done = {record.cell for record in records}
    begun = [
        head for head in Checkpoints(directory).headers() if head.cell not in done and (note or head.cell in planned)
    ]
    running = [(claim, runner) for cell, (claim, runner) in Board(directory).running().items() if cell not in done]
    trained = [record.result(Training) for record in records if record.kind == "train"]
    return {
        "suite": name,
        "directory": str(directory),
        "cells": None if note else len(planned),
        "done": len(records),
        "pending": None if note else len(planned) - len(records),
        "in_progress": [
            {"cell": head.cell, "title": head.title, "step": head.step, "steps": head.steps, "seconds": head.seconds}
            for head in begun
        ],
        "running": [{"cell": claim.cell, "title": claim.title, "by": runner.words} for claim, runner in running],
        "failed": len(unwell),
        "damaged": [one.plain() for one in found.damaged],
        "diverged_seeds": sum(step is not None for result in trained for step in result.diverged),
        "seconds_left": _seconds_left(expects, records, done),
        "seconds": sum(record.seconds or 0.0 for record in records),
        "unwell": [
            {
                "cell": record.cell,
                "title": record.config.title,
                "status": record.status,
                "reason": record.reason,
                "traceback": record.traceback,
            }
            for record in unwell
        ],
        "note": note,
    }
