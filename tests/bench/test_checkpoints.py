"""The files of checkpoints, and a cell that goes on from one, or is told why it cannot."""

import io
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.run import keeper
from bench.run.cell import make_record
from bench.run.checkpoints import MAGIC, Checkpoints, Header, Unusable
from bench.run.executors import inline
from bench.run.keeper import CellKeeper, Kept, made_by
from bench.run.limit import AT_LIMIT, Limit
from bench.run.runner import run_suite
from bench.run.status import status
from bench.suite.load import override, parse_suite
from bench.suite.plan import plan
from bench.suite.schema import Cell, Suite
from bench.training.checkpoint import KEEPER
from bench.training.stopped import Stopped
from bench.training.trainer import Trainer
from tests.bench.plain import Store
from tests.bench.test_suite import SMALL

ID = "0123456789abcdef"


def header(**changes: Any) -> Header:
    told = {"cell": ID, "title": "a cell", "step": 3, "steps": 7, "seconds": 1.5, "resumed": 0, "machines": ("here",)}
    return Header(**told | {"made_by": {"torch": "1"}} | changes)


def training(steps: int = 6) -> Suite:
    """One training cell."""
    text = SMALL.replace("steps = 4", f"steps = {steps}").replace("[time]\nrounds = 5\n", "")
    text = text.replace("[moments]\ndraws = 40\ncheckpoints = [0, 4]\n", "")
    text = "\n".join(line for line in text.splitlines() if '"toy"' not in line)
    return override(parse_suite(text.encode(), "small.toml"), estimators=["reinforce[baseline=moving-average]"])


def test_a_checkpoint_comes_back_whole_or_not_at_all(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.read(ID) is None
    assert list(checkpoints.headers()) == []
    checkpoints.write(header(), b"some\nstate")
    checkpoints.write(header(step=4), b"more\nstate")
    found, state = checkpoints.read(ID) or (None, b"")
    assert state == b"more\nstate"
    assert found is not None and (found.step, found.steps, found.machines) == (4, 7, ("here",))
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == [f"{ID}.pt"]
    assert [head.step for head in checkpoints.headers()] == [4]
    whole = checkpoints.path(ID).read_bytes()
    for end in range(len(whole)):
        checkpoints.path(ID).write_bytes(whole[:end])
        with pytest.raises(Unusable, match=r"^is torn or damaged$"):
            checkpoints.read(ID)
    for at in range(len(MAGIC), len(whole)):
        checkpoints.path(ID).write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(Unusable):
            checkpoints.read(ID)
        assert list(checkpoints.headers()) == []  # of a cell that will begin anew, status does not say how far it is


def test_what_is_not_ours_is_neither_read_nor_removed(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.write(header(), b"state")
    whole = checkpoints.path(ID).read_bytes()
    other = "f" * 16
    checkpoints.path(other).write_bytes(whole)
    with pytest.raises(Unusable, match=rf"^is of another cell, {ID}$"):
        checkpoints.read(other)
    checkpoints.path("a" * 16).mkdir()
    with pytest.raises(Unusable, match=r"^is a folder, not a file$"):
        checkpoints.read("a" * 16)
    for schema, age in ((2, "a later"), (0, "an earlier")):
        checkpoints.path(other).write_bytes(MAGIC + 64 * b"0" + b"\n" + json.dumps({"schema_version": schema, "x": 1},
                                                               separators=(",", ":")).encode() + b"\n")  # fmt: skip
        with pytest.raises(Unusable, match=rf"^was written by {age} release \(schema {schema}, where this one reads 1"):
            checkpoints.read(other)
    checkpoints.path(other).write_bytes(b"PK\x03\x04")
    with pytest.raises(Unusable, match=r"^is no checkpoint of gradest$"):
        checkpoints.read(other)
    assert [head.cell for head in checkpoints.headers()] == [ID]
    mine = checkpoints.folder / "mine.pt"
    mine.write_bytes(whole)
    checkpoints.remove([ID, other, "mine", "a" * 16])
    checkpoints.tidy()
    assert sorted(path.name for path in checkpoints.folder.iterdir()) == ["a" * 16 + ".pt", "mine.pt"]
    mine.unlink()
    (checkpoints.folder / ("a" * 16 + ".pt")).rmdir()
    checkpoints.tidy()
    assert not checkpoints.folder.exists()


@pytest.fixture
def stopping(monkeypatch: pytest.MonkeyPatch) -> Callable[[int | None], Limit]:
    """A limit that comes after so many steps of whatever is trained."""
    state: dict[str, Any] = {}
    take = Trainer.step

    def step(trainer: Trainer, x: torch.Tensor) -> None:
        take(trainer, x)
        state["left"] -= 1
        if state["left"] == 0:
            state["limit"].wanted = Stopped("a test")

    def limit(steps: int | None) -> Limit:
        state.update(left=steps or 10**9, limit=Limit())
        return state["limit"]

    monkeypatch.setattr(Trainer, "step", step)
    return limit


def measured(out: Path) -> Any:
    (record,) = Store(out).whole()
    assert record["status"] == "ok"
    record["measurements"]["curve"].pop("seconds")
    return record["measurements"]


Stopping = Callable[[int | None], Limit]


def test_a_cell_that_was_stopped_goes_on_with_the_same_record(
    tmp_path: Path, stopping: Stopping, capsys: pytest.CaptureFixture[str]
) -> None:
    suite = training()
    (cell,) = plan(suite).cells
    run_suite(suite, tmp_path / "alone", executor=inline, limit=stopping(None))
    alone = measured(tmp_path / "alone")
    assert not (tmp_path / "alone" / "checkpoints").exists()
    out = tmp_path / "parts"
    for resumed, step in enumerate((2, 4)):
        outcome = run_suite(suite, out, executor=inline, limit=stopping(2))
        assert (outcome.done, outcome.fresh, outcome.left, outcome.lost) == (0, 0, 1, ())
        assert outcome.stopped is not None and outcome.stopped.reason == "a test"
        (told,) = status(out)["in_progress"]
        assert told.pop("seconds") > 0
        assert told == {"cell": cell.id, "title": cell.title, "step": step, "steps": 6}
        found, _ = Checkpoints(out).read(cell.id) or (None, b"")
        assert found is not None and found.resumed == resumed
        # So that the seconds of the parts are seen to add up.
        content = Checkpoints(out).read(cell.id)
        assert content is not None
        Checkpoints(out).write(found.model_copy(update={"seconds": found.seconds + 1000}), content[1])
    outcome = run_suite(suite, out, executor=inline, limit=stopping(None))
    assert (outcome.done, outcome.fresh, outcome.left, outcome.stopped) == (1, 1, 0, None)
    found = measured(out)
    assert found.pop("resumed") == 2
    assert found == alone
    assert 2000 < Store(out).whole()[0]["seconds"] < 3000
    assert not (out / "checkpoints").exists()
    assert capsys.readouterr().err == "".join(f"{cell.title}: goes on at step {step} of 6\n" for step in (2, 4))
    assert status(out)["in_progress"] == []


def corrupt(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:-9] + b"?" + whole[-8:])


def changed(**changes: Any) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        checkpoints = Checkpoints(path.parent.parent)
        found, state = checkpoints.read(path.stem) or (header(), b"")
        checkpoints.write(found.model_copy(update={"made_by": {**found.made_by, **changes}}), state)

    return change


def foreign(path: Path) -> None:
    """A state of ours in form, and of nobody in content."""
    checkpoints = Checkpoints(path.parent.parent)
    found, _ = checkpoints.read(path.stem) or (header(), b"")
    file = io.BytesIO()
    torch.save({"parts": {"trainer": {}}}, file)
    checkpoints.write(found, file.getvalue())


def unpicklable(path: Path) -> None:
    """What torch would have to run code for."""
    checkpoints = Checkpoints(path.parent.parent)
    found, _ = checkpoints.read(path.stem) or (header(), b"")
    file = io.BytesIO()
    torch.save({"parts": Path("here")}, file)
    checkpoints.write(found, file.getvalue())


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (corrupt, "is torn or damaged"),
        (lambda path: path.write_bytes(b"\0" * 99), "is no checkpoint of gradest"),
        (foreign, "does not fit: state holds other things: batches, eager steps"),
        (unpicklable, "cannot be read (UnpicklingError)"),
        (changed(torch="1.0"), f"is of before torch changed (1.0, now {torch.__version__})"),
        (changed(**{"the estimator's source": "0" * 64}), "is of before the estimator's source changed"),
        (changed(**{"the number of threads": "7"}), "is of before the number of threads changed (7, now 1)"),
    ],
)
def test_a_checkpoint_that_cannot_be_used_is_one_line_and_the_cell_begins_anew(
    tmp_path: Path,
    stopping: Stopping,
    capsys: pytest.CaptureFixture[str],
    damage: Callable[[Path], None],
    words: str,
) -> None:
    suite = training()
    (cell,) = plan(suite).cells
    run_suite(suite, tmp_path / "alone", executor=inline, limit=stopping(None))
    run_suite(suite, tmp_path / "out", executor=inline, limit=stopping(3))
    damage(Checkpoints(tmp_path / "out").path(cell.id))
    run_suite(suite, tmp_path / "out", executor=inline, limit=stopping(None))
    assert capsys.readouterr().err == f"{cell.title}: the checkpoint {words}; the cell begins anew\n"
    assert measured(tmp_path / "out") == measured(tmp_path / "alone")
    assert not (tmp_path / "out" / "checkpoints").exists()


def test_force_begins_anew_and_says_nothing(
    tmp_path: Path, stopping: Stopping, capsys: pytest.CaptureFixture[str]
) -> None:
    suite = training()
    run_suite(suite, tmp_path, executor=inline, limit=stopping(3))
    assert len(list((tmp_path / "checkpoints").iterdir())) == 1
    run_suite(suite, tmp_path, executor=inline, force=True, limit=stopping(None))
    assert "resumed" not in measured(tmp_path)
    assert capsys.readouterr().err == ""
    # One that another process left of a cell that is done is removed by the next run.
    (cell,) = plan(suite).cells
    Checkpoints(tmp_path).write(header(cell=cell.id), b"")
    Checkpoints(tmp_path).write(header(), b"of another suite")
    assert run_suite(suite, tmp_path, executor=inline).fresh == 0
    assert [path.stem for path in (tmp_path / "checkpoints").iterdir()] == [ID]


def test_checkpoints_are_written_by_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After 30 seconds, and then so seldom that they take a twentieth of the time at most."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    (cell,) = plan(training()).cells
    kept = CellKeeper(cell, Checkpoints(tmp_path), Limit())
    assert kept.load({}) is None
    write = Checkpoints.write
    takes = iter([1.0, 10.0])

    def slowly(self: Checkpoints, head: Header, state: bytes) -> None:
        now[0] += next(takes)
        write(self, head, state)

    monkeypatch.setattr(Checkpoints, "write", slowly)
    due = []
    for second in (29.9, 30.0, 60.9, 61.0, 270.0, 271.0):
        now[0] = second
        due.append(kept.due())
        if due[-1] and second < 271:
            kept.keep(lambda: {"step": 1, "steps": 2})
    assert due == [False, True, False, True, False, True]
    found, _ = Checkpoints(tmp_path).read(cell.id) or (header(), b"")
    assert (found.seconds, found.made_by, found.title) == (61.0, made_by(cell), cell.title)


def test_a_full_disk_costs_the_checkpoint_and_not_the_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(self: Checkpoints, head: Header, state: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Checkpoints, "write", full)
    monkeypatch.setattr(keeper, "INTERVAL", 0.0)
    suite = training()
    assert run_suite(suite, tmp_path, executor=inline).unwell == []
    said = f"{plan(suite).cells[0].title}: no checkpoint could be written (No space left on device)\n"
    assert set(capsys.readouterr().err.splitlines(keepends=True)) == {said}


def test_a_part_that_another_machine_made_is_said_and_recorded(
    tmp_path: Path, stopping: Stopping, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = training()
    with monkeypatch.context() as there:
        there.setattr(keeper, "machine_name", lambda device: "node7, a CPU")
        run_suite(suite, tmp_path, executor=inline, limit=stopping(3))
    run_suite(suite, tmp_path, executor=inline, limit=stopping(None))
    assert measured(tmp_path)["elsewhere"] == ["node7, a CPU"]
    assert (
        "goes on at step 3 of 6, of another machine (node7, a CPU): last digits may differ\n" in capsys.readouterr().err
    )


def test_a_step_that_was_left_in_its_middle_keeps_nothing(tmp_path: Path) -> None:
    (cell,) = plan(training()).cells
    kept = CellKeeper(cell, Checkpoints(tmp_path), Limit())
    with pytest.raises(KeyboardInterrupt), kept.stoppable(dict), kept.steps():
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())
    kept = CellKeeper(cell, Checkpoints(tmp_path), Limit())
    with kept.steps():
        pass
    with pytest.raises(KeyboardInterrupt), kept.stoppable(lambda: {"step": 1, "steps": 2}):
        raise KeyboardInterrupt
    assert len(list(Checkpoints(tmp_path).headers())) == 1


def test_no_cell_begins_when_too_little_time_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Less than two seconds; or, where nothing is kept inside a cell, less than the median of its kind."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    suite = override(parse_suite(SMALL.encode(), "small.toml"), estimators=["rloo"])
    cells = {cell.measurement.kind: cell for cell in plan(suite).cells}
    began: list[str] = []

    def run(cell: Cell) -> Any:
        began.append(cell.measurement.kind)
        assert isinstance(KEEPER.get(), CellKeeper)

    kept = Kept(tmp_path, Limit(100.0), run)
    for seconds in (10.0, 20.0, 300.0):
        for kind in ("moments", "train"):
            kept.done(make_record(cells[kind], {}, None, datetime.now(UTC), seconds))
    for second, expected in ((79.9, ["moments", "train", "time"]), (80.1, ["train", "time"]), (97.9, ["train", "time"]),
                             (98.1, []), (100.1, [])):  # fmt: skip
        now[0] = second
        began.clear()
        results = [kept(cells[kind]) for kind in ("moments", "train", "time")]
        assert began == expected
        stopped = [result for result in results if isinstance(result, Stopped)]
        assert len(stopped) == 3 - len(expected)
        assert all((result.reason, result.lost) == (AT_LIMIT, None) for result in stopped)
    assert type(KEEPER.get()).__name__ == "Keeper"

    def cut(cell: Cell) -> Any:
        now[0] += 7
        raise Stopped("SIGTERM")

    kept = Kept(tmp_path, Limit(1000.0), cut)
    lost = [kept(cells[kind]) for kind in ("moments", "train")]
    assert [result.lost for result in lost if isinstance(result, Stopped)] == [7.0, None]
