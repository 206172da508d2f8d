"""What runs in a worker process, in the place of the function that an executor was given."""

import threading

from distributed import get_worker

from bench.records.record import Record
from bench.run.executors.base import Run
from bench.run.saying import saying
from bench.suite.schema import Cell
from bench.training.stopped import Stopped

TOPIC = "gradest"
"""Of the events by which a worker's lines reach the process that prints them."""
_ONE_CELL = threading.Lock()
"""Cells set torch's threads and the precision of its products for their whole process: none runs beside another."""


def run_here(run: Run, cell: Cell, token: str) -> Record | Stopped:
    """Run a cell in this worker; what it says is printed by the run of that token."""

    def say(words: str) -> None:
        get_worker().log_event(TOPIC, {"run": token, "words": words})

    with _ONE_CELL, saying(say):
        return run(cell)
