"""The one judge of records: of whatever lies in the place of one it says what is wrong, in half a sentence.

- `cell` is the hash of `config`, and the name of the file.
- From schema 2 a record carries `digest`, the hash of all else that it holds, as JSON holds it. A changed number, tag,
  reason or version shows, whichever it is.
- Records of schema 1 carry none. A changed value of the right type cannot show in them, apart from their
  configuration; types, lengths and orders that belong together are held.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bench.records.content import canonical, fault_of_values
from bench.records.identity import cell_id
from bench.records.record import STATUSES, Record
from bench.records.results import MODELS
from bench.records.shapes import misfit

DIGESTED = 2
"""The first schema whose records carry a digest."""


def digest_of(values: Mapping[str, Any]) -> str:
    """64 hex digits of the hash of all that a record holds but its digest.

    Args:
        values: as JSON holds them.

    Raises:
        ValueError: a number is not finite.
    """
    text = canonical({key: value for key, value in values.items() if key != "digest"})
    return hashlib.sha256(text.encode()).hexdigest()


def fault(found: Any, cell: str) -> str:
    """What is wrong with a record, in half a sentence; empty where nothing is.

    Args:
        found: what its file holds; not of a later release.
        cell: the name of its file.
    """
    if not isinstance(found, dict):
        return "holds no object"
    if wrong := fault_of_values(found):
        return wrong
    if wrong := misfit(found, Record):
        return _placed("", wrong)
    if found["cell"] != cell:
        return f"is of another cell, {found['cell'][:40]}"
    if cell_id(found["config"]) != cell:
        return "has another configuration than its cell, whose id is the hash of it"
    if "digest" in found or found["schema"] >= DIGESTED:
        if "digest" not in found:
            return f"lacks its digest, which all of schema {found['schema']} have"
        if digest_of(found) != found["digest"]:
            return "does not have its digest: something in it was changed"
    return _of_outcome(found)


def is_as_written(found: Any, cell: str) -> bool:
    """Whether a record is the cell's and has its digest: then it is what a run wrote, which was whole.

    A reader that takes little from a record may ask this in the place of `fault`, at half of the price. A digest is
    against damage and not against forgery: whoever makes one anew can make it of anything.
    """
    if not isinstance(found, dict) or not isinstance(found.get("config"), dict) or found.get("cell") != cell:
        return False
    try:
        return bool(found.get("digest") == digest_of(found)) and cell_id(found["config"]) == cell
    except (ValueError, RecursionError):
        return False


def _of_outcome(found: dict[str, Any]) -> str:
    """Whether the status, its reason and what was measured go together."""
    status, measured, started = found["status"], found["measurements"], found["started"]
    if (found["seconds"] or 0.0) < 0:
        return f"took {found['seconds']:g} seconds"
    if started is not None and not _is_time(started):
        return f"was started at {started[:40]!r}, which is no time"
    if found["schema"] < 1:
        return f"has schema {found['schema']}, and the first is 1"
    if status not in STATUSES:
        return f"has the status {status[:40]!r}, and there are {', '.join(STATUSES)}"
    if (status == "ok") != (found["reason"] is None):
        return "has a reason although its status is ok" if found["reason"] else f"is {status} without a reason"
    model = MODELS.get(found["config"]["measurement"]["kind"])
    if model is not None and (measured or status == "ok") and (wrong := misfit(measured, model)):
        return _placed("measurements", wrong)
    return ""


def _placed(where: str, wrong: str) -> str:
    """A fault at its path as half a sentence; one of the record itself needs no path."""
    told = f"{where}{wrong}".removeprefix(".")
    return told.strip() if told.startswith(" ") else f"is wrong: {told}"


def _is_time(text: str) -> bool:
    try:
        datetime.fromisoformat(text).timestamp()  # of which readers make seconds: the first day of all has none
    except (ValueError, OverflowError, OSError):
        return False
    return True
