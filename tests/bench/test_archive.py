"""A published run: its records in one archive, which every reader takes for the folder."""

import json
import os
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from bench.cli.tables import print_table
from bench.run import archive
from bench.run.folder import title_of_run
from bench.run.store import write_atomic
from estimators.errors import BadInput
from tests.bench.compared import compare
from tests.bench.plain import Store
from tests.bench.test_compare import elbos, folder, made, times, variances
from tests.bench.test_store import A, B, C, _record, cell

CONTENTS = {"b": b"{}", "a": b'{"x": 1.50}', "empty": b""}


def _filled(path: Path, *cells: str) -> Store:
    store = Store(path)
    for name in cells:
        store.write(_record(name, seconds=float(ord(name))))
    return store


def _files(path: Path) -> list[str]:
    return sorted(str(found.relative_to(path)) for found in path.rglob("*"))


def test_records_come_back_byte_for_byte(tmp_path: Path) -> None:
    path = tmp_path / "cells.zip"
    assert archive.unpack(path) == {}
    path.write_bytes(archive.pack(CONTENTS))
    assert archive.unpack(path) == CONTENTS


def test_equal_records_make_an_equal_archive_whatever_their_order_and_the_day(tmp_path: Path) -> None:
    content = archive.pack(CONTENTS)
    assert content == archive.pack(dict(sorted(CONTENTS.items())))
    (tmp_path / "cells.zip").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "cells.zip") as opened:
        assert opened.namelist() == ["cells/a.json", "cells/b.json", "cells/empty.json"]
        assert {member.date_time for member in opened.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert len(archive.pack({"a": b"x" * 100_000})) < 1000


def test_unpacked_by_hand_it_is_the_folder(tmp_path: Path) -> None:
    store = _filled(tmp_path / "run", "a", "b")
    contents = {path.name: path.read_bytes() for path in store.cells.iterdir()}
    store.pack()
    assert _files(store.root) == ["cells.zip"]
    subprocess.run([sys.executable, "-m", "zipfile", "-e", str(store.archive), str(tmp_path)], check=True)
    assert {path.name: path.read_bytes() for path in (tmp_path / "cells").iterdir()} == contents
    with zipfile.ZipFile(store.archive) as opened:
        assert {stat.filemode(member.external_attr >> 16)[1:] for member in opened.infolist()} == {"rw-r--r--"}


def test_an_archive_packed_by_hand_is_read_and_what_is_no_record_in_it_is_not(tmp_path: Path) -> None:
    store = _filled(tmp_path, "a")
    with zipfile.ZipFile(store.archive, "w") as opened:
        opened.writestr("cells/", "")
        opened.writestr(f"cells/{B}.json", json.dumps(_record("b")))
        opened.writestr(f"cells/{C}.json", json.dumps(_record("c"))[:-1])
        opened.writestr(f"cells/{cell('other')}.json", json.dumps(_record("c")))
        opened.writestr(f"cells/{B} (copy).json", json.dumps(_record("b")))
        for name in ("cells/d.txt", "d.json", "cells/more/d.json", "__MACOSX/cells/d.json"):
            opened.writestr(name, json.dumps(_record("d")))
    assert store.ids() == sorted([A, B, C, cell("other")])
    assert [record["cell"] for record in store.whole()] == [A, B]
    assert store.read(C) is store.read(cell("other")) is store.read(cell("d")) is None


def test_a_record_in_the_folder_counts_before_that_in_the_archive(tmp_path: Path) -> None:
    store = _filled(tmp_path, "a", "b")
    store.pack()
    store.write(_record("b", seconds=7.0))
    store.write(_record("c", seconds=8.0))
    assert [(record["cell"], record["seconds"]) for record in store.whole()] == [(A, 97), (B, 7), (C, 8)]
    store.path(B).write_text("torn")
    assert store.read(B) is None
    store.write(_record("b", seconds=9.0))
    store.pack()
    assert [(record["cell"], record["seconds"]) for record in store.whole()] == [(A, 97), (B, 9), (C, 8)]
    assert _files(tmp_path) == ["cells.zip"]


def test_packing_leaves_what_is_no_whole_record_and_packing_twice_changes_nothing(tmp_path: Path) -> None:
    store = _filled(tmp_path, "a", "b")
    store.path(B).write_text("torn")
    (store.cells / "notes.txt").write_text("mine")
    store.pack()
    assert _files(tmp_path) == ["cells", "cells.zip", f"cells/{B}.json", "cells/notes.txt"]
    content = store.archive.read_bytes()
    store.pack()
    assert store.archive.read_bytes() == content
    assert archive.unpack(store.archive).keys() == {A}


def test_a_record_that_is_written_while_its_archive_is_made_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, pack = _filled(tmp_path, "a", "b"), archive.pack

    def slowly(contents: dict[str, bytes]) -> bytes:
        store.write(_record("b", seconds=7.0))
        return pack(contents)

    monkeypatch.setattr(archive, "pack", slowly)
    store.pack()
    assert _files(tmp_path) == ["cells", "cells.zip", f"cells/{B}.json"]
    assert [record["seconds"] for record in store.whole()] == [97, 7]


@pytest.mark.parametrize("there", [False, True])
def test_an_archive_that_cannot_be_written_costs_no_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    store = _filled(tmp_path, "a")
    if there:
        store.pack()
    store.write(_record("b"))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        store.pack()
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_an_archive_of_no_records_is_as_an_empty_folder(tmp_path: Path) -> None:
    store = Store(tmp_path)
    write_atomic(store.archive, archive.pack({}))
    assert (store.ids(), store.whole(), store.read(A)) == ([], [], None)


def test_a_damaged_archive_is_named_with_the_record_and_what_to_do(tmp_path: Path) -> None:
    store = _filled(tmp_path, "a", "b")
    store.pack()
    content = bytearray(store.archive.read_bytes())
    content[content.index(f"cells/{B}.json".encode()) + len(f"cells/{B}.json") + 20] ^= 0xFF
    for damaged, where in ((content, f" at cells/{B}.json"), (content[:-1], ""), (b"", ""), (b"not a zip", "")):
        write_atomic(store.archive, bytes(damaged))
        store.write(_record("c"))
        for use in (store.ids, store.whole, store.pack, lambda: store.read(A)):
            with pytest.raises(BadInput) as raised:
                use()
            assert str(raised.value).startswith(f"'{store.archive}' is damaged{where} (")
            assert str(raised.value).endswith("); fetch it again, or delete it and gradest run makes its records")
        assert store.read(C) == _record("c")
        assert store.archive.read_bytes() == damaged
        assert _files(tmp_path) == ["cells", "cells.zip", f"cells/{C}.json"]


def test_whatever_byte_is_damaged_no_record_is_read_wrong(tmp_path: Path) -> None:
    whole = archive.pack(CONTENTS)
    refused = 0
    for place in range(len(whole)):
        content = bytearray(whole)
        content[place] ^= 0xFF
        path = tmp_path / str(place)
        path.write_bytes(content)
        try:
            assert archive.unpack(path).items() <= CONTENTS.items()
        except BadInput:
            refused += 1
    assert refused > len(whole) / 2  # the others are dates, modes and the like
    for length in range(len(whole)):
        path = tmp_path / f"first {length}"
        path.write_bytes(whole[:length])
        with pytest.raises(BadInput, match="is damaged"):
            archive.unpack(path)


def test_an_archived_run_is_compared_as_its_folder_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def measured(extra: float) -> list[dict[str, object]]:
        return [
            made("moments", variances((0, 8.0 + extra, 0.3), (100, 16.0, 0.4)), settings={"draws": int(extra)}),
            made("train", elbos([0, 1, 2], [-20.0 - extra, -30.0, -40.0])),
            made("time", times((9.0, 0.1), (4.0 + extra, 0.3))),
        ]

    first, second = folder(tmp_path / "A", measured(0.0)), folder(tmp_path / "B", measured(1.0))

    def said() -> str:
        rows, notes = compare(first, second)
        print_table(rows)
        return capsys.readouterr().out + "\n".join(notes)

    before = said()
    assert "test ELBO B - A" in before
    Store(first).pack()
    assert said() == before
    Store(second).pack()
    assert said() == before
    assert _files(first) == _files(second) == ["cells.zip", "suite.toml"]


PUBLISHED = sorted(path.parent for path in (Path(__file__).parents[2] / "results").glob("*/suite.toml"))


@pytest.mark.parametrize("run", PUBLISHED, ids=lambda run: run.name)
def test_a_run_in_results_is_a_suite_a_page_tables_figures_and_one_file_of_records(run: Path) -> None:
    names = {path.name for path in run.iterdir()}
    assert names >= {"suite.toml", "report.html", "tables", "figures", "cells.parquet", "cells.zip"}
    assert "cells" not in names
    store = Store(run)
    assert [record["cell"] for record in store.whole()] == store.ids()
    assert title_of_run(run)
    assert {record["status"] for record in store.whole()} == {"ok"}
