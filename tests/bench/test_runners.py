"""Claims: who has a cell, of runners in this process, in others, on other machines, alive, stopped and dead."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.run import claims
from bench.run.claims import STALE, Board, Claims, Runner, kernel

CELL, OTHER = "0123456789abcdef", "fedcba9876543210"

HOLD = """
import sys, time
from pathlib import Path
from bench.run.claims import Claims
with Claims(Path(sys.argv[1])) as claims:
    claims.take(sys.argv[2], "a title")
    print("taken", flush=True)
    time.sleep(600)
"""


def _held(root: Path, cell: str = CELL) -> "subprocess.Popen[str]":
    """A process that has the cell."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(root), cell], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "taken\n"
    return process


def _heartbeat(root: Path, **changes: object) -> str:
    """The heartbeat of a runner that nobody is, with its claim of the cell."""
    token = "abcd"
    runner = Runner(token, "node-1", 1, "another kernel", "another namespace", "1")._asdict() | changes
    (root / "claims").mkdir(exist_ok=True, parents=True)
    (root / "claims" / f"runner-{token}.json").write_text(json.dumps(runner))
    claim = {"runner": token, "deaths": 0, "step": 0, "title": "a title"}
    (root / "claims" / f"{CELL}.json").write_text(json.dumps(claim))
    return token


def test_a_cell_is_one_runners_until_it_gives_it_free(tmp_path: Path) -> None:
    with Claims(tmp_path) as first, Claims(tmp_path) as second:
        assert first.take(CELL) is None
        assert first.take(CELL) is None
        owner = second.take(CELL)
        assert owner is not None and (owner.token, owner.pid) == (first.token, os.getpid())
        assert second.take(OTHER) is None
        assert {cell: runner.token for cell, (_, runner) in Board(tmp_path).running().items()} == {
            CELL: first.token,
            OTHER: second.token,
        }
        first.release(CELL)
        assert second.take(CELL) is None
        assert second.deaths(CELL) == 0
    assert not (tmp_path / "claims").exists()


def test_a_run_that_ends_in_order_leaves_nothing_and_one_that_is_killed_a_mark(tmp_path: Path) -> None:
    process = _held(tmp_path)
    board = Board(tmp_path)
    ((claim, runner),) = board.running().values()
    assert (claim.title, runner.pid, runner.is_gone) == ("a title", process.pid, False)
    assert Claims(tmp_path).left_behind() == {}
    process.kill()
    process.communicate()
    assert (board.running(), board.owner(CELL)) == ({}, None)
    for deaths in (1, 2, 3):
        with Claims(tmp_path) as mine:
            assert mine.left_behind() == {CELL: deaths}
            assert mine.take(CELL) is None
            assert mine.deaths(CELL) == deaths
            mine._mine.clear()  # as if it were killed: what it has it does not give free
        assert [path.name for path in (tmp_path / "claims").iterdir()] == [f"{CELL}.json"]


def test_deaths_count_from_anew_where_the_cell_got_further(tmp_path: Path) -> None:
    step = 0
    for step, deaths in ((0, 0), (0, 1), (0, 2), (7, 1), (7, 2), (8, 1)):
        with Claims(tmp_path, step_of=lambda cell: step) as mine:  # noqa: B023
            mine.take(CELL)
            assert mine.deaths(CELL) == deaths
            mine._mine.clear()


@pytest.mark.parametrize("changes", [{}, {"host": "node-2"}], ids=["another machine", "another host"])
def test_a_runner_that_cannot_be_asked_after_is_alive_while_its_heart_beats(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    token = _heartbeat(tmp_path, **changes)
    beat = tmp_path / "claims" / f"runner-{token}.json"
    with Claims(tmp_path) as mine:
        owner = mine.take(CELL)
        assert owner is not None and owner.words == f"process 1 on {changes.get('host', 'node-1')}"
        for age, alive in ((STALE - 5, True), (5 - STALE, True), (-STALE - 5, False), (STALE + 5, False)):
            os.utime(beat, (time.time() - age,) * 2)
            assert (mine.runner(token) is not None) == alive
        assert mine.take(CELL) is None
        assert mine.deaths(CELL) == 1


def test_ages_are_by_the_clock_of_the_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine's clock may be an hour wrong: the heartbeats are dated by the one that has the folder."""
    _heartbeat(tmp_path)
    with Claims(tmp_path) as mine:
        real = time.time
        monkeypatch.setattr(claims.time, "time", lambda: real() + 3600)
        assert mine.take(CELL) is not None
    before = Claims(tmp_path)
    assert before.left_behind() == {}
    assert not list(before.folder.glob(f"*{before.token}*"))


@pytest.mark.parametrize(
    "changes",
    [
        {"pid": 2**22 + 1, "kernel": "here", "pids": "here"},
        {"pid": "here", "kernel": "here", "pids": "here", "start": "another"},
        {"pid": "not a number"},
        {"start": None, "kernel": "here", "pids": "here", "pid": 2**22 + 1},
    ],
    ids=["no such process", "its number is another process's", "torn", "no /proc"],
)
def test_a_process_that_is_gone_is_dead_at_once(tmp_path: Path, changes: dict[str, object]) -> None:
    here = {"pid": os.getpid(), "kernel": kernel(), "pids": claims._pids_of()}
    _heartbeat(tmp_path, **{key: here[key] if value == "here" else value for key, value in changes.items()})
    with Claims(tmp_path) as mine:
        assert mine.take(CELL) is None
        assert mine.deaths(CELL) == 1


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"runner": 3}', '{"runner": "../../etc"}', "[" * 100_000])
def test_a_claim_that_cannot_be_read_is_a_dead_runners(tmp_path: Path, content: str) -> None:
    with Claims(tmp_path) as mine:
        mine.path(CELL).write_text(content)
        os.utime(mine.path(CELL), (0, 0))
        assert mine.take(CELL) is None
        assert mine.deaths(CELL) == 1


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("nowhere")],
                         ids=["folder", "pipe", "link to nowhere"])  # fmt: skip
def test_what_lies_in_the_place_of_a_claim_and_is_no_file_is_put_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None]
) -> None:
    """A runner that could not make its claim there would try to for ever."""
    with Claims(tmp_path) as mine:
        make(mine.path(CELL))
        looks, claim = iter(range(5)), mine.claim
        monkeypatch.setattr(mine, "claim", lambda cell: (next(looks), claim(cell))[1])
        assert mine.take(CELL) is None
        assert mine.deaths(CELL) == 0
        assert len(list(mine.folder.glob("*.aside"))) == 1


@pytest.mark.parametrize("deaths", [10**30, -7, True, 2.5])
def test_deaths_that_nobody_counted_are_none(tmp_path: Path, deaths: object) -> None:
    with Claims(tmp_path) as mine:
        mine.path(CELL).write_text(json.dumps({"runner": "x", "deaths": deaths}))
        assert mine.take(CELL) is None
        assert mine.deaths(CELL) == 1


def test_a_file_in_the_place_of_the_claims_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "claims").touch()
    with pytest.raises(OSError) as raised, Claims(tmp_path):  # noqa: PT011
        pass
    assert raised.value.filename == str(tmp_path / "claims")


def test_a_claim_of_gigabytes_is_not_read(tmp_path: Path) -> None:
    with Claims(tmp_path) as mine:
        mine.path(CELL).touch()
        os.truncate(mine.path(CELL), 2**40)
        os.utime(mine.path(CELL), (0, 0))
        assert mine.running() == {}
        assert mine.take(CELL) is None


def test_a_claim_that_is_just_being_written_is_not_taken_for_torn(tmp_path: Path) -> None:
    with Claims(tmp_path) as first, Claims(tmp_path) as second:
        first.take(CELL)
        whole = first.path(CELL).read_bytes()
        first.path(CELL).write_bytes(b"")
        late = threading.Timer(0.05, first.path(CELL).write_bytes, [whole])
        late.start()
        owner = second.take(CELL)
        late.join()
        assert owner is not None and owner.token == first.token


def test_of_many_runners_that_find_a_dead_ones_claim_one_takes_it(tmp_path: Path) -> None:
    both = 0
    for _ in range(40):
        _heartbeat(tmp_path, kernel=kernel(), pids=claims._pids_of(), pid=2**22 + 1)
        runners = [Claims(tmp_path) for _ in range(4)]
        start, took = threading.Barrier(4), list[Claims]()

        def take(mine: Claims, start: threading.Barrier = start, took: list[Claims] = took) -> None:
            with mine:
                start.wait()
                if mine.take(CELL) is None:
                    took.append(mine)
                start.wait()

        threads = [threading.Thread(target=take, args=[mine]) for mine in runners]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert took
        both += len(took) > 1
    assert both < 20  # where they are as quick as that, work is done twice and nothing is wrong


def test_a_folder_that_is_emptied_under_a_runner_gets_its_heartbeat_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "BEAT", 0.02)
    with Claims(tmp_path) as mine:
        beat = tmp_path / "claims" / f"runner-{mine.token}.json"
        beat.unlink()
        beat.parent.rmdir()
        assert mine.take(CELL) is None
        deadline = time.monotonic() + 60
        while not beat.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert mine.runner(mine.token) is not None


def _waiting(tick: Callable[[], None], most: int = 400) -> Callable[[], None]:
    left = iter(range(most))

    def wait() -> None:
        assert next(left, None) is not None, "it waits for ever"
        tick()
        time.sleep(0.005)

    return wait


def test_times_are_measured_when_no_other_runner_of_the_machine_is_at_work(tmp_path: Path) -> None:
    events: list[str] = []
    with Claims(tmp_path) as timing, Claims(tmp_path) as other:
        other.take(OTHER)

        def tick() -> None:
            events.append("waits")
            assert other.kept_out
            assert not timing.kept_out
            if len(events) == 3:
                other.release(OTHER)

        with timing.alone(_waiting(tick)):
            assert events == ["waits"] * 3
            with pytest.raises(AssertionError, match="for ever"), other.alone(_waiting(lambda: None, 3)):
                pass
        assert not other.kept_out
        with other.alone(_waiting(lambda: None, 0)):
            assert timing.kept_out


def test_a_dead_runners_claim_of_a_machine_is_removed_as_a_run_ends(tmp_path: Path) -> None:
    """Of another machine too, and one that is torn; what marks a cell, or is a living runner's, stays."""
    process = _held(tmp_path, claims._alone())
    _heartbeat(tmp_path, kernel=kernel(), pids=claims._pids_of())
    folder = tmp_path / "claims"
    (folder / "alone-another.json").write_text((folder / f"{CELL}.json").read_text())
    (folder / "alone-torn.json").write_text("{")
    os.utime(folder / "alone-torn.json", (0, 0))
    with Claims(tmp_path):
        pass
    assert {one.stem.partition("-")[0] for one in folder.iterdir()} == {CELL, "alone", "runner"}
    assert [one.stem for one in folder.glob("alone-*")] == [claims._alone()]
    process.kill()
    process.communicate()
    with Claims(tmp_path), Claims(tmp_path) as living, living.alone(_waiting(lambda: None, 0)):
        with Claims(tmp_path):
            pass
        assert living.timing is not None
        assert living.timing.token == living.token
    assert [one.name for one in folder.iterdir()] == [f"{CELL}.json"]


def test_a_runner_that_dies_while_it_measures_times_keeps_nobody_out(tmp_path: Path) -> None:
    process = _held(tmp_path, claims._alone())
    with Claims(tmp_path) as mine:
        assert mine.kept_out
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert not mine.kept_out
        with mine.alone(_waiting(lambda: None, 0)):
            assert not mine.kept_out
