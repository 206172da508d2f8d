"""Executors with real processes: workers of this machine, a cluster that somebody else started, and a batch queue's."""

import gc
import json
import math
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import distributed
import pytest
from dask_jobqueue import SLURMCluster

from bench.records.record import Record
from bench.run import executors, keeper, limit
from bench.run.cell import make_record, run_cell
from bench.run.executors import Asked, Died, Executor, configuration, executor_for, existing, gpus, inline, same
from bench.run.executors import pool as pool_module
from bench.run.executors.existing import Existing
from bench.run.executors.local import Local, ending
from bench.run.executors.pool import Given, Pool
from bench.run.executors.queued import options_of
from bench.run.keeper import Kept, Stoppable
from bench.run.limit import Limit
from bench.suite.load import override, parse_suite
from bench.suite.plan import plan
from bench.suite.schema import Cell
from bench.training.checkpoint import KEEPER
from bench.training.stopped import Stopped
from estimators import BadInput
from tests.bench.executors import tell_of
from tests.bench.test_suite import SMALL

ROOT = str(Path(__file__).parents[2])
"""Where worker processes find the tests, wherever the package is installed."""


def cells(*estimators: str, threads: int = 1) -> tuple[Cell, ...]:
    """Moments of a toy at two points."""
    text = SMALL.replace("seeds = 2", f"seeds = 2\nthreads = {threads}")
    every = plan(override(parse_suite(text.encode(), "small.toml"), estimators=list(estimators or ["rloo"]))).cells
    return tuple(cell for cell in every if cell.problem.kind == "toy")


class Taken:
    """Cells, of which it is known how many are out."""

    def __init__(self, given: tuple[Cell, ...]) -> None:
        self.given, self.out, self.most = given, 0, 0

    def __iter__(self) -> Iterator[Cell]:
        for cell in self.given:
            self.out += 1
            self.most = max(self.most, self.out)
            yield cell


def variables() -> dict[str, str]:
    """Of the environment, but for those by which dask's processes know each other, and which it leaves."""
    return {name: value for name, value in os.environ.items() if not name.startswith("__DASK")}


def numbers(executor: Executor, folder: Path) -> list[tuple[Any, ...]]:
    """What a cell of two threads measures, and on how many it was."""
    with executor:
        found = [result for _, result in executor(cells(threads=2), Kept(folder, Limit(), run_cell))]
    assert all(isinstance(record, Record) and record.status == "ok" for record in found)
    return sorted((r.cell, r.provenance.threads, r.model_dump()["measurements"]) for r in found)  # type: ignore[union-attr]


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a cluster of one worker, in processes of its own."""
    folder = tmp_path_factory.mktemp("cluster")
    environment = os.environ | {"PYTHONPATH": ROOT, "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "3"}
    dask = [sys.executable, "-m", "dask"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": environment, "cwd": folder}
    file = folder / "scheduler.json"
    none = ["--dashboard-address", "127.0.0.1:0"]
    where = ["--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file)]
    started = [subprocess.Popen([*dask, "scheduler", *where, *none], **quiet)]
    try:
        while not file.exists():
            time.sleep(0.05)
        address = json.loads(file.read_text())["address"]
        with pytest.raises(BadInput, match="the scheduler has no workers; start some with: dask worker tcp://"):
            Existing(address).start()
        started.append(subprocess.Popen([*dask, "worker", address, "--nthreads", "2", *none], **quiet))
        with distributed.Client(address, set_as_default=False) as client:
            client.wait_for_workers(1, timeout=60)
        yield address
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            process.wait(30)


def test_workers_of_this_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Cells are taken as processes are free, each process sees its GPU, and one that dies costs its cell alone."""
    monkeypatch.setattr(gpus, "visible", lambda: ["GPU-a", "3"])
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    before = variables()
    three = Local(2, gpus.environments(3))
    assert capfd.readouterr().err == "3 workers share 2 GPUs in turn: none has its own\n"
    assert [each["CUDA_VISIBLE_DEVICES"] for each in three.environments] == ["GPU-a", "3", "GPU-a"]
    taken = Taken(cells("rloo", "arm", "disarm"))
    with Pool(three, Limit()) as pool:
        assert list(pool([], tell_of)) == []
        assert pool._client is None
        found = {}
        for cell, result in pool(taken, Kept(tmp_path, Limit(), tell_of)):
            taken.out -= 1
            found[cell] = result
        assert taken.most <= 3  # two that run, and one that is done
        died = {cell: result for cell, result in found.items() if isinstance(result, Died)}
        assert {cell.estimator.name for cell in died} == {"arm"} and len(died) == 2
        assert {str(result) for result in died.values()} == {
            "its worker process was killed by SIGKILL, as the system does where memory runs out"
        }
        told = [r.model_dump()["measurements"] for r in found.values() if isinstance(r, Record)]
        assert len(told) == 4
        assert {each["CUDA_VISIBLE_DEVICES"] for each in told} <= {"GPU-a", "3"}
        for each in told:
            assert (each["OMP_NUM_THREADS"], each["MKL_NUM_THREADS"]) == ("2", "1")
            assert (each["intra"], each["inter"]) == (1, 1)
            assert each["pid"] != os.getpid()
        here = [result for _, result in pool.alone(cells(), tell_of)]
        assert [record.model_dump()["measurements"]["pid"] for record in here] == [os.getpid()] * 2  # type: ignore[union-attr]
        assert pool._client is None
    assert variables() == before
    assert capfd.readouterr().err == ""


def test_workers_that_cannot_be_started_leave_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    before, client = variables(), mock.Mock(side_effect=OSError("no client"))
    monkeypatch.setattr(distributed, "Client", client)
    with pytest.raises(OSError, match="no client"):
        Local(1).start()
    (cluster,) = client.call_args.args
    assert cluster.status == distributed.Status.closed
    assert variables() == before


def test_a_cell_is_the_same_wherever_it_runs(scheduler: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    one = numbers(inline, tmp_path)
    assert one[0][1] == 2
    assert numbers(Pool(Local(1), Limit()), tmp_path) == one
    assert numbers(executor_for(Asked(scheduler=scheduler)), tmp_path) == one
    assert numbers(executor_for(Asked(scheduler=scheduler)), tmp_path / "elsewhere") == one
    assert not (tmp_path / "elsewhere").exists()
    assert capfd.readouterr().err.count(f"workers of {scheduler} have a memory limit (") == 2


def test_a_cluster_serves_the_next_run_after_a_stop_and_a_death(scheduler: str, tmp_path: Path) -> None:
    told = Limit()
    with told, Pool(Existing(scheduler), told) as pool:
        results = pool(cells("reinforce")[:1], Kept(tmp_path, told, tell_of))
        came: list[Any] = []
        timer = threading.Timer(3.0, os.kill, (os.getpid(), signal.SIGTERM))
        timer.start()
        try:
            with pytest.raises(Stopped, match="SIGTERM"):
                came.extend(results)
        finally:
            timer.cancel()
        assert all(isinstance(result, Stopped) for _, result in came)  # the worker's answer, where it was in time
        started = time.monotonic()
    assert time.monotonic() - started < 20
    following = Limit()
    with Pool(Existing(scheduler), following) as pool:
        run = Kept(tmp_path, following, tell_of)
        (first, second), tried = cells("arm"), []
        tried += pool([first], run)
        tried += pool(cells("rloo"), run)
        tried += pool.alone([second], run)
    assert [type(result) for _, result in tried] == [Died, Record, Record, Died]
    assert "died or left" in str(tried[0][1])


def test_a_run_whose_workers_have_all_left_says_what_it_waits_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = Pool(Existing("tcp://here:1"), Limit())
    info = {"workers": dict[str, Any]()}
    loop = SimpleNamespace(add_callback=lambda called: called())
    client: Any = SimpleNamespace(
        status="running", loop=loop, _scheduler_identity={}, scheduler_info=lambda n_workers: info
    )
    pool._stamp()
    pool._client, pool._scheduler, pool._count, pool._until = client, "None", 0, math.inf
    pool._opened = time.monotonic()
    pool._look()
    assert capsys.readouterr().err == ""  # of the first one: refused where it does not come
    pool._opened -= pool_module.SILENT + 1
    for _ in range(2):
        pool._look()
    said = "no worker of the scheduler tcp://here:1 has answered yet; the run waits for one, 120 s at most\n"
    assert capsys.readouterr().err == said
    pool._until = 0.0
    with pytest.raises(BadInput, match="no worker of the scheduler tcp://here:1 was ready within 120 s"):
        pool._look()
    pool._count, pool._waits = 1, False
    for _ in range(2):
        pool._look()
        pool._look()
        said = (
            "no worker of the scheduler tcp://here:1 is left; what is to run waits for one (Ctrl-C keeps what is done)"
        )
        assert capsys.readouterr().err == said + "\n"
        pool._greeted.add("worker")
        pool._greeting("worker", {"code": same.code(), "cuda": False, "visible": ""})
        pool._heeded("remove-worker", "worker")
    pool._look()
    later = time.monotonic() + 31
    monkeypatch.setattr(pool_module.time, "monotonic", lambda: later)
    pool._stamp()
    with pytest.raises(Stopped, match="the loss of all workers of the scheduler tcp://here:1"):
        pool._look()


def test_what_goes_wrong_between_two_processes_is_no_failure_of_the_cell() -> None:
    """It is tried again, and leaves no record that says that the cell failed."""
    pool = Pool(Existing("tcp://here:1"), Limit())
    pool._given["key"] = Given(cells(), "worker", 0.0, SimpleNamespace(key="key"))
    ended = pool._ended("key", OSError("a connection\nwas lost"))
    assert [cell for cell, _ in ended] == [*cells()]
    assert all(isinstance(result, Died) and "OSError: a connection was lost" in str(result) for _, result in ended)


def test_a_scheduler_that_came_back_without_the_workers_that_have_cells_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It says of no worker that it went, since it never knew it."""
    pool = Pool(Existing("tcp://here:1"), Limit())
    info: dict[str, Any] = {"workers": {"other": None}}
    loop = SimpleNamespace(add_callback=lambda called: called())
    client: Any = SimpleNamespace(
        status="running", loop=loop, _scheduler_identity={}, scheduler_info=lambda n_workers: info
    )
    pool._client, pool._scheduler, pool._count = client, "None", 1
    pool._stamp()
    pool._given["key"] = Given(cells(), "worker", 0.0, SimpleNamespace(key="key"))
    pool._look()
    assert pool._events.empty()
    pool._asked = 0.0
    pool._look()
    assert pool._events.get(timeout=1) == ("remove-worker", "worker")
    info["workers"], pool._asked = {"worker": None}, 0.0
    pool._look()
    assert pool._events.empty()
    monkeypatch.setattr(loop, "add_callback", lambda called: None)
    pool._stamped -= 60
    with pytest.raises(Stopped, match="the loss of the scheduler"):
        pool._look()


# The class that dask-jobqueue has for tests kills its process, and neither waits for it nor closes its pipes.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_a_queue_of_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "config.toml"
    monkeypatch.setenv("GRADEST_CONFIG", str(file))
    monkeypatch.setenv("PYTHONPATH", ROOT)
    file.write_text(f'[scheduler.here]\nkind = "local"\nlocal_directory = "{tmp_path}"\n')
    with executor_for(Asked(scheduler="here")) as executor:
        assert executor.elsewhere
        ((_, result),) = executor(cells()[:1], Kept(tmp_path, Limit(), tell_of))
    assert isinstance(result, Record)
    assert result.model_dump()["measurements"]["pid"] != os.getpid()
    assert capfd.readouterr().err == "waiting for the queue here to start 1 worker\n"
    del executor
    gc.collect()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "no address such as tcp://HOST:PORT, and there is no "),
        ("[scheduler.her]\nkind = 'slurm'", "has no table [scheduler.here]; did you mean 'her'?"),
        ("[scheduler.here]\nkind = 'slrum'", "scheduler.here.kind: Input should be 'slurm', 'pbs'"),
        ("[scheduler.here]", "scheduler.here.kind: Field required"),
        ("[scheduler.here]\nkind = 'slurm'\nworkers = 0", "scheduler.here.workers: Input should be greater than"),
        (
            "[scheduler.here]\nkind = 'slurm'\nworkers = 10001",
            "or equal to 10000 (a scheduler keeps in touch with no more",
        ),
        ("[scheduler.here]\nkind = 'slurm'\nwaltime = '1:00'", "no option 'waltime'; did you mean 'walltime'?"),
        ("[scheduler]\nhere = 3", "expected tables [scheduler.NAME], each with a kind"),
        ("scheduler = 3", "expected tables [scheduler.NAME], each with a kind"),
        ("[sheduler.here]", "nothing is known of 'sheduler'; expected tables [scheduler.NAME]"),
        ("[scheduler.here", "Expected "),
    ],
)
def test_what_is_wrong_in_the_configuration_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, words: str
) -> None:
    file = tmp_path / "config.toml"
    monkeypatch.setenv("GRADEST_CONFIG", str(file))
    if text is not None:
        file.write_text(text)
    with pytest.raises(BadInput) as caught:
        executor_for(Asked(scheduler="here"))
    assert words in str(caught.value)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_configuration_lies_where_others_lie(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("GRADEST_CONFIG", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert configuration.path() == tmp_path / "gradest" / "config.toml"


def test_what_is_no_scheduler_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(existing, "TO_REACH", 1.0)
    with pytest.raises(BadInput, match=r"write the protocol too, as in tcp://node7:8786$"):
        executor_for(Asked(scheduler="node7:8786"))
    with pytest.raises(BadInput, match=r"^--workers does not go with the address of a scheduler"):
        executor_for(Asked(workers=2, scheduler="tcp://node7:8786"))
    with pytest.raises(BadInput, match=r"^--scheduler tcp://127.0.0.1:1: no dask scheduler answered there within 1 s"):
        list(executor_for(Asked(scheduler="tcp://127.0.0.1:1"))(cells(), run_cell))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            Asked(10_001),
            "--workers 10001: Input should be less than or equal to 10000 (a scheduler keeps in touch with",
        ),
        (Asked(10_001, "here"), "--workers 10001: Input should be less than or equal to 10000"),
        (Asked(10**80), "--workers a number of more than 60 digits: Input should be"),
        (
            Asked(22),
            "they take 3.3 GB of memory before any has a cell, and this machine has 3 GB: take at most 20 (one a core",
        ),
    ],
)
def test_more_processes_than_there_can_be_are_refused(asked: Asked, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors, "memory_here", lambda: 3e9)
    with pytest.raises(BadInput) as caught:
        executor_for(asked)
    assert said in str(caught.value)


def test_as_many_processes_as_there_can_be_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors, "memory_here", lambda: 3e9)
    for asked in (Asked(), Asked(20), Asked(10_000, "here"), Asked(None, "here")):
        executors.check_workers(asked)
    monkeypatch.setattr(
        executors, "memory_here", lambda: 1e6
    )  # nothing is asked for: it runs, if it can, in this process
    executors.check_workers(Asked(1))


def test_a_worker_of_other_code_or_without_a_gpu_is_refused() -> None:
    answer = {"code": same.code(), "cuda": False, "visible": ""}
    assert same.refusal(answer, "cpu") is None
    assert same.refusal(answer, "cuda") == "sees no GPU (CUDA_VISIBLE_DEVICES is '')"
    for name in ("Python", "torch", "distributed", "gradest", "the source of gradest"):
        other = answer | {"code": same.code() | {name: "1.2"}}
        assert same.refusal(other, "cpu") == f"has another version of {name}: 1.2, and here it is {same.code()[name]}"
    words = same.refusal(ModuleNotFoundError("No module named 'bench'"), "cpu")
    assert words is not None and "No module named 'bench'" in words


def test_a_module_that_changed_under_a_worker_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(same, "_IMPORTED", {})
    (tmp_path / "mine_of_workers.py").write_text("a = 1\n")
    with pytest.raises(same.Other, match="cannot import mine_of_nobody"):
        same.check_modules({"mine_of_nobody": ""})
    import mine_of_workers  # type: ignore[import-not-found]

    hashed = same._hash(mine_of_workers.__name__)
    same.check_modules({"mine_of_workers": hashed})
    (tmp_path / "mine_of_workers.py").write_text("a = 2\n")
    now = same._hash("mine_of_workers")
    assert now != hashed
    with pytest.raises(same.Other, match="has mine_of_workers as it was before it changed"):
        same.check_modules({"mine_of_workers": now})
    same.check_modules({"mine_of_workers": hashed})


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (-9, "was killed by SIGKILL, as the system does where memory runs out"),
        (-11, "was killed by SIGSEGV"),
        (-77, "was killed by signal 77"),
        (3, "ended with exit code 3"),
        (None, "died"),
        (255, "died"),
    ],
)
def test_how_a_process_ended(code: int | None, words: str) -> None:
    assert ending(code) == words


def test_what_travels_with_a_cell_does_not_grow(tmp_path: Path) -> None:
    kept, (cell, _) = Kept(tmp_path, Limit(100.0), run_cell), cells()
    record = make_record(cell, {}, None, datetime.now(UTC), 7.0)
    kept.done(record)
    size = len(pickle.dumps(kept))
    for seconds in (1.0, 9.0, 8.0) * 300:
        kept.done(record.model_copy(update={"seconds": seconds}))
    assert abs(len(pickle.dumps(kept)) - size) < 10
    assert size < 2000
    sent = pickle.loads(pickle.dumps(kept))
    assert sent._wants(cell) == kept._wants(cell) == 8.0
    sent.done(record)
    assert 0 < kept.limit.left - sent.limit.left < 5 or sent.limit.left == pytest.approx(kept.limit.left, abs=5)


def test_a_machine_that_does_not_see_the_folder_keeps_nothing_and_says_so_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    used: list[type] = []

    def run(cell: Cell) -> Any:
        used.append(type(KEEPER.get()))
        KEEPER.get().shared("0f", lambda: {"a": 1}, of=())
        raise Stopped("SIGTERM")

    kept = Kept(folder, Limit(), run)
    (cell, _), train = cells(), training()
    kept(cell)
    assert used == [keeper.CellKeeper]
    with suppress(OSError):
        (folder / "weights" / "0f.pt").unlink()
        (folder / "weights").rmdir()
    folder.rmdir()
    results = [kept(cell), kept(train)]
    assert used[1:] == [Stoppable, Stoppable]
    assert all(isinstance(result, Stopped) and result.lost is not None for result in results)
    assert not folder.exists()
    assert capsys.readouterr().err.count("does not see the folder") == 1
    limit.tell(kept.limit.token, "SIGTERM")
    assert isinstance(kept(cell), Stopped)
    assert len(used) == 3


def training() -> Cell:
    """A cell that is resumed from its checkpoint where there is one."""
    every = plan(override(parse_suite(SMALL.encode(), "small.toml"), estimators=["rloo"])).cells
    return next(cell for cell in every if cell.measurement.resumes)


def test_options_of_a_queue_are_those_of_its_class() -> None:
    known = options_of(SLURMCluster)
    assert {"walltime", "account", "queue", "memory", "cores", "interface", "job_extra_directives"} <= known
    assert not {"self", "loop", "n_workers"} & known
