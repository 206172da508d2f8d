"""Records as a report may show them: every text of them `visible` (`bench.printed`)."""

from collections.abc import Mapping
from typing import Any

from bench.printed import visible
from bench.records.record import Record, read
from bench.records.values import plain


def printable(record: Record) -> Record:
    """The record itself where all its texts can be seen as they are, else one whose texts are what can be seen of them.

    The report makes names, files and rows from it, so that they agree with each other whatever a record calls things.
    A reason may have several lines, as an exception's message has; whatever shows it makes one of them.
    """
    parts = (record.config.model_dump(), record.tags.model_dump(), record.provenance.model_dump())
    reason = None if record.reason is None else visible(record.reason, kept="\n")
    said = [record.cell, record.status, record.started, record.folder]
    if reason == record.reason and not any(map(_hides, (*parts, said, record.measurements))):
        return record
    return read({**_shown(plain(record)), "reason": reason}, visible(record.folder))


def _hides(value: Any) -> bool:
    """Whether there is a text in it that cannot be seen as it is."""
    match value:
        case str():
            return visible(value) != value
        case Mapping():
            return any(not key.isprintable() for key in value) or any(map(_hides, value.values()))
        case list() | tuple():
            return not _numbers(value) and any(map(_hides, value))
    return False


def _shown(value: Any) -> Any:
    match value:
        case str():
            return visible(value)
        case Mapping():
            return {visible(str(key)): _shown(item) for key, item in value.items()}
        case list():
            return [_shown(item) for item in value]
    return value


def _numbers(values: list[Any] | tuple[Any, ...]) -> bool:
    """Whether a list begins with a number: one of a record holds numbers then, thousands of them at times."""
    return not values or isinstance(values[0], int | float)
