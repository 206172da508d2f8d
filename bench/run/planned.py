"""Which cells a run consists of, written beside its suite, so that its state can be told without the estimators."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from bench.run.folder import suite_file
from bench.run.store import write_atomic


def _of_suite(directory: Path) -> str:
    """The hash of the suite file, which a person may edit: a plan is of that text alone."""
    return hashlib.sha256(suite_file(directory).read_bytes()).hexdigest()


def write_plan(directory: Path, cells: Sequence[str]) -> None:
    """Note the ids of the cells of the suite that lies in the folder."""
    content = {"suite": _of_suite(directory), "cells": list(cells)}
    write_atomic(directory / "plan.json", json.dumps(content, indent=1).encode())


def forget_plan(directory: Path) -> None:
    """Leave a folder as it is published: its run is done, and its suite says what it consists of."""
    (directory / "plan.json").unlink(missing_ok=True)


def read_plan(directory: Path) -> set[str] | None:
    """The ids; None where none were noted, or those of another suite.

    Raises:
        BadInput: the folder holds no run.
    """
    suite = _of_suite(directory)
    try:
        found = json.loads((directory / "plan.json").read_bytes())
        return set(found["cells"]) if found["suite"] == suite else None
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
