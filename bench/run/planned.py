"""Which cells a run consists of, written beside its suite, so that its state can be told without the estimators."""

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path

from bench.records.content import parse
from bench.records.identity import digest
from bench.run.files import MEGABYTE, Unreadable, content_of, write_atomic
from bench.run.folder import content_of_suite

LARGEST = 64 * MEGABYTE
"""Of a plan: that of a million cells has 22 MB."""
_ID = re.compile(r"[0-9a-f]{16}")


def _of_suite(directory: Path) -> str:
    """The hash of the suite file, which a person may edit: a plan is of that text alone."""
    return hashlib.sha256(content_of_suite(directory)).hexdigest()


def write_plan(directory: Path, cells: Sequence[str]) -> None:
    """Note the ids of the cells of the suite that lies in the folder, with the hash of all of them."""
    content = {"suite": _of_suite(directory), "digest": digest(list(cells)), "cells": list(cells)}
    write_atomic(directory / "plan.json", json.dumps(content, indent=1).encode())


def forget_plan(directory: Path) -> None:
    """Leave a folder as it is published: its run is done, and its suite says what it consists of."""
    (directory / "plan.json").unlink(missing_ok=True)


def read_plan(directory: Path) -> set[str] | None:
    """The ids; None where none were noted, those of another suite, or what is there is damaged.

    Raises:
        BadInput: the folder holds no run.
    """
    suite = _of_suite(directory)
    try:
        content = content_of(directory / "plan.json", LARGEST)
    except Unreadable:
        return None
    found, wrong = parse(content or b"")
    if wrong or not isinstance(found, dict) or found.get("suite") != suite:
        return None
    cells = found.get("cells")
    if not isinstance(cells, list) or not all(isinstance(cell, str) and _ID.fullmatch(cell) for cell in cells):
        return None
    # An earlier release noted no hash of the ids.
    return set(cells) if found.get("digest", digest(cells)) == digest(cells) else None
