"""No fault of the study goes on without end, and one that comes to nothing says what was under way."""

import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench.studies.chaos import kinds, lane, scale, table
from bench.studies.chaos.__main__ import Lane
from bench.studies.chaos.cluster import External
from bench.studies.chaos.kinds import Kind
from bench.studies.chaos.trial import Late, Trial


def waits_for_ever() -> None:
    os.write(1, b"what it says at last\n")
    time.sleep(1000)


def test_a_fault_that_does_not_end_says_what_its_processes_are_at(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(trial: Trial) -> None:
        trial.command(["ended", "at", "once"], main=lambda: 3).wait(30)
        trial.command(["waits", "--long"], main=waits_for_ever)
        time.sleep(1000)

    monkeypatch.setattr(lane, "LIMIT", 1.0)
    monkeypatch.setitem(kinds.KINDS, "endless", Kind("endless", "", run, 1, str))
    began, alarm = time.monotonic(), signal.getsignal(signal.SIGALRM)
    found = lane.tried("endless", 0, {})
    assert time.monotonic() - began < 30
    assert signal.getsignal(signal.SIGALRM) is alarm
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert found["broken"] == "Late: no end within 1 s"
    counted, running, ended, where = found["under_way"]
    assert counted == "0 signals were sent, 2 processes started"
    assert running.startswith("`waits --long` still runs: 'what it says at last'\n")
    assert "in waits_for_ever" in running
    assert ended == "`ended at once` ended with 3: it said nothing"
    assert "in run" in where
    assert table.guilty(found) == ["the study itself failed: Late: no end within 1 s", *found["under_way"]]


def test_a_run_that_waits_for_somebody_is_helped_or_told_of() -> None:
    with Trial("by hand", 0, {}) as trial:
        sent = trial.folder / "sent"

        def waits() -> int:
            while not sent.exists():
                time.sleep(0.005)
            return 0

        trial.meanwhile = sent.touch
        trial.over(trial.command(["helped"], main=waits), 30)
        assert trial.told == []
        trial.over(trial.command(["not", "helped"], main=waits_for_ever), 0.1)
        assert len(trial.told) == 1
        assert trial.told[0].startswith("did not end in 0 s after it was hurt: `not helped` still runs")
        assert [process.code for process in trial.begun] == [0, -signal.SIGKILL]


def test_where_nothing_can_be_hurt_there_is_an_end() -> None:
    with Trial("by hand", 0, {}) as trial:
        turns = 0
        for _ in trial.until(4):
            turns += 1
            trial.signals = min(turns, 4)
        assert turns == 4
        with pytest.raises(Late, match=r"^4 of 5 signals reached a process in 50 turns$"):
            list(trial.until(5))


def test_another_worker_comes_for_a_nanny_that_gave_up(monkeypatch: pytest.MonkeyPatch) -> None:
    external = object.__new__(External)
    lives, gone = SimpleNamespace(ended=lambda: False), SimpleNamespace(ended=lambda: True)
    external.nannies = [gone, lives, gone]  # type: ignore[list-item]
    started = iter(["a", "b"])
    monkeypatch.setattr(external, "start_worker", lambda: next(started))
    external.replace()
    assert external.nannies == ["a", lives, "b"]


def test_a_run_is_started_once_the_scheduler_knows_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    external = object.__new__(External)
    external.scheduler = SimpleNamespace(said="Register worker addr: a\nRemove worker addr: a\n")  # type: ignore[assignment]
    monkeypatch.setattr("bench.studies.chaos.cluster.PATIENCE", 0.0)
    with pytest.raises(Late, match="the scheduler had no worker within 0 s"):
        external.ready()
    external.scheduler.said += "Register worker addr: b\n"  # type: ignore[misc]
    external.ready()


def test_a_lane_that_ends_tells_the_last_words_and_leaves_nothing() -> None:
    one = Lane()
    folder = Path(one.folder.name)
    try:
        trial = folder / "gradest-chaos-x"
        trial.mkdir()
        for number, said in ((1, "earlier"), (2, "10 cells to run\nerror: no workers\n")):
            (trial / f"said-{number}").write_text(said)
            os.utime(trial / f"said-{number}", (number, number))
        one.kill()
        found = one.tried("kill", 0)
    finally:
        one.end()
    assert found["broken"] == "the lane ended after 0 s"
    assert found["under_way"] == ["said-2: 'error: no workers'", "said-1: 'earlier'"]
    assert not folder.exists()


def test_a_page_has_the_beginning_of_what_was_under_way_in_one_line() -> None:
    wrong = ["the study itself failed: Late", "`gradest run` still runs:\nThread 1\n" + 400 * "x"]
    run = SimpleNamespace(
        about={"seed": 0, "minutes": 1.0, "skipped": [], "failures": [{"command": "c", "wrong": wrong}]},
        provenance={"gradest": "1", "torch": "2", "cpu": "a", "cores": 2, "load": [0.0]},
        rows=(),
    )
    last = table.faults(run)[-1]  # type: ignore[arg-type]
    assert last.startswith("- `c`: the study itself failed: Late; `gradest run` still runs: Thread 1 xxx")
    assert len(last.splitlines()) == 1
    assert len(last) < 400


def test_a_command_over_many_cells_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scale, "LIMIT", 0.0)
    with pytest.raises(RuntimeError, match=r"run many\.toml ended with -9: \nkilled, as it did not end within 0 s"):
        scale.watched(tmp_path, "run", "many.toml")


def test_an_hour_has_ten_faults_of_each_kind() -> None:
    """In 15.5 minutes 718 faults were tried, which is 51 rounds an hour; on a slower machine there are 30."""
    assert max(one.every for one in kinds.load().values()) <= 3
