"""Worker processes for runs with `--workers` and `--scheduler`: real ones of dask, forked from one that is warm.

dask can start its workers from multiprocessing's fork server. A lane starts one that has imported torch and all of
ours, and every run of the lane uses that one, where each would start its own.
"""

import errno
import itertools
import multiprocessing
import os
import signal
import socket
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import forkserver
from pathlib import Path
from typing import Any, BinaryIO

from bench.studies.chaos.process import Process
from bench.studies.chaos.trial import Late, Trial

_server: Any = forkserver._forkserver
_said: list[BinaryIO] = []
"""Takes what workers write."""
_read = [0]
"""Bytes of it that were asked for."""
PATIENCE = 30.0


def missing() -> str:
    """Why there are no workers here; nothing where there are."""
    try:
        import distributed  # noqa: F401
    except ImportError:
        return "the extra `cluster` is not installed"
    return ""


def begin() -> None:
    """Start the fork server, before anything else is forked."""
    if missing():
        return
    multiprocessing.set_forkserver_preload(["bench.studies.chaos.warmed"])
    ours = os.dup(2)
    _said.append(tempfile.TemporaryFile())  # noqa: SIM115  # as long as the lane
    os.dup2(_said[0].fileno(), 2)  # where all workers write to
    _server.ensure_running()
    os.dup2(ours, 2)
    os.close(ours)


def said() -> str:
    """What workers wrote since this was asked for the last time."""
    if not _said:
        return ""
    text = os.pread(_said[0].fileno(), 2**24, _read[0])
    _read[0] += len(text)
    return text.decode(errors="replace")


def from_server() -> None:
    """Inside of a run: take workers from the fork server of the lane."""
    import dask

    dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"})
    _server.ensure_running = lambda: None


def no_more_than(most: int) -> None:
    """Inside of a run: no more than so many worker processes can be started, as where a user may have no more."""
    from distributed.process import AsyncProcess

    start, numbers = AsyncProcess.start, itertools.count(1)

    def limited(process: Any) -> Any:
        if next(numbers) > most:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return start(process)  # type: ignore[no-untyped-call]

    AsyncProcess.start = limited  # type: ignore[method-assign]


def workers() -> list[int]:
    """The process ids of all workers that there are now."""
    pid = _server._forkserver_pid
    return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def some_worker(trial: Trial, process: Process) -> int | None:
    """A worker of a run, as soon as it has one; None where the run ends before."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and not process.ended():
        if (found := any_worker(trial)) is not None:
            return found
        time.sleep(0.005)
    return None


def any_worker(trial: Trial) -> int | None:
    """One of the workers that there are now, if there are any."""
    return trial.random.choice(found) if (found := workers()) else None


def send(trial: Trial, pid: int | None, number: int) -> None:
    """Send a signal to a worker that may have ended."""
    with suppress(ProcessLookupError):
        if pid is not None:
            os.kill(pid, number)
            trial.signals += 1


def none_left() -> str:
    """What is told where workers outlive their run; they are ended then."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if not (left := workers()):
            return ""
        time.sleep(0.02)
    for pid in left:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return f"{len(left)} workers outlived their run by 10 s"


def free_port() -> int:
    """A port of the loopback that nobody uses."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class External:
    """A scheduler of dask and its workers, each with a nanny, in processes of their own.

    Args:
        trial: for which.
        workers: how many.
    """

    def __init__(self, trial: Trial, workers: int = 2) -> None:
        self.trial, self.address = trial, f"tcp://127.0.0.1:{free_port()}"
        self.scheduler = self.start_scheduler()
        self.nannies = [self.start_worker() for _ in range(workers)]
        self.ready()

    def start_scheduler(self) -> Process:
        """Start the scheduler, under the same address as before."""
        port = self.address.rpartition(":")[2]
        arguments = ["dask-scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard", "--no-show"]
        return self._start("distributed.cli.dask_scheduler", arguments)

    def start_worker(self) -> Process:
        """Start a worker with its nanny."""
        arguments = ["dask-worker", self.address, "--nthreads", "1", "--no-dashboard", "--host", "127.0.0.1"]
        return self._start("distributed.cli.dask_worker", [*arguments, "--local-directory", str(self.trial.folder)])

    def ready(self) -> None:
        """Wait for a worker that the scheduler knows: a run that comes before there is one is refused.

        Raises:
            Late: none comes.
        """
        deadline = time.monotonic() + PATIENCE
        while (said := self.scheduler.said).count("Register worker addr:") <= said.count("Remove worker addr:"):
            if time.monotonic() > deadline:
                raise Late(f"the scheduler had no worker within {PATIENCE:.0f} s")
            time.sleep(0.005)

    def replace(self) -> None:
        """Start another worker for each nanny that has ended, as a person or a batch system does.

        A nanny restarts a worker that dies, and gives up where it dies before the scheduler knows it.
        """
        for place, nanny in enumerate(self.nannies):
            if nanny.ended():
                self.nannies[place] = self.start_worker()

    def lose(self, which: int) -> None:
        """Kill the nanny of a worker."""
        self.nannies[which].send(signal.SIGKILL)
        self.trial.signals += 1
        self.nannies[which].wait(10)

    def kill_at_start(self, seconds: float = 2.0) -> None:
        """Kill workers as they start, until all nannies have given up, or for so long where a worker was quicker."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not all(nanny.ended() for nanny in self.nannies):
            for pid in workers():
                send(self.trial, pid, signal.SIGKILL)
            time.sleep(0.005)

    def _start(self, module: str, arguments: list[str]) -> Process:
        def main() -> Any:
            import importlib

            return importlib.import_module(module).main()

        begun: Callable[[], None] = from_server
        process = self.trial.command(arguments, main=main, inside=[begun])
        self.trial.processes.remove(process)
        self.trial.closing.append(process.kill)
        return process
