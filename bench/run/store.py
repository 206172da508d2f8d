"""The store: one JSON record a cell, written so that a reader never sees half of one."""

import gc
import json
import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bench.suite.identity import newest

SCHEMA = 1
STALE_SECONDS = 3600

KEYS = {"schema", "cell", "status", "reason", "started", "seconds", "config", "tags", "measurements", "provenance"}

Record = dict[str, Any]


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file under a temporary name in its folder, flush it to the disk, then rename it into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _plain(value: Any) -> Any:
    """Numbers that JSON has no word for become null."""
    match value:
        case float() if not math.isfinite(value):
            return None
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
    return value


@contextmanager
def _no_collection() -> Iterator[None]:
    """No garbage collection: JSON holds no cycles, and looking for them takes half of the time of reading it."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class Store:
    """The records of one run, in `DIR/cells`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.cells = root / "cells"

    def path(self, cell_id: str) -> Path:
        """Where the record of a cell is."""
        return self.cells / f"{cell_id}.json"

    def write(self, record: Record) -> None:
        """Put a record into place, atomically; the last of several writers of a cell wins."""
        text = json.dumps(_plain(record), indent=1, allow_nan=False)
        write_atomic(self.path(record["cell"]), text.encode())

    def read(self, cell_id: str) -> Record | None:
        """The record of a cell, or None where there is none or it is not whole."""
        try:
            record = json.loads(self.path(cell_id).read_bytes())
        except (FileNotFoundError, ValueError):
            return None
        whole = isinstance(record, dict) and record.keys() >= KEYS
        return record if whole and record["schema"] == SCHEMA and record["cell"] == cell_id else None

    def whole(self) -> list[Record]:
        """All whole records, by cell id."""
        with _no_collection():
            found = [self.read(cell_id) for cell_id in sorted(path.stem for path in self.cells.glob("*.json"))]
        return [record for record in found if record is not None]

    def records(self) -> list[Record]:
        """The whole records by cell id; of two measurements of the same thing only the newer one.

        Settings are part of a cell's id, so that a run repeated with others in the same folder leaves both; a table
        shows one row (`bench.suite.identity`).
        """
        return [dict(record) for record in newest(self.whole()).records]

    def sweep(self) -> None:
        """Remove temporary files that a killed process left behind more than an hour ago."""
        for path in self.root.rglob(".*.tmp"):
            with suppress(FileNotFoundError):  # its writer may rename it meanwhile
                if time.time() - path.stat().st_mtime > STALE_SECONDS:
                    path.unlink()
