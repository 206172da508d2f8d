"""Cells over local worker processes, by dask.distributed; a killed worker costs a retry, not the run."""

import logging
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any

from bench.records.record import Record
from bench.run.limit import Limit, tell
from bench.suite.schema import Cell
from bench.training.stopped import Stopped
from estimators.errors import BadInput

TO_STOP = 5.0
"""Seconds in which workers that are told to stop may leave their checkpoints."""


def _leave_signals() -> None:
    """Let this process, a worker, not hear what stops the run: terminals and batch queues send it to all processes."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


class Dask:
    """An executor over `workers` processes of one thread each.

    Args:
        workers: how many.
        limit: when to stop; what runs hears of it, and what does not end within `TO_STOP` seconds is left.

    Raises:
        BadInput: dask.distributed is not installed.
    """

    def __init__(self, workers: int, limit: Limit | None = None) -> None:
        try:
            import distributed
        except ImportError as error:
            raise BadInput(
                "--workers above 1 needs dask.distributed: pip install -c constraints.txt -e '.[cluster]'"
            ) from error
        self.workers, self.limit = workers, limit or Limit()
        self._distributed: Any = distributed

    def __call__(
        self, cells: Sequence[Cell], run: Callable[[Cell], Record | Stopped]
    ) -> Iterator[tuple[Cell, Record | Exception | Stopped]]:
        """Run the cells; those of one problem and kind are neighbours, which shares their trajectories in a worker."""
        if not cells:
            return
        cluster = self._distributed.LocalCluster(
            n_workers=self.workers, threads_per_worker=1, dashboard_address=None, silence_logs=logging.CRITICAL
        )
        with cluster, self._distributed.Client(cluster) as client:
            client.run(_leave_signals)

            began = dict[str, float]()

            def submitted(cell: Cell) -> Any:
                began[cell.id] = time.monotonic()
                return client.submit(run, cell, pure=False, retries=2)

            # One cell a worker at a time: the death of a worker counts against every cell that waits there.
            waiting = iter(cells)
            by_future = {submitted(cell): cell for cell in islice(waiting, self.workers)}
            completed = self._distributed.as_completed(by_future)
            try:
                for future in completed:
                    for cell in islice(waiting, 1):
                        by_future[following := submitted(cell)] = cell
                        completed.add(following)
                    cell = by_future.pop(future)
                    try:
                        yield cell, future.result()
                    except self._distributed.KilledWorker:
                        yield cell, RuntimeError("its worker process died each time it was tried")
                    self.limit.check()  # a signal that came while the record was written
            except (Stopped, KeyboardInterrupt) as stop:
                yield from self._stopped(client, by_future, str(stop))
                for cell in by_future.values():
                    if not cell.measurement.resumes:
                        left = Stopped(str(stop))
                        left.lost = time.monotonic() - began[cell.id]
                        yield cell, left
                raise

    def _stopped(
        self, client: Any, by_future: dict[Any, Cell], reason: str
    ) -> Iterator[tuple[Cell, Record | Exception | Stopped]]:
        """What comes of the cells that are under way, when their workers are told to stop."""
        time_left = TO_STOP + min(self.limit.left, 0.0)  # after the limit they have had some already
        with suppress(Exception):  # a worker that has died, a time that is over
            client.run(tell, reason)
            for future in self._distributed.as_completed([*by_future], timeout=max(time_left, 0.5)):
                if future.status == "finished":
                    yield by_future.pop(future), future.result()
