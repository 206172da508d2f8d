"""Workers that are processes of this machine, with a scheduler in this process."""

import logging
import os
import signal
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from multiprocessing import resource_tracker
from typing import Any

import dask.config
import distributed

from bench.run.executors.base import ending
from bench.run.executors.path import safe_path
from bench.run.executors.spec import grow, trouble

NO_OTHER = 1.0
"""Seconds in which the exit code of a process that died is known at the latest, which its connection shows first."""
DASK = {
    # A cell whose worker died is not tried again by the scheduler.
    "distributed.scheduler.allowed-failures": 0,
    # Or a worker that takes longer to start again is given up.
    "distributed.deploy.lost-worker-timeout": "1 hour",
    # What was sent is not kept for whoever would read it afterwards, nor what runs looked at a hundred times a second.
    "distributed.admin.low-level-log-length": 10,
    "distributed.worker.profile.enabled": False,
    "distributed.scheduler.work-stealing": False,
}
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class Watched(distributed.Nanny):
    """Starts a worker process, and again when it dies; notes how it died."""

    exits: dict[str, int]
    """Exit codes by the address that the worker had; minus the number of a signal."""
    gave_up: list[str]
    """Why there will be no other worker, of each nanny that could not start one."""

    def __init__(self, *args: Any, exits: dict[str, int], gave_up: list[str], **options: Any) -> None:
        super().__init__(*args, **options)
        self.exits, self.gave_up = exits, gave_up

    async def instantiate(self) -> distributed.core.Status:
        """Start a worker process; a nanny that fails in that, as where no more processes are allowed, is closed."""
        try:
            return await super().instantiate()
        except Exception as error:
            first: BaseException = error
            while first.__context__ is not None:  # dask fails in other ways over what went wrong
                first = first.__context__
            self.gave_up.append(f"{type(first).__name__}: {' '.join(str(first).split())[:300]}")
            raise

    def _on_worker_exit_sync(self, exitcode: int) -> None:
        if self.worker_address is not None:
            self.exits[self.worker_address] = exitcode
        super()._on_worker_exit_sync(exitcode)  # type: ignore[no-untyped-call]


class Cluster(distributed.LocalCluster):
    """Workers of this machine, each with variables of its own in its environment."""

    environments: list[Mapping[str, str]]

    def new_worker_spec(self) -> dict[Any, Any]:
        """The next worker: see `SpecCluster.new_worker_spec`."""
        ((name, spec),) = super().new_worker_spec().items()  # type: ignore[no-untyped-call]
        own = self.environments[name % len(self.environments)]
        return {name: {**spec, "options": {**spec["options"], "env": dict(own)}}}

    async def kill(self) -> None:
        """Kill the processes of all workers, those that are only starting too, and start no other."""
        for nanny in self._created:
            nanny.close_gracefully()
            if nanny.process is not None and nanny.process.pid is not None:
                os.kill(nanny.process.pid, signal.SIGKILL)


class Local:
    """So many processes of this machine, of one thread each.

    Args:
        count: how many.
        environments: of each, what stands in its environment beside what this process has; in turn where there are
            fewer.
    """

    here = True
    name = "this machine"
    patience = 300.0
    absence = 300.0

    def __init__(self, count: int, environments: Sequence[Mapping[str, str]] = ({},)) -> None:
        self.count, self.environments = count, environments
        self._exits = dict[str, int]()
        self._gave_up = list[str]()
        self._undo = ExitStack()

    def start(self) -> Any:
        """Start the scheduler; the workers come by and by."""
        self._gave_up.clear()
        with ExitStack() as undo:
            # For all processes, those too that take the place of one that died; dask sets the other variables.
            undo.enter_context(safe_path(*THREADS, "PYTHONHASHSEED"))
            folder = undo.enter_context(
                tempfile.TemporaryDirectory(prefix="gradest-workers-", ignore_cleanup_errors=True)
            )
            threads = {name: os.environ.get(name, "1") for name in THREADS}
            undo.enter_context(dask.config.set({**DASK, "distributed.nanny.pre-spawn-environ": threads}))
            resource_tracker.ensure_running()  # which would let its signals through again, were it started later
            cluster: Any = Cluster(  # type: ignore[no-untyped-call]
                n_workers=0,
                threads_per_worker=1,
                worker_class=Watched,
                # No dashboard, and for what remains of its server no port that another program may have.
                scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
                silence_logs=logging.CRITICAL,
                # Torch holds memory that dask would count against a worker, pause it and end it.
                memory_limit=0,
                local_directory=folder,
                exits=self._exits,
                gave_up=self._gave_up,
            )
            undo.callback(cluster.close, timeout=2)
            cluster.environments = [*self.environments]
            cluster.loop.add_callback(_leave_signals)
            client = distributed.Client(cluster)
            undo.callback(client.close, timeout=1)
            undo.callback(cluster.sync, cluster.kill)  # first of all, since workers have nothing to lose
            self._started = grow(cluster, self.count)
            self._undo = undo.pop_all()
        return client

    def trouble(self) -> str | None:
        """Why no worker will come."""
        if (why := trouble(self._started)) is not None:
            return f"no worker process could be started: {why}"
        if len(self._gave_up) >= self.count:
            return f"no worker process is left, and none could be started again: {self._gave_up[-1]}"
        return None

    def stop(self) -> None:
        """Kill the workers, end the scheduler, and undo what `start` set."""
        self._undo.close()

    def how_died(self, worker: str) -> str:
        """How a worker ended: its exit code, or its signal."""
        until = time.monotonic() + NO_OTHER
        while worker not in self._exits and time.monotonic() < until:
            time.sleep(0.01)
        return ending(self._exits.get(worker))


def _leave_signals() -> None:
    """Let the workers, which this thread starts, not hear what stops the run.

    Terminals and batch queues send it to all processes: one in the middle of its imports would end with a traceback.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
