"""The store: whole records or none, the newest of two, nothing left behind."""

import gc
import json
import os
import re
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from bench.records.damage import Damage
from bench.records.identity import cell_id
from bench.records.record import SCHEMA, Newer
from bench.run.store import STALE_SECONDS, write_atomic
from bench.run.store import Store as OfRecords
from tests.bench.plain import Store


@cache
def _config(name: str) -> dict[str, Any]:
    """A configuration whose hash begins with the name, where that is a digit of a hash."""
    config = {"measurement": {"kind": "own"}, "problem": {"kind": "vae", "label": "p"}, "device": "cpu"}
    found = (config | {"estimator": {"label": name, "samples": samples}} for samples in range(1, 1000))
    return next(one for one in found if cell_id(one).startswith(name) or len(name) > 1)


def cell(name: str) -> str:
    """The id of the record that is called so."""
    return cell_id(_config(name))


A, B, C, D = map(cell, "abcd")


def _record(name: str, **changes: Any) -> dict[str, Any]:
    """A record of schema 1, which has no digest, unless the changes say otherwise."""
    return {
        "schema": 1,
        "cell": cell(name),
        "status": "ok",
        "reason": None,
        "started": "2026-01-01T00:00:00",
        "seconds": 1.0,
        "tags": {"unbiased": False},
        "measurements": {},
        "provenance": {},
        "config": _config(name),
    } | changes


def test_a_file_that_is_not_named_as_a_record_is_in_the_place_of_none(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write(_record("a"))
    for name in (f"._{A}", f"{A} (copy)", f"{A}.sync-conflict", "notes", A[:-1], A.upper()):
        (store.cells / f"{name}.json").write_bytes(store.path(A).read_bytes()[:-1])
    assert (store.ids(), store.damaged()) == ([A], [])


def test_a_record_comes_back_with_null_for_what_is_not_a_number(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write(_record("a", measurements={"x": [1.5, float("nan"), float("inf")], "y": (2, {"z": -float("inf")})}))
    assert store.read(A)["measurements"] == {"x": [1.5, None, None], "y": [2, {"z": None}]}
    assert [path.name for path in store.cells.iterdir()] == [f"{A}.json"]
    store.write(_record("b", x=(2, {"y": float("nan")})))
    assert json.loads(store.path(B).read_text()) == _record("b", x=[2, {"y": None}])
    assert store.path(B).read_text().startswith(f'{{\n "schema": 1,\n "cell": "{B}",\n "status": "ok",\n')
    assert store.path(B).read_text().endswith('\n "x": [\n  2,\n  {\n   "y": null\n  }\n ]\n}')


KEYS = ("schema", "cell", "status", "reason", "started", "seconds", "config", "tags", "measurements", "provenance")


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"schema": 1}', "\xff", json.dumps(_record("b")), json.dumps(_record("a", schema=None))]
    + [json.dumps({key: value for key, value in _record("a").items() if key != missing}) for missing in KEYS],
)
def test_a_record_that_is_not_whole_is_none(tmp_path: Path, text: str) -> None:
    store = Store(tmp_path)
    write_atomic(store.path(A), text.encode("latin-1"))
    assert store.read(A) is None
    assert store.records() == []
    store.write(_record("a", more="of a later version"))
    assert store.read(A) == _record("a", more="of a later version")
    assert SCHEMA == 2


def test_there_is_no_record_where_there_is_no_folder(tmp_path: Path) -> None:
    store = Store(tmp_path / "nowhere")
    assert store.read(A) is None
    assert store.whole() == []
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_records_that_cannot_be_listed_is_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "cells").write_text("no folder")
    with pytest.raises(NotADirectoryError, match="cells"):
        Store(tmp_path).ids()


def test_records_are_listed_by_cell_whatever_lies_beside_them(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for name in ("c", "a", "d", "b"):
        store.write(_record(name, seconds=float(ord(name))))
    store.path(D).write_text("torn")
    (store.cells / "e.txt").write_text(json.dumps(_record("e")))
    (store.cells / ".f.json.77.tmp").write_text(json.dumps(_record("f")))
    assert [(record["cell"], record["seconds"]) for record in store.whole()] == [(A, 97), (B, 98), (C, 99)]
    assert store.path(A) == tmp_path / "cells" / f"{A}.json"


@pytest.mark.parametrize(("provenance", "release"), [({"gradest": "9.1"}, "gradest 9.1"), ({}, "a later release")])
def test_a_record_of_a_later_release_is_refused_by_name(tmp_path: Path, provenance: Any, release: str) -> None:
    store = OfRecords(tmp_path)
    write_atomic(store.path(A), json.dumps(_record("a", schema=3, provenance=provenance)).encode())
    for look in (lambda: store.read(A), store.whole, store.records):
        with pytest.raises(Newer) as caught:
            look()
        assert str(caught.value) == (
            f"record {A} of {tmp_path} was written by {release}, with schema 3, and this release reads 2: install that "
            "one (pip install -U gradest), or choose another folder"
        )


def test_records_are_read_without_looking_for_cycles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Store(tmp_path).write(_record("a"))
    store, seen = OfRecords(tmp_path), list[bool]()

    def look(self: OfRecords, cell: str) -> None:
        seen.append(gc.isenabled())
        if cell == B:
            raise KeyboardInterrupt

    Store(tmp_path).write(_record("b"))
    store.path(B).rename(tmp_path / "b")
    monkeypatch.setattr(OfRecords, "look", look)
    store.whole()
    assert (seen, gc.isenabled()) == ([False], True)
    (tmp_path / "b").rename(store.path(B))
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
    store.path(A).mkdir(parents=True)
    (store.path(A) / "mine").write_text("kept")
    assert store.read(A) is None
    assert store.damaged() == [Damage(A, str(store.path(A)), "is a folder, not a file")]
    store.write(_record("a"))
    assert store.read(A) == _record("a")
    assert store.damaged() == []
    assert [path.read_text() for path in store.cells.glob("*/mine")] == ["kept"]


def test_of_two_records_of_one_thing_the_newer_is_shown(tmp_path: Path) -> None:
    store = Store(tmp_path)
    old, other = _record("a"), _record("c")
    config = old["config"] | {"measurement": {"kind": "own", "draws": 2}}
    new = old | {"cell": cell_id(config), "config": config, "started": "2026-01-02T00:00:00"}
    for record in (new, old, other):
        store.write(record)
    assert {record["cell"] for record in store.records()} == {new["cell"], C}


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
    assert done[:2] == [("on disk", 12, False), ("renamed", temporary, path)]
    assert [step[0::2] for step in done[2:]] == [("on disk", True)]  # the folder, for the name
    assert temporary.parent == path.parent
    assert re.fullmatch(rf"\.a\.json\.{os.getpid()}-[0-9a-f]{{8}}\.tmp", temporary.name)
    write_atomic(path, b"twelve bytes")
    assert done[4][1] != temporary  # a process of the same number on another machine has another name
    assert path.read_bytes() == b"twelve bytes"
    assert list(path.parent.iterdir()) == [path]


def test_stale_temporary_files_are_swept_and_fresh_ones_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An hour old, and no younger: its writer may be at work. Only names that we write, in folders that we make."""
    store = Store(tmp_path)
    ages = {
        f"cells/.{A}.json.1-0123abcd.tmp": 3601,
        f"cells/.{B}.json.2-0123abcd.tmp": 3600,
        ".suite.toml.3-0123abcd.tmp": 9999,
        ".cells.zip.3-0123abcd.tmp": 9999,
        f"claims/.{A}.json.3-0123abcd.tmp": 9999,
        f"checkpoints/.{A}.pt.3-0123abcd.tmp": 9999,
        "weights/.trajectory-0.pt.3-0123abcd.tmp": 9999,
        "tables/.bias.md.4-0123abcd.tmp": 9999,
        f"cells/{A}.json": 9999,
        "cells/.keep": 9999,
        "visible.tmp": 9999,
        ".mine.tmp": 9999,
        ".mine.txt.3-0123abcd.tmp": 9999,
        f"mine/.{A}.json.3-0123abcd.tmp": 9999,
        f"cells/more/.{A}.json.3-0123abcd.tmp": 9999,
        f"cells/.{A}.json.tmp": 9999,
        "cells/.a.json.1-0123abcd.tmp": 9999,
    }
    for name, age in ages.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("half")
        os.utime(path, (0, 100_000 - age))
    monkeypatch.setattr(time, "time", lambda: 100_000.0)
    store.sweep()
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {name for i, name in enumerate(ages) if i == 1 or i >= 8}
    assert STALE_SECONDS == 3600


def test_a_temporary_file_that_is_renamed_while_it_is_looked_at_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / ".suite.toml.3-0123abcd.tmp"
    monkeypatch.setattr(os, "listdir", lambda folder: [gone.name])
    Store(tmp_path).sweep()
    assert not gone.exists()


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
        if store.path(A).exists():
            record = json.loads(store.path(A).read_bytes())
            assert len(set(record["payload"])) == 1
            seen += 1
    assert all(writer.returncode == 0 for writer in writers)
    assert seen
    assert [path.name for path in store.cells.iterdir()] == [f"{A}.json"]
