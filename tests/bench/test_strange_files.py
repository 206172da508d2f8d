"""What lies beside the records and is read, what a later release wrote, and what is left of a write that failed."""

import io
import json
import os
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.records.record import Newer
from bench.records.values import plain
from bench.run import archive
from bench.run.checkpoints import Checkpoints
from bench.run.files import Unreadable, content_of, write_atomic
from bench.run.folder import name_of_run
from bench.run.planned import read_plan, write_plan
from bench.run.sealed import Unusable, seal
from bench.run.store import Store
from bench.run.weights import MAGIC, Later, Weights
from bench.suite.load import override, parse_suite
from bench.suite.plan import plan
from estimators.errors import BadInput
from tests.bench.command import Done
from tests.bench.test_store import A, B, _record
from tests.bench.test_suite import SMALL


def _zip(*members: tuple[str | zipfile.ZipInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in members:
            opened.writestr(name, content)
    return buffer.getvalue()


def _link() -> bytes:
    member = zipfile.ZipInfo(f"cells/{A}.json")
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    return _zip((member, b"/etc/passwd"))


def _encrypted() -> bytes:
    content = bytearray(_zip((f"cells/{A}.json", b"{}")))
    for magic, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(magic) + flags] |= 1
    return bytes(content)


def _lying() -> bytes:
    """A bomb that says that it unpacks to ten bytes."""
    content = _zip((f"cells/{A}.json", bytes(50_000_000)))
    return content.replace((50_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little"))


BOMB = [(f"cells/{i:016x}.json", bytes(40_000_000)) for i in range(3)]


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: _zip((f"cells/{A}.json", b"{}"), (f"cells/{A}.json", b"{}")), f"holds 'cells/{A}.json' twice"),
        (lambda: _zip((f"cells/{A}.json", b"{}"), (f"cells//./{A}.json", b"{}")), f"holds 'cells/{A}.json' twice"),
        (lambda: _zip((f"/cells/{A}.json", b"{}")), f"names '/cells/{A}.json', outside of its folder"),
        (lambda: _zip((f"../cells/{A}.json", b"{}")), f"names '../cells/{A}.json', outside of its folder"),
        (lambda: _zip(("C:/a.json", b"{}")), "names 'C:/a.json', outside of its folder"),
        (_link, f"holds 'cells/{A}.json' as a link"),
        (_encrypted, f"holds 'cells/{A}.json' encrypted"),
        (lambda: _zip((f"cells/{A}.json", bytes(70_000_000))), "of 67 MB, where 64 are the most"),
        (lambda: _zip(*BOMB), "holds 114 MB in 0.1"),
        (_lying, "is damaged at"),
    ],
    ids=[
        "twice",
        "respelt",
        "absolute",
        "above",
        "drive",
        "link",
        "encrypted",
        "large",
        "bomb",
        "lying",
    ],
)
def test_an_archive_that_no_run_has_written_is_refused_in_a_line(
    tmp_path: Path, make: Callable[[], bytes], words: str
) -> None:
    store = Store(tmp_path)
    store.archive.write_bytes(make())
    for use in (store.found, store.ids, lambda: store.read(A)):
        with pytest.raises(BadInput) as caught:
            use()
        assert words in str(caught.value)
        assert str(caught.value).startswith(f"'{store.archive}' ")
        assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["cells.zip"]


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir], ids=["pipe", "folder"])
def test_what_is_no_file_beside_the_records_is_said_at_once(tmp_path: Path, make: Callable[[Path], None]) -> None:
    (tmp_path / "suite.toml").write_text('name = "a"')
    write_plan(tmp_path, [A])
    assert read_plan(tmp_path) == {A}
    for name in ("cells.zip", "plan.json", f"checkpoints/{A}.pt", "weights/w.pt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        make(path)
    with pytest.raises(BadInput, match=r"cells\.zip' is a (pipe|folder), not a file$"):
        Store(tmp_path).found()
    assert read_plan(tmp_path) is None
    for look in (lambda: Checkpoints(tmp_path).read(A), lambda: Weights(tmp_path).read("w", {})):
        with pytest.raises(Unusable, match=r"^is a (pipe|folder), not a file$"):
            look()
    assert list(Checkpoints(tmp_path).headers()) == []
    (tmp_path / "suite.toml").unlink()
    make(tmp_path / "suite.toml")
    with pytest.raises(BadInput, match="holds no run"):
        name_of_run(tmp_path)


def test_a_plan_is_held_to_the_hash_of_its_cells_and_one_of_before_to_their_form(tmp_path: Path) -> None:
    (tmp_path / "suite.toml").write_text('name = "a"')
    path = tmp_path / "plan.json"
    write_plan(tmp_path, [A, B])
    whole = json.loads(path.read_text())
    assert whole.keys() >= {"suite", "digest", "cells"}
    before = {key: whole[key] for key in ("suite", "cells")}
    path.write_text(json.dumps(before))
    assert read_plan(tmp_path) == {A, B}
    wrong: list[Any] = [whole | {"expects": {A: ["train", 1.0]}}, whole | {"digest": "x"}]
    wrong += [whole | {"cells": cells} for cells in ([A], [A, A], A, [1, 2], {A: B}, None)]
    wrong += [before | {"cells": cells} for cells in (A, [A[:-1]], [[A]], [None], None)]
    for content in (*map(json.dumps, wrong), "", "[" * 100_000, "\udcff", "NaN", json.dumps(whole)[:-1]):
        path.write_bytes(content.encode(errors="surrogateescape"))
        assert read_plan(tmp_path) is None, content[:80]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"x = " + b"[" * 100_000, "is nested too deep to be read"),
        (b"x = " + b"1" * 5000, "is not valid TOML"),
        (b'name = "\xff"', "is not valid TOML"),
        (b"#" * 5_000_000, "is a file of 5 MB, where 4 MB are the most"),
    ],
)
def test_a_suite_that_cannot_be_read_is_one_line(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "suite.toml").write_bytes(content)
    with pytest.raises(BadInput, match=words):
        name_of_run(tmp_path)


NEWER = [
    {"schema": 3},
    {"schema": 3, "provenance": {"gradest": "9.1"}, "another": "form"},
    {"schema": 2.5, "provenance": None, "cell": A},
    {"schema": 99, "provenance": [], "x": [10**30, [[[[]]]]], "cells": None},
]


@pytest.mark.parametrize("found", NEWER)
@pytest.mark.parametrize("packed", [False, True])
def test_a_record_of_a_later_release_is_refused_whatever_its_form_and_never_written_over(
    tmp_path: Path, found: dict[str, Any], packed: bool
) -> None:
    """By what reads, and by what writes; in the folder and in the archive."""
    store, content = Store(tmp_path), json.dumps(found).encode()
    path = store.archive if packed else store.path(A)
    write_atomic(path, archive.pack({A: content}) if packed else content)
    release = "gradest 9.1" if "another" in found else "a later release"
    other = Store(tmp_path / "other")
    from tests.bench.plain import Store as Plain

    Plain(other.root).write(_record("a"))
    (mine,) = other.whole()
    for use in (lambda: store.read(A), store.found, store.records, lambda: store.write(mine)):
        with pytest.raises(Newer, match=rf"^record {A} of .* was written by {release}, with schema {found['schema']}"):
            use()
    assert path.read_bytes() == (archive.pack({A: content}) if packed else content)
    assert not store.cells.exists() or [one.name for one in store.cells.iterdir()] == [f"{A}.json"]


def test_weights_of_a_later_release_stay(tmp_path: Path) -> None:
    kept = Weights(tmp_path)
    content = seal(MAGIC, '{"schema_version":2,"called":"w"}', b"")
    write_atomic(kept.path("w"), content)
    with pytest.raises(Later, match=r"was written by a later release \(schema 2, where this reads 1\)"):
        kept.read("w", {})
    with pytest.raises(Later):
        kept.write("w", {}, {}, replace=True)
    assert kept.path("w").read_bytes() == content


def test_a_write_that_fails_names_its_file_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    for name in ("fsync", "fdopen", "open"):
        with monkeypatch.context() as patched:
            patched.setattr(os, name, failing)
            with pytest.raises(OSError, match="No space left") as caught:
                write_atomic(tmp_path / "a.json", b"new")
        assert caught.value.filename == str(tmp_path / "a.json")
        assert list(tmp_path.iterdir()) == []
    (tmp_path / "a.json").mkdir()
    with pytest.raises(IsADirectoryError) as found:
        write_atomic(tmp_path / "a.json", b"new")
    assert found.value.filename == str(tmp_path / "a.json")
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_file_has_the_mode_that_a_plain_open_gives_and_a_link_is_replaced(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_atomic(tmp_path / "new", b"x")
    finally:
        os.umask(before)
    (tmp_path / "old").write_text("x")
    (tmp_path / "old").chmod(0o664)
    write_atomic(tmp_path / "old", b"y")
    (tmp_path / "hidden").write_text("x")
    (tmp_path / "hidden").chmod(0)
    write_atomic(tmp_path / "hidden", b"y")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {"new": 0o640, "old": 0o664, "hidden": 0o400}
    (tmp_path / "link").symlink_to("old")
    write_atomic(tmp_path / "link", b"z")
    assert (tmp_path / "old").read_text() == "y"
    assert not (tmp_path / "link").is_symlink()


def test_a_temporary_name_that_is_taken_is_not_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = iter(["00000000", "00000001"])
    monkeypatch.setattr("bench.run.files.secrets.token_hex", lambda size: next(tokens))
    taken = tmp_path / f".a.{os.getpid()}-00000000.tmp"
    taken.write_text("another's")
    write_atomic(tmp_path / "a", b"mine")
    assert (taken.read_text(), (tmp_path / "a").read_text()) == ("another's", "mine")


def test_no_more_is_read_than_may_be(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"magic and more")
    assert content_of(path, 14) == b"magic and more"
    assert content_of(path, 14, begins=b"magic") == b"magic and more"
    assert content_of(path, 14, begins=b"other") == b"magic"
    assert content_of(tmp_path / "none", 14) is None
    with pytest.raises(Unreadable, match="is a file of 0 MB"):
        content_of(path, 13)


@pytest.mark.parametrize(
    "value", [2**63, {"a": 1e200}, {1: 2, "1": 3}, json.loads("[" * 50 + "]" * 50)], ids=["int", "float", "key", "deep"]
)
def test_what_could_not_be_read_again_is_not_written(value: Any) -> None:
    with pytest.raises(TypeError, match=r"^a record (cannot be written that|holds no table)"):
        plain(value)
    assert plain({1: "a\0b\ud800é\n"}) == {"1": "a\\x00b\\ud800é\n"}


def test_a_run_says_which_records_are_damaged_and_makes_them_again(
    gradest: Callable[..., Done], world: list[str], tmp_path: Path
) -> None:
    command = ["run", "small.toml", "-e", "arm", "-e", "rloo", "--out", "here"]
    gradest(*command)
    cells = plan(override(parse_suite(SMALL.encode(), "small.toml"), estimators=["arm", "rloo"])).cells
    store = Store(tmp_path / "here")
    for cell in cells[:7]:
        store.path(cell.id).write_bytes(store.path(cell.id).read_bytes().replace(b'"unbiased": ', b'"unbiased":  !'))
    before = {cell.id: store.path(cell.id).read_bytes() for cell in cells[7:]}
    state = gradest("status", "here")
    assert (state.code, state.out.count("\ndamaged: here/cells/")) == (1, 7)
    assert "; 7 records are damaged\n" in state.out
    world.clear()
    done = gradest(*command)
    assert len(world) == 7
    lines = done.err.splitlines()
    assert lines[0] == "7 records are damaged and run again:"
    named = [line.split()[1] for line in lines[1:6]]
    assert named == [f"here/cells/{cell.id}.json" for cell in cells[:5]]
    assert lines[6] == "damaged: and 2 more"
    assert store.damaged() == []
    assert {cell: store.path(cell).read_bytes() for cell in before} == before
    assert "damaged" not in gradest(*command).err
