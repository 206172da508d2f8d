"""How far a run is, from its folder alone."""

from pathlib import Path
from typing import Any

from bench.run.folder import suite_file
from bench.run.store import Store
from bench.suite.load import parse_suite
from bench.suite.plan import plan
from bench.suite.schema import Suite, title_of
from estimators.errors import BadInput


def run_suite_of(directory: Path) -> Suite:
    """The suite that a folder was run with.

    Raises:
        BadInput: the folder holds no run.
    """
    path = suite_file(directory)
    return parse_suite(path.read_bytes(), str(path))


def status(directory: Path) -> dict[str, Any]:
    """Counts of cells by state, and what is wrong with those that are not well.

    Raises:
        BadInput: the folder holds no run, or a damaged archive.
    """
    suite = run_suite_of(directory)
    store = Store(directory)
    note = None
    try:
        planned = {cell.id for cell in plan(suite).cells}
    except BadInput as error:  # an estimator that is not at hand here: its records are
        planned, note = set(), f"what is left to run cannot be told here: {error}"
    found = {record["cell"]: record for record in store.whole() if note or record["cell"] in planned}
    unwell = [
        {
            "cell": record["cell"],
            "title": title_of(record["config"]),
            "status": record["status"],
            "reason": record["reason"],
        }
        for record in found.values()
        if record["status"] != "ok"
    ]
    diverged = [step for record in found.values() for step in record["measurements"].get("diverged", [])]
    return {
        "suite": suite.name,
        "directory": str(directory),
        "cells": None if note else len(planned),
        "done": len(found),
        "pending": None if note else len(planned) - len(found),
        "failed": len(unwell),
        "diverged_seeds": sum(step is not None for step in diverged),
        "seconds": sum(record["seconds"] for record in found.values()),
        "unwell": unwell,
        "note": note,
    }
