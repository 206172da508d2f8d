"""What became of a run's records: each held against that of a run which was left alone."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from bench.records.record import Record
from bench.records.shown import disagreement
from bench.run.sealed import is_whole
from bench.run.store import Store

SEALED = {"checkpoints": b"gradest checkpoint\n", "weights": b"gradest weights\n"}
"""Folders of files that carry a hash, with the first line of each."""
OF_THE_MACHINE = ("host", "torch", "gradest", "estimator_source", "commit")
"""Provenance that two runs of one process share."""


class Reference(NamedTuple):
    """A run that was left alone."""

    records: Mapping[str, Record]
    """By cell id."""
    seconds: float
    """Of the whole run."""
    processor: float
    """Seconds of processor time."""


def contents(out: Path) -> dict[str, bytes]:
    """What the files of a run's records hold, by cell id; files that vanish meanwhile are not there."""
    found = {}
    for path in sorted((out / "cells").glob("*.json")):
        try:
            found[path.stem] = path.read_bytes()
        except OSError:
            continue
    return found


def records(out: Path) -> dict[str, Record]:
    """The records of a run that can be read, by cell id."""
    return {record.cell: record for record in Store(out).whole()}


def torn(out: Path) -> list[str]:
    """Files of a run, by their place in it, that are half of something; temporary ones are not meant to be whole."""
    found = []
    for path in sorted(out.rglob("*")):
        # A claim is made in place, so that no other runner makes it too, and nothing depends on its being whole.
        if path.name.startswith(".") or path.parent.name == "claims" or not path.is_file():
            continue
        content = path.read_bytes()
        if path.suffix == ".json":
            whole = _is_json(content)
        elif (magic := SEALED.get(path.parent.name)) is not None:
            whole = content.startswith(magic) and is_whole(magic, content)
        else:
            whole = bool(content)
        if not whole:
            found.append(str(path.relative_to(out)))
    return found


def _is_json(content: bytes) -> bool:
    try:
        return isinstance(json.loads(content), dict)
    except ValueError:
        return False


def differences(found: Record, left_alone: Record) -> list[str]:
    """In what a record is another one than that of a run that was left alone: measurements bit for bit."""
    told = []
    for name in ("cell", "status", "reason", "config", "tags"):
        if getattr(found, name) != getattr(left_alone, name):
            told.append(name)
    if disagreement(found, left_alone) != 0:
        told.append("measurements")
    ours, theirs = (record.provenance.model_dump() for record in (found, left_alone))
    told += [f"provenance.{name}" for name in OF_THE_MACHINE if ours.get(name) != theirs.get(name)]
    return told


def missing_and_mixed(
    found: Mapping[str, Record], reference: Reference, ill: frozenset[str] = frozenset()
) -> tuple[list[str], list[str]]:
    """Cells without a record, and records that are others than they should be, each with a word of why.

    Args:
        found: the records at the end.
        reference: those of a run that was left alone.
        ill: statuses that a cell may have in the place of ok, where its estimator misbehaves.
    """
    missing = [cell for cell in reference.records if cell not in found]
    mixed = [f"{cell}: of no cell of the suite" for cell in found if cell not in reference.records]
    for cell, record in found.items():
        rightly_ill = record.status in ill and "misbehaving" in record.config.estimator.name
        if cell not in reference.records or rightly_ill:
            continue
        if told := differences(record, reference.records[cell]):
            mixed.append(f"{cell}: another {', '.join(told)}")
    return missing, mixed
