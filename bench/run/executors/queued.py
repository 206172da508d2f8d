"""Workers that are jobs of a batch queue, by dask-jobqueue: `--scheduler NAME`, of a table in the configuration."""

import importlib
import inspect
import math
from contextlib import suppress
from typing import Any

import dask.config
import dask_jobqueue
import distributed

from bench.run.executors.configuration import KINDS, Table, path
from bench.run.executors.existing import Existing
from bench.run.executors.spec import grow, trouble
from bench.run.saying import say
from estimators.errors import BadInput, nearest

OURS = {"n_workers", "job_cls", "loop", "asynchronous", "scheduler", "config_name", "silence_logs", "name"}
"""Options that are not a person's to give; the kind, `workers` and what we ask for decide them."""
DEFAULTS = {"cores": 1, "processes": 1, "memory": "4GB"}


class Queued(Existing):
    """Workers of a batch queue, which starts them when it has room.

    Args:
        name: of the table.
        table: what it says.
        count: how many workers; None for as many as the table says.

    Raises:
        BadInput: the table has an option that dask-jobqueue has not.
    """

    patience = math.inf
    absence = math.inf

    def __init__(self, name: str, table: Table, count: int | None = None) -> None:
        super().__init__(name)
        self.name = f"the queue {name}"
        self.table, self.count = table, count or table.workers
        module, _, cls = f"dask_jobqueue.{KINDS[table.kind]}".rpartition(".")
        self._cls: Any = getattr(importlib.import_module(module), cls)
        known = options_of(self._cls)
        for option in table.options:
            if option not in known:
                near = nearest(option, sorted(known))
                meant = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(sorted(known))}"
                raise BadInput(f"{path()}: scheduler.{name}: {table.kind} has no option {option!r}; {meant}")
        self._cluster: Any = None

    def start(self) -> Any:
        """Start a scheduler here, and submit the jobs; the workers come when the queue starts them.

        Raises:
            BadInput: dask-jobqueue refuses an option's value.
        """
        options = {**DEFAULTS, **self.table.options}
        extra = [*options.get("worker_extra_args", [])]
        if "--memory-limit" not in extra:  # the queue has one, and dask's would end a worker for what torch holds
            extra += ["--memory-limit", "0"]
        options["worker_extra_args"] = extra
        options["scheduler_options"] = {"dashboard": False, "dashboard_address": ":0"} | options.get(
            "scheduler_options", {}
        )
        self._config = dask.config.set({"distributed.scheduler.allowed-failures": 0})
        try:
            self._cluster = self._cls(silence_logs=False, **options)
        except (TypeError, ValueError, ImportError, OSError, RuntimeError) as error:
            self.stop()
            words = " ".join(str(error).split())[:200]
            raise BadInput(f"{path()}: scheduler.{self.address}: {words}") from error
        self._client = distributed.Client(self._cluster, set_as_default=False)
        self._started = grow(self._cluster, self.count)
        say(f"waiting for {self.name} to start {self.count} worker{'' if self.count == 1 else 's'}")
        return self._client

    def stop(self) -> None:
        """End the jobs, and the scheduler."""
        super().stop()
        cluster, self._cluster = self._cluster, None
        if cluster is not None:
            with suppress(Exception):  # of jobs that could not be submitted, or of a queue that does not answer
                cluster.close(timeout=10)
        self._config.__exit__(None, None, None)

    def trouble(self) -> str | None:
        """Why no worker will come: what submitting a job said."""
        why = trouble(self._started)
        return why and f"{path()}: scheduler.{self.address}: no job could be submitted: {why}"


def options_of(cluster: Any) -> set[str]:
    """Names of the options that a class of dask-jobqueue takes."""
    places = [dask_jobqueue.core.JobQueueCluster, *cluster.job_cls.__mro__]
    found = {
        name
        for place in places
        if "__init__" in vars(place)
        for name, parameter in inspect.signature(place.__init__).parameters.items()
        if parameter.kind is not parameter.VAR_KEYWORD and parameter.kind is not parameter.VAR_POSITIONAL
    }
    return found - OURS - {"self"}
