"""How far a run is, from its folder alone."""

from pathlib import Path
from typing import Any

from bench.store import Store
from bench.suite import Suite, parse_suite, plan
from estimators.registry import BadInput


def run_suite_of(directory: Path) -> Suite:
    """The suite that a folder was run with.

    Raises:
        BadInput: the folder holds no run.
    """
    path = directory / "suite.toml"
    if not path.is_file():
        raise BadInput(f"{str(directory)!r} holds no run (no suite.toml); give the folder that `gradest run` made")
    return parse_suite(path.read_bytes(), str(path))


def status(directory: Path) -> dict[str, Any]:
    """Counts of cells by state, and what is wrong with those that are not well.

    Raises:
        BadInput: the folder holds no run.
    """
    suite = run_suite_of(directory)
    store = Store(directory)
    cells = plan(suite).cells
    records = [(cell, store.read(cell.id)) for cell in cells]
    unwell = [
        {"cell": cell.id, "title": cell.title, "status": record["status"], "reason": record["reason"]}
        for cell, record in records
        if record and record["status"] != "ok"
    ]
    seeds = [seed for _, record in records if record for seed in record["measurements"].get("diverged", [])]
    return {
        "suite": suite.name,
        "directory": str(directory),
        "cells": len(cells),
        "done": sum(record is not None for _, record in records),
        "pending": sum(record is None for _, record in records),
        "failed": len(unwell),
        "diverged_seeds": sum(step is not None for step in seeds),
        "seconds": sum(record["seconds"] for _, record in records if record),
        "unwell": unwell,
    }
