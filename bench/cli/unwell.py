"""What is said of a cell that went wrong: its status and reason, and where in a person's own code it happened."""

import re
from pathlib import PurePath
from typing import TYPE_CHECKING

from bench.cli.loudness import ASKED

if TYPE_CHECKING:
    from bench.records.record import Record

_FRAME = re.compile(r'^  File "(.+)", line ([0-9]+)', re.MULTILINE)
_OF_OTHERS = {"bench", "estimators", "site-packages", "dist-packages"}
"""Folders of ours, and of what is installed."""


def unwell(record: "Record") -> list[str]:
    """Lines about a record that did not go well; with its traceback where that was asked for."""
    place = where(record.traceback or "")
    lines = [f"{record.status}: {record.config.title}: {record.reason}" + (f" ({place})" if place else "")]
    return [*lines, *(record.traceback or "").splitlines()] if ASKED.traceback else lines


def where(traceback: str) -> str:
    """The innermost place of a traceback that is a person's own, as `file.py, line 12`; empty where none is."""
    for file, line in reversed(_FRAME.findall(traceback)):
        path = PurePath(file)
        if not file.startswith("<") and not any(_is_of_others(part) for part in path.parts):
            return f"{path.name}, line {line}"
    return ""


def _is_of_others(part: str) -> bool:
    return part in _OF_OTHERS or re.fullmatch(r"python3\.[0-9]+", part) is not None
