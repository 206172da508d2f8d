"""Cells over local worker processes, by dask.distributed; a killed worker costs a retry, not the run."""

import logging
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

from bench.records.record import Record
from bench.suite.schema import Cell
from estimators.errors import BadInput


class Dask:
    """An executor over `workers` processes of one thread each.

    Raises:
        BadInput: dask.distributed is not installed.
    """

    def __init__(self, workers: int) -> None:
        try:
            import distributed
        except ImportError as error:
            raise BadInput(
                "--workers above 1 needs dask.distributed: pip install -c constraints.txt -e '.[cluster]'"
            ) from error
        self.workers = workers
        self._distributed: Any = distributed

    def __call__(
        self, cells: Sequence[Cell], run: Callable[[Cell], Record]
    ) -> Iterator[tuple[Cell, Record | Exception]]:
        """Run the cells; those of one problem and kind are neighbours, which shares their trajectories in a worker."""
        if not cells:
            return
        cluster = self._distributed.LocalCluster(
            n_workers=self.workers, threads_per_worker=1, dashboard_address=None, silence_logs=logging.CRITICAL
        )
        with cluster, self._distributed.Client(cluster) as client:

            def submitted(cell: Cell) -> Any:
                return client.submit(run, cell, pure=False, retries=2)

            # One cell a worker at a time: the death of a worker counts against every cell that waits there.
            waiting = iter(cells)
            by_future = {submitted(cell): cell for cell in islice(waiting, self.workers)}
            completed = self._distributed.as_completed(by_future)
            for future in completed:
                for cell in islice(waiting, 1):
                    by_future[following := submitted(cell)] = cell
                    completed.add(following)
                try:
                    yield by_future[future], future.result()
                except self._distributed.KilledWorker:
                    yield by_future[future], RuntimeError("its worker process died each time it was tried")
