"""The store: one JSON record a cell, written so that a reader never sees half of one.

A published run has its records in one archive (`bench.run.archive`), which is read like the folder. Of a cell that
lies in both, the record in the folder counts.
"""

import gc
import json
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.records.record import Record, is_whole, read
from bench.records.shown import newest
from bench.records.values import plain
from bench.run import archive

STALE_SECONDS = 3600


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file under a temporary name in its folder, flush it to the disk, then rename it into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Two machines that share a folder may give their processes the same number.
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


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
    """The records of one run: in `DIR/cells`, and those of a published run in `DIR/cells.zip`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.cells = root / "cells"
        self.archive = root / archive.NAME

    def path(self, cell_id: str) -> Path:
        """Where the record of a cell is written."""
        return self.cells / f"{cell_id}.json"

    def write(self, record: Record) -> None:
        """Put a record into place, atomically; the last of several writers of a cell wins."""
        text = json.dumps(plain(record), indent=1, allow_nan=False)
        write_atomic(self.path(record.cell), text.encode())

    def read(self, cell_id: str) -> Record | None:
        """The record of a cell, or None where there is none or it is not whole.

        Raises:
            Newer: a later release wrote it.
            BadInput: the record is not in the folder, and the archive is damaged.
        """
        try:
            content = self.path(cell_id).read_bytes()
        except FileNotFoundError:
            content = archive.unpack(self.archive).get(cell_id, b"")
        try:
            found = json.loads(content)
        except ValueError:
            return None
        return read(found, str(self.root)) if is_whole(found) and found["cell"] == cell_id else None

    def ids(self) -> list[str]:
        """The ids of all cells that have a record, whole or not, in order.

        Raises:
            BadInput: the archive is damaged.
        """
        loose = {path.stem for path in self.cells.glob("*.json")}
        return sorted(loose | archive.unpack(self.archive).keys())

    def whole(self) -> list[Record]:
        """All whole records, by cell id."""
        with _no_collection():
            return [record for cell_id in self.ids() if (record := self.read(cell_id)) is not None]

    def records(self) -> list[Record]:
        """The whole records by cell id; of two measurements of the same thing only the newer one.

        Settings are part of a cell's id, so that a run repeated with others in the same folder leaves both; a table
        shows one row (`bench.records.identity`).
        """
        return newest(self.whole()).records

    def pack(self) -> None:
        """Move the whole records of the folder into the archive; those that the archive has already stay in it.

        A reader finds every record at any instant: a file is deleted only when the archive holds its bytes.

        Raises:
            BadInput: the archive that is there is damaged.
        """
        loose = {path: path.read_bytes() for path in self.cells.glob("*.json") if self.read(path.stem)}
        contents = {**archive.unpack(self.archive), **{path.stem: content for path, content in loose.items()}}
        write_atomic(self.archive, archive.pack(contents))
        packed = archive.unpack(self.archive)
        for path, content in loose.items():
            if path.read_bytes() == content == packed[path.stem]:  # unless another runner wrote it again meanwhile
                path.unlink()
        with suppress(OSError):  # the folder stays where it holds a record that is not whole
            self.cells.rmdir()

    def sweep(self) -> None:
        """Remove temporary files that a killed process left behind more than an hour ago."""
        for path in self.root.rglob(".*.tmp"):
            with suppress(FileNotFoundError):  # its writer may have renamed it meanwhile
                if time.time() - path.stat().st_mtime > STALE_SECONDS:
                    path.unlink()
