"""What is said of a cell that went wrong: its status and reason, and where in a person's own code it happened."""

import re
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from bench.cli.loudness import ASKED

if TYPE_CHECKING:
    from bench.records.record import Record

_FRAME = re.compile(r'^  File "(.+)", line ([0-9]+)', re.MULTILINE)
_ROOT = Path(__file__).parents[2]
_OURS, _INSTALLED = ("bench", "estimators"), ("site-packages", "dist-packages")


def unwell(record: "Record") -> list[str]:
    """Lines about a record that did not go well; with its traceback where that was asked for."""
    lines = [f"{record.status}: {record.config.title}: {record.reason}{where(record.traceback)}"]
    return [*lines, *(record.traceback or "").splitlines()] if ASKED.traceback else lines


def where(traceback: str | None) -> str:
    """The innermost place of a traceback that is a person's own, as ` (file.py, line 12)`; empty where none is."""
    for file, line in reversed(_FRAME.findall(traceback or "")):
        parts = PurePath(file).parts
        if not file.startswith("<") and not any(_is_of_others(parts, place) for place in range(len(parts))):
            return f" ({parts[-1]}, line {line})"
    return ""


def _is_of_others(parts: tuple[str, ...], place: int) -> bool:
    """Whether a path is that of something installed, or of a file of ours, on whatever machine."""
    part = parts[place]
    if part in _OURS:
        return _ROOT.joinpath(*parts[place:]).is_file()
    return part in _INSTALLED or re.fullmatch(r"python3\.[0-9]+", part) is not None
