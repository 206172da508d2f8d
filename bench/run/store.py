"""The store: one JSON record a cell, written so that a reader never sees half of one.

A published run has its records in one archive (`bench.run.archive`), which is read like the folder. Of a cell that
lies in both, the record in the folder counts.
"""

import errno
import gc
import json
import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from bench.records.content import LARGEST, parse
from bench.records.damage import Damage
from bench.records.record import Newer, Record, read, refuse_newer
from bench.records.shown import newest
from bench.records.validate import DIGESTED, digest_of, fault, is_as_written
from bench.records.values import plain
from bench.run import archive
from bench.run.files import TEMPORARY, Unreadable, content_of, put_aside
from bench.run.files import write_atomic as write_atomic
from estimators.errors import BadInput

STALE_SECONDS = 3600
OURS = {
    "": re.compile(r"suite\.toml|plan\.json|cells\.zip|cells\.parquet|report\.html"),
    "cells": re.compile(r"[0-9a-f]{16}\.json"),
    "checkpoints": re.compile(r"[0-9a-f]{16}\.pt"),
    "claims": re.compile(r"([0-9a-f]{16}|runner-[\w-]+)\.json"),
    "figures": re.compile(r"[\w.-]+\.(pdf|svg|png|md)"),
    "tables": re.compile(r"[\w.-]+\.(csv|md|tex)"),
    "weights": re.compile(r"[\w.-]+\.pt"),
}
"""The folders of a run, and the names of the files that are written into each."""
_ID = re.compile(r"[0-9a-f]{16}")


class Found(NamedTuple):
    """All that lies in a run's folder in the place of records, each once, by cell id."""

    records: list[Record]
    """Those that are whole."""
    damaged: list[Damage]
    """The others."""


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
        self.noticed: dict[str, Damage] = {}
        """What was damaged when it was last read from here, by cell id; a record that is written is not."""
        self._judged: dict[str, tuple[int, ...]] = {}
        """The state of each file that was found to be whole: a run reads its records several times."""

    def path(self, cell_id: str) -> Path:
        """Where the record of a cell is written."""
        return self.cells / f"{cell_id}.json"

    def write(self, record: Record) -> None:
        """Put a record into place, atomically; the last of several writers of a cell wins.

        Raises:
            Newer: a later release has written the cell; it stays.
            OSError: it cannot be written; the error names the file.
        """
        try:
            self.look(record.cell)
        except Newer:
            raise
        except BadInput:  # a damaged archive, beside which a record may lie
            pass
        values = json.loads(json.dumps(plain(record), allow_nan=False))  # as whoever reads it will find them
        if values["schema"] >= DIGESTED:
            values["digest"] = digest_of(values)
        path, content = self.path(record.cell), json.dumps(values, indent=1).encode()
        try:
            write_atomic(path, content)
        except OSError as error:
            if error.errno not in (errno.EISDIR, errno.ENOTEMPTY, errno.EEXIST) or not path.is_dir():
                raise
            put_aside(path)
            write_atomic(path, content)
        self.noticed.pop(record.cell, None)

    def read(self, cell_id: str) -> Record | None:
        """The record of a cell, or None where there is none or it is damaged.

        Raises:
            Newer: a later release wrote it.
            BadInput: the record is not in the folder, and the archive is damaged.
        """
        found = self.look(cell_id, trusting=True)
        if isinstance(found, Damage):
            self.noticed[cell_id] = found
            return None
        self.noticed.pop(cell_id, None)
        return found

    def look(self, cell_id: str, *, trusting: bool = False) -> Record | Damage | None:
        """What lies in the place of a cell's record; raises as `read` does.

        Args:
            cell_id: of the cell.
            trusting: whether a record that has its digest is taken as it is.
        """
        path = self.path(cell_id)
        state = _state_of(path) if trusting else None
        try:
            content = content_of(path, LARGEST)
        except Unreadable as error:
            return Damage(cell_id, str(path), str(error))
        where = "" if content is not None else f"{self.archive}:cells/{cell_id}.json"
        if content is None:
            content = archive.unpack(self.archive).get(cell_id)
        if content is None:
            return None
        with _no_collection():
            if state is not None and self._judged.get(cell_id) == state:
                return read(json.loads(content), str(self.root))
            values, wrong = parse(content)
            refuse_newer(values, f"record {cell_id} of {self.root}")
            if not wrong and not (trusting and is_as_written(values, cell_id)):
                wrong = fault(values, cell_id)
            if wrong:
                return Damage(cell_id, where or str(path), wrong)
            record = self._record(values, cell_id, where or str(path))
            if state is not None and isinstance(record, Record):
                self._judged[cell_id] = state
            return record

    def _record(self, values: Any, cell_id: str, where: str) -> Record | Damage:
        """The record, unless it has its digest and is none for all that."""
        try:
            return read(values, str(self.root))
        except Newer:
            raise
        except (BadInput, TypeError, AttributeError, ArithmeticError) as error:
            return Damage(cell_id, where, f"has its digest and is no record ({str(error)[:200]})")

    def ids(self) -> list[str]:
        """The ids of all cells that have a record, whole or not, in order.

        A file of another name is in the place of no record, and no run would write over it: a copy that a person or a
        program for synchronising made, or what macOS puts beside each file of a foreign disk.

        Raises:
            BadInput: the archive is damaged.
            OSError: the folder of records cannot be listed, so that nobody knows which there are.
        """
        loose = set[str]()
        with suppress(FileNotFoundError):
            loose = {name.removesuffix(".json") for name in os.listdir(self.cells) if name.endswith(".json")}
        return sorted(filter(_ID.fullmatch, loose | archive.unpack(self.archive).keys()))

    def found(self) -> Found:
        """All records and all that is damaged, in one pass; raises as `read` does."""
        records, damaged = list[Record](), list[Damage]()
        with _no_collection():
            for cell_id in self.ids():
                match self.look(cell_id):
                    case Record() as record:
                        records.append(record)
                    case Damage() as one:
                        damaged.append(one)
        return Found(records, damaged)

    def whole(self) -> list[Record]:
        """All whole records, by cell id."""
        return self.found().records

    def damaged(self) -> list[Damage]:
        """What lies in the place of a record and is none, or not the one that was written, by cell id."""
        return self.found().damaged

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
        """Remove temporary files of ours that a killed process left behind more than an hour ago.

        Only names that `write_atomic` gives to files of a run, and only in the folders of one: a person's own files may
        lie beside and below them.
        """
        for folder, of_ours in OURS.items():
            directory = self.root / folder
            if directory.is_symlink() and folder:
                continue
            with suppress(FileNotFoundError, NotADirectoryError):
                for name in os.listdir(directory):
                    if (found := TEMPORARY.fullmatch(name)) and of_ours.fullmatch(found["name"]):
                        _remove_stale(directory / name)


def _state_of(path: Path) -> tuple[int, ...] | None:
    """What changes with a file; None where there is none."""
    try:
        found = os.stat(path, follow_symlinks=False)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size


def _remove_stale(path: Path) -> None:
    with suppress(FileNotFoundError):  # its writer may have renamed it meanwhile
        found = path.lstat()
        if stat.S_ISREG(found.st_mode) and time.time() - found.st_mtime > STALE_SECONDS:
            path.unlink()
