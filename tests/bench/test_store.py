"""The store: whole records or none, the newest of two, nothing left behind."""

import gc
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from bench.records.record import SCHEMA, Newer
from bench.run.store import STALE_SECONDS, write_atomic
from bench.run.store import Store as OfRecords
from tests.bench.plain import Store


def _record(cell: str, **changes: Any) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "cell": cell,
        "status": "ok",
        "reason": None,
        "started": "2026-01-01T00:00:00",
        "seconds": 1.0,
        "tags": {},
        "measurements": {},
        "provenance": {},
        "config": {
            "measurement": {"kind": "train"},
            "problem": {"kind": "vae", "label": "p"},
            "estimator": {"label": cell},
            "device": "cpu",
        },
    } | changes


def test_a_record_comes_back_with_null_for_what_is_not_a_number(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write(_record("a", measurements={"x": [1.5, float("nan"), float("inf")], "y": (2, {"z": -float("inf")})}))
    assert store.read("a")["measurements"] == {"x": [1.5, None, None], "y": [2, {"z": None}]}
    assert [path.name for path in store.cells.iterdir()] == ["a.json"]
    store.write(_record("b", x=(2, {"y": float("nan")})))
    assert json.loads(store.path("b").read_text()) == _record("b", x=[2, {"y": None}])
    assert store.path("b").read_text().startswith('{\n "schema": 1,\n "cell": "b",\n "status": "ok",\n')
    assert store.path("b").read_text().endswith('\n "x": [\n  2,\n  {\n   "y": null\n  }\n ]\n}')


KEYS = ("schema", "cell", "status", "reason", "started", "seconds", "config", "tags", "measurements", "provenance")


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"schema": 1}', "\xff", json.dumps(_record("b")), json.dumps(_record("a", schema=None))]
    + [json.dumps({key: value for key, value in _record("a").items() if key != missing}) for missing in KEYS],
)
def test_a_record_that_is_not_whole_is_none(tmp_path: Path, text: str) -> None:
    store = Store(tmp_path)
    write_atomic(store.path("a"), text.encode("latin-1"))
    assert store.read("a") is None
    assert store.records() == []
    store.write(_record("a", more="of a later version"))
    assert store.read("a") == _record("a", more="of a later version")
    assert SCHEMA == 1


def test_there_is_no_record_where_there_is_no_folder(tmp_path: Path) -> None:
    store = Store(tmp_path / "nowhere")
    assert store.read("a") is None
    assert store.whole() == []
    assert list(tmp_path.iterdir()) == []


def test_records_are_listed_by_cell_whatever_lies_beside_them(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for cell in ("c", "a", "d", "b"):
        store.write(_record(cell, seconds=ord(cell)))
    store.path("d").write_text("torn")
    (store.cells / "e.txt").write_text(json.dumps(_record("e")))
    (store.cells / ".f.json.77.tmp").write_text(json.dumps(_record("f")))
    assert [(record["cell"], record["seconds"]) for record in store.whole()] == [("a", 97), ("b", 98), ("c", 99)]
    assert store.path("a") == tmp_path / "cells" / "a.json"


@pytest.mark.parametrize(("provenance", "release"), [({"gradest": "9.1"}, "gradest 9.1"), ({}, "a later release")])
def test_a_record_of_a_later_release_is_refused_by_name(tmp_path: Path, provenance: Any, release: str) -> None:
    store = OfRecords(tmp_path)
    write_atomic(store.path("a"), json.dumps(_record("a", schema=2, provenance=provenance)).encode())
    for look in (lambda: store.read("a"), store.whole, store.records):
        with pytest.raises(Newer) as caught:
            look()
        assert str(caught.value) == (
            f"record a of {tmp_path} was written by {release}, with schema 2, and this release reads 1: install that "
            "one (pip install -U gradest), or choose another folder"
        )


def test_records_are_read_without_looking_for_cycles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Store(tmp_path).write(_record("a"))
    store, seen = OfRecords(tmp_path), list[bool]()

    def read(self: OfRecords, cell: str) -> None:
        seen.append(gc.isenabled())
        if cell == "b":
            raise KeyboardInterrupt

    monkeypatch.setattr(OfRecords, "read", read)
    store.whole()
    assert (seen, gc.isenabled()) == ([False], True)
    Store(tmp_path).write(_record("b"))
    with pytest.raises(KeyboardInterrupt):
        store.whole()
    assert gc.isenabled()
    gc.disable()
    try:
        OfRecords(tmp_path / "other").whole()
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_folder_in_the_place_of_a_record_is_no_record(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.path("a").mkdir(parents=True)
    with pytest.raises(IsADirectoryError):
        store.read("a")


def test_of_two_records_of_one_thing_the_newer_is_shown(tmp_path: Path) -> None:
    store = Store(tmp_path)
    old, new, other = _record("a"), _record("b", started="2026-01-02T00:00:00"), _record("c")
    new["config"] = old["config"]
    for record in (new, old, other):
        store.write(record)
    assert [record["cell"] for record in store.records()] == ["b", "c"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And its temporary name is its own, in the same folder: a rename is atomic within a file system alone."""
    path, done = tmp_path / "new" / "folder" / "a.json", []

    def fsync(descriptor: int) -> None:
        done.append(("on disk", os.fstat(descriptor).st_size, path.exists()))

    def replace(self: Path, target: Path) -> None:
        done.append(("renamed", self, target))
        os.rename(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    write_atomic(path, b"twelve bytes")
    temporary = done[1][1]
    assert done == [("on disk", 12, False), ("renamed", temporary, path)]
    assert temporary.parent == path.parent
    assert re.fullmatch(rf"\.a\.json\.{os.getpid()}-[0-9a-f]{{8}}\.tmp", temporary.name)
    write_atomic(path, b"twelve bytes")
    assert done[3][1] != temporary  # a process of the same number on another machine has another name
    assert path.read_bytes() == b"twelve bytes"
    assert list(path.parent.iterdir()) == [path]


def test_stale_temporary_files_are_swept_and_fresh_ones_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An hour old, and no younger: its writer may be at work. Of the cells, the suite and the report."""
    store = Store(tmp_path)
    ages = {
        "cells/.a.json.1.tmp": 3601,
        "cells/.b.json.2.tmp": 3600,
        ".suite.toml.3.tmp": 9999,
        "tables/.bias.md.4.tmp": 9999,
        "cells/a.json": 9999,
        "cells/.keep": 9999,
        "visible.tmp": 9999,
    }
    for name, age in ages.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("half")
        os.utime(path, (0, 100_000 - age))
    monkeypatch.setattr(time, "time", lambda: 100_000.0)
    store.sweep()
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"cells/.b.json.2.tmp", "cells/a.json", "cells/.keep", "visible.tmp"}
    assert STALE_SECONDS == 3600


def test_a_temporary_file_that_is_renamed_while_it_is_looked_at_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "rglob", lambda self, pattern: [tmp_path / ".gone.1.tmp"])
    Store(tmp_path).sweep()


def test_many_writers_of_one_cell_leave_one_whole_record(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from bench.records.record import read; from bench.run.store import Store\n"
        "from tests.bench.test_store import _record\n"
        "for i in range(200): Store(Path(sys.argv[1])).write(read(_record('a', payload=sys.argv[2] * 5000)))"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path), name]) for name in "xy"]
    store, seen = Store(tmp_path), 0
    while any(writer.poll() is None for writer in writers):
        if store.path("a").exists():
            record = json.loads(store.path("a").read_bytes())
            assert len(set(record["payload"])) == 1
            seen += 1
    assert all(writer.returncode == 0 for writer in writers)
    assert seen
    assert [path.name for path in store.cells.iterdir()] == ["a.json"]
