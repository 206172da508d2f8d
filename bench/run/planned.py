"""Which cells a run consists of, written beside its suite, so that its state can be told without the estimators."""

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench.records.content import parse
from bench.records.identity import digest
from bench.run.files import MEGABYTE, Unreadable, content_of, write_atomic
from bench.run.folder import content_of_suite

LARGEST = 64 * MEGABYTE
"""Of a plan: that of a million cells has 22 MB."""
_ID = re.compile(r"[0-9a-f]{16}")


class Expects(NamedTuple):
    """What is known of the time of a planned cell before it runs."""

    kind: str
    """Of its measurement."""
    seconds: float
    """On a typical core."""


class Planned(NamedTuple):
    """The cells of a run."""

    cells: set[str]
    expects: dict[str, Expects]
    """Of those that say what they cost."""


def _of_suite(directory: Path) -> str:
    """The hash of the suite file, which a person may edit: a plan is of that text alone."""
    return hashlib.sha256(content_of_suite(directory)).hexdigest()


def write_plan(directory: Path, cells: Sequence[str], expects: Mapping[str, Expects] | None = None) -> None:
    """Note the ids of the cells of the suite that lies in the folder, and their times, with the hash of all of that."""
    noted = {"cells": list(cells), "expects": {cell: list(one) for cell, one in (expects or {}).items()}}
    content = {"suite": _of_suite(directory), "digest": digest(noted), **noted}
    write_atomic(directory / "plan.json", json.dumps(content, indent=1).encode())


def forget_plan(directory: Path) -> None:
    """Leave a folder as it is published: its run is done, and its suite says what it consists of."""
    (directory / "plan.json").unlink(missing_ok=True)


def read_plan(directory: Path) -> set[str] | None:
    """The ids; None where none were noted, those of another suite, or what is there is damaged.

    Raises:
        BadInput: the folder holds no run.
    """
    return None if (found := read_planned(directory)) is None else found.cells


def read_planned(directory: Path) -> Planned | None:
    """The cells with their times; None, and what is raised, as of `read_plan`."""
    suite = _of_suite(directory)
    try:
        content = content_of(directory / "plan.json", LARGEST)
    except Unreadable:
        return None
    found, wrong = parse(content or b"")
    if wrong or not isinstance(found, dict) or found.get("suite") != suite:
        return None
    cells, expects = found.get("cells"), found.get("expects")
    if not isinstance(cells, list) or not all(isinstance(cell, str) and _ID.fullmatch(cell) for cell in cells):
        return None
    # Earlier releases noted no times, and then no hash either.
    hashed: Any = cells if expects is None else {"cells": cells, "expects": expects}
    if found.get("digest", digest(cells)) != digest(hashed):
        return None
    return Planned(set(cells), _expects(expects))


def _expects(found: Any) -> dict[str, Expects]:
    """The times, as far as they are such."""
    expects = {}
    for cell, one in found.items() if isinstance(found, dict) else ():
        match one:
            case [str(kind), int() | float() as seconds] if 0 <= seconds < math.inf:
                expects[cell] = Expects(kind, float(seconds))
    return expects
