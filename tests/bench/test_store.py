"""The store: whole records or none, the newest of two, nothing left behind."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from bench.store import SCHEMA, STALE_SECONDS, Store, write_atomic


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


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"schema": 1}', json.dumps(_record("b")), json.dumps(_record("a", schema=99))]
)
def test_a_record_that_is_not_whole_is_none(tmp_path: Path, text: str) -> None:
    store = Store(tmp_path)
    write_atomic(store.path("a"), text.encode())
    assert store.read("a") is None
    assert store.records() == []


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


def test_stale_temporary_files_are_swept_and_fresh_ones_stay(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.cells.mkdir()
    stale, fresh = store.cells / ".a.json.1.tmp", store.cells / ".b.json.2.tmp"
    for path in (stale, fresh):
        path.write_text("half")
    long_ago = time.time() - STALE_SECONDS - 1
    os.utime(stale, (long_ago, long_ago))
    store.sweep()
    assert list(store.cells.iterdir()) == [fresh]


def test_many_writers_of_one_cell_leave_one_whole_record(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from bench.store import Store\n"
        "for i in range(200): Store(Path(sys.argv[1])).write("
        "{'cell': 'a', 'payload': sys.argv[2] * 5000})"
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
