"""When a run stops: the forms of a time, signals that wait for the end of a step, and real runs that are stopped."""

import math
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.run import limit as limits
from bench.run.checkpoints import Checkpoints
from bench.run.limit import AT_LIMIT, GRACE, Limit, seconds_of, tell
from bench.run.status import status
from bench.training.stopped import Stopped
from estimators import BadInput
from tests.bench.plain import Store
from tests.bench.processes import forked, start
from tests.bench.test_suite import SMALL

OFTEN = (
    "import bench.cli.report, bench.run.keeper\n"
    "bench.run.keeper.INTERVAL = 0.02\n"
    "bench.cli.report.write_report = lambda folders, out: None\n"
    "from bench.cli import main; main()\n"
)
"""The command line, with a checkpoint wherever there is time for one, and without a report."""


TIMES = {"90s": 90, "8m": 480, "1h": 3600, "1h30m": 5400, "1h5s": 3605, "2h3m4s": 7384, " 8M ": 480, "90m": 5400}


@pytest.mark.parametrize(("text", "seconds"), [*TIMES.items(), ("1s", 1), ("8784h", 366 * 86400)])
def test_a_time_is_written_with_its_unit(text: str, seconds: int) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["45", "", "m", "8 m", "1.5h", "-8m", "30m1h", "8min", "0s", "0h0m", "8785h", "٤m"])
def test_another_form_of_a_time_is_one_line(text: str) -> None:
    with pytest.raises(BadInput) as caught:
        seconds_of(text)
    assert str(caught.value) == (
        f"--time-limit {text!r} is no time between 1s and a year: write it as 90s, 8m, 1h or 1h30m, with the unit"
    )


def test_a_limit_is_reached_when_its_time_has_come(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    limit, none = Limit(60.0, started=90.0), Limit()
    copied = pickle.loads(pickle.dumps(limit))
    assert (limit.left, copied.left, none.left) == (50.0, 50.0, math.inf)
    for one in (limit, copied, none):
        one.check()
    now[0] = 150.0
    for one in (limit, copied):
        assert one.reached
        with pytest.raises(Stopped) as caught:
            one.check()
        assert caught.value.reason == AT_LIMIT
    assert not none.reached


def test_a_worker_that_is_told_to_stop_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    """And one of the next run, which the same worker may serve, does not."""
    monkeypatch.setattr(limits, "_told", {})
    limit, following = Limit(), Limit()
    copied = pickle.loads(pickle.dumps(limit))
    assert not copied.reached
    tell(limit.token, "SIGTERM")
    assert copied.reached
    with pytest.raises(Stopped, match="SIGTERM"):
        copied.check()
    following.check()


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Heard, though the tests may run in the background of a shell, which ignores it there."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize(
    ("number", "raised", "reason"), [(signal.SIGTERM, Stopped, "SIGTERM"), (signal.SIGINT, KeyboardInterrupt, "^$")]
)
def test_a_signal_is_heard_at_once_or_at_the_end_of_what_is_being_finished(
    number: signal.Signals, raised: type[BaseException], reason: str
) -> None:
    before = signal.getsignal(number)
    with Limit() as limit:
        with pytest.raises(raised, match=reason):
            os.kill(os.getpid(), number)
        assert limit.reached
    with Limit() as limit:
        with limit.finishing():
            os.kill(os.getpid(), number)
            assert limit.reached
        with pytest.raises(raised, match=reason):
            limit.check()
    assert signal.getsignal(number) is before


@pytest.mark.usefixtures("ctrl_c")
def test_a_second_ctrl_c_does_not_wait_and_what_is_ignored_stays_so() -> None:
    def twice(limit: Limit) -> None:
        with limit.finishing():
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGINT)

    with Limit() as limit, pytest.raises(KeyboardInterrupt):
        twice(limit)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Limit() as limit:
            os.kill(os.getpid(), signal.SIGINT)
            assert not limit.reached
    finally:
        signal.signal(signal.SIGINT, before)


def test_what_goes_on_beyond_the_limit_is_left_after_a_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "GRACE", 0.01)
    assert GRACE == 3.0
    with pytest.raises(Stopped, match=AT_LIMIT), Limit(0.01):
        time.sleep(30)
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def trainings(folder: Path, steps: int) -> None:
    """A suite of two training cells and four of moments."""
    text = SMALL.replace("steps = 4", f"steps = {steps}").replace("[time]\nrounds = 5\n", "")
    text = text.replace("checkpoints = [0, 4]", "checkpoints = [0]").replace("logits = [0, 3]", "logits = [3]")
    (folder / "small.toml").write_text(text.replace(', "exact", "reparameterization"]', "]"))
    (folder / "often.py").write_text(OFTEN)


def environment() -> dict[str, str]:
    """That of a process from the shell that imports what this one does."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [os.getcwd(), os.environ.get("PYTHONPATH")]))}


def steps_kept(out: Path) -> int:
    return sum(head.step for head in Checkpoints(out).headers())


def wait_for(what: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not what():
        time.sleep(0.01)
    assert what()


def numbers(out: Path) -> dict[str, Any]:
    found = {}
    for record in Store(out).whole():
        measurements = record["measurements"]
        measurements.pop("resumed", None)
        measurements.get("curve", {}).pop("seconds", None)
        found[record["cell"]] = (record["status"], measurements)
    return found


def test_a_run_that_is_killed_again_and_again_ends_with_the_records_of_one_left_alone(tmp_path: Path) -> None:
    """SIGKILL, twice, each time when something more was kept than before."""
    trainings(tmp_path, 400)
    arguments = ("run", "small.toml", "--out")
    assert forked("often", *arguments, "alone", cwd=tmp_path).returncode == 0
    out = tmp_path / "killed"
    for _ in range(2):
        before = steps_kept(out)
        process = start("often", *arguments, "killed", cwd=tmp_path)
        wait_for(lambda: steps_kept(out) not in (0, before) or len(list(out.glob("cells/*.json"))) == 6)  # noqa: B023
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait().returncode == -signal.SIGKILL
    done = forked("often", *arguments, "killed", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert ": goes on at step " in done.stderr
    assert numbers(out) == numbers(tmp_path / "alone")
    assert len(numbers(out)) == 6
    assert max(record["measurements"].get("resumed", 0) for record in Store(out).whole()) >= 1
    assert not (out / "checkpoints").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_told_to_stop_leaves_a_checkpoint_and_says_how_to_go_on(
    tmp_path: Path, number: signal.Signals
) -> None:
    trainings(tmp_path, 10**6)
    out = tmp_path / "out"
    arguments = ["run", "small.toml", "--out", "out", "--time-limit", "1h"]
    if number == signal.SIGTERM:
        one = start("often", *arguments, cwd=tmp_path)
        wait_for(lambda: steps_kept(out) > 50)
        os.kill(one.pid, number)
        done = one.wait()
        code, said, message = done.returncode, done.stdout, done.stderr
    else:
        process = subprocess.Popen(
            [sys.executable, "often.py", *arguments],
            cwd=tmp_path,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A shell's background job ignores the signal, and so would every process below it.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        wait_for(lambda: steps_kept(out) > 50)
        process.send_signal(number)
        said, message = process.communicate(timeout=60)
        code = process.returncode
    line = message.splitlines()[-1]
    if number == signal.SIGTERM:
        assert code == 3
        assert line.startswith("stopped by SIGTERM; 4 cells are done and kept in out, 2 are left, 1 of them begun. ")
    else:
        assert code == 130
        assert line.startswith("interrupted; 4 cells are done and kept in out. ")
    assert line.endswith("Go on with: gradest run small.toml --out out --time-limit 1h")
    assert "Traceback" not in message
    assert said == ""
    (kept,) = status(out)["in_progress"]
    assert kept["steps"] == 10**6
    assert kept["step"] > 50
    if number == signal.SIGTERM:
        done = forked("bench", "status", "out", cwd=tmp_path)
        assert f"in progress: {kept['title']}: step {kept['step']} of 1000000, " in done.stdout
        reported = forked("bench", "report", "out", "--format", "csv", cwd=tmp_path)
        assert "small is not finished: 2 of 6 cells are not there yet." in reported.stdout
    assert not list(out.rglob(".*"))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_stops_at_its_time_limit(tmp_path: Path, workers: int) -> None:
    """Whatever it was at then, for a machine may be slow."""
    if workers > 1:
        pytest.importorskip("distributed", reason="the extra `cluster` is not installed")
    trainings(tmp_path, 10**6)
    command = [sys.executable, "-m", "bench", "run", "small.toml", "--out", "out", "--workers", str(workers)]
    for longer in (1, 4, 16):
        limit = ["--time-limit", f"{longer * (8 if workers > 1 else 4)}s"]
        done = subprocess.run([*command, *limit], cwd=tmp_path, capture_output=True, text=True, check=False,
                              env=environment())  # fmt: skip
        assert (done.returncode, done.stdout) == (3, "")
        if "stopped by its time limit outside of any cell; " not in done.stderr:  # as it is before the first begins
            break
    assert "stopped by its time limit; " in done.stderr
    assert done.stderr.endswith(f"run small.toml --out out --workers {workers} --time-limit {limit[1]}\n")
    assert "Traceback" not in done.stderr
    found = status(tmp_path / "out")
    assert (found["cells"], found["failed"]) == (6, 0)
    assert found["pending"] >= 2
    assert not list((tmp_path / "out").rglob(".*"))
