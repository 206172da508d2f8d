"""Executors: how cells are spread over processes. Each takes cells and the function that runs one."""

import re
from typing import TYPE_CHECKING

from bench.bounds import MOST_WORKERS, shown
from bench.run.executors.base import Asked, Died, Executor, Results, Run
from bench.run.executors.inline import inline
from bench.run.limit import Limit
from bench.suite.cost import in_bytes, memory_here
from estimators.errors import BadInput

if TYPE_CHECKING:
    from bench.run.executors.workers import Workers

__all__ = ["Asked", "Died", "Executor", "Results", "Run", "check_workers", "executor_for", "inline"]

WORKER = 150e6
"""Bytes of memory that no other process shares, of one that has imported torch and has no cell yet."""


def executor_for(asked: Asked, limit: Limit | None = None) -> Executor:
    """The executor for what was asked: one process runs the cells here.

    Args:
        asked: where cells are to run.
        limit: when to stop; for ever later without one.

    Raises:
        BadInput: it cannot be had: a package is not installed, the configuration has no such scheduler or a fault, or
            see `check_workers`.
    """
    check_workers(asked)
    if asked.scheduler is None and asked.workers in (None, 1):
        return inline
    option = "--workers above 1" if asked.scheduler is None else "--scheduler"
    try:  # optional dependencies
        from bench.run.executors.pool import Pool
    except ImportError as error:
        raise BadInput(f"{option} needs dask.distributed: pip install -c constraints.txt -e '.[cluster]'") from error
    return Pool(_workers(asked), limit or Limit(), asked.device)


def check_workers(asked: Asked) -> None:
    """Refuse more processes than there can be.

    Raises:
        BadInput: no scheduler has so many, or this machine has no memory for them.
    """
    if (count := asked.workers) is None:
        return
    try:
        MOST_WORKERS.checked(count)
    except ValueError as error:
        raise BadInput(f"--workers {shown(count)}: {error}") from error
    if asked.scheduler is None and count > 1 and count * WORKER > (room := memory_here()):
        raise BadInput(
            f"--workers {count}: they take {in_bytes(count * WORKER)} of memory before any has a cell, and "
            f"this machine has {in_bytes(room)}: take at most {max(1, int(room / WORKER))} (one a core is enough)"
        )


def _workers(asked: Asked) -> "Workers":
    """Where the workers come from that were asked for."""
    if asked.scheduler is None:
        from bench.run.executors.gpus import environments
        from bench.run.executors.local import Local

        count = asked.workers or 1
        return Local(count, environments(count) if asked.device == "cuda" else [{}])
    if "://" in asked.scheduler:
        from bench.run.executors.existing import Existing

        if asked.workers is not None:
            raise BadInput("--workers does not go with the address of a scheduler, which has its own workers")
        return Existing(asked.scheduler)
    if re.fullmatch(r"[^/\s]+:[0-9]+", asked.scheduler):
        raise BadInput(f"--scheduler {asked.scheduler}: write the protocol too, as in tcp://{asked.scheduler}")
    from bench.run.executors.configuration import scheduler

    table = scheduler(asked.scheduler)
    try:
        from bench.run.executors.queued import Queued
    except ImportError as error:
        raise BadInput(
            "--scheduler NAME needs dask-jobqueue: pip install -c constraints.txt -e '.[cluster]'"
        ) from error
    return Queued(asked.scheduler, table, asked.workers)
