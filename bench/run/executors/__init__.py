"""Executors: how cells are spread over processes. Each takes cells and the function that runs one."""

from bench.run.executors.base import Asked, Died, Executor, Results, Run
from bench.run.executors.inline import inline
from bench.run.limit import Limit
from estimators.errors import BadInput

__all__ = ["Asked", "Died", "Executor", "Results", "Run", "executor_for", "inline"]


def executor_for(asked: Asked, limit: Limit | None = None) -> Executor:
    """The executor for what was asked: one process runs the cells here.

    Args:
        asked: where cells are to run.
        limit: when to stop; for ever later without one.

    Raises:
        BadInput: dask.distributed is not installed.
    """
    workers = asked.workers or 1
    if workers == 1:
        return inline
    try:  # an optional dependency
        from bench.run.executors.local import Local
        from bench.run.executors.pool import Pool
    except ImportError as error:
        raise BadInput(
            "--workers above 1 needs dask.distributed: pip install -c constraints.txt -e '.[cluster]'"
        ) from error
    return Pool(Local(workers), limit or Limit())
