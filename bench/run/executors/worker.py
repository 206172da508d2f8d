"""What runs in a worker process, in the place of the function that an executor was given."""

import threading
import time
from collections.abc import Mapping

from distributed import get_worker
from distributed.protocol.pickle import loads

from bench.records.record import Record
from bench.run.executors.batches import TOGETHER
from bench.run.executors.same import check_modules
from bench.run.saying import saying
from bench.training.stopped import Stopped

TOPIC = "gradest"
"""Of the events by which a worker's lines reach the process that prints them."""
_ONE_CELL = threading.Lock()
"""Cells set torch's threads and the precision of its products for their whole process: none runs beside another."""


def run_here(packed: bytes, token: str, modules: Mapping[str, str]) -> list[Record | Stopped]:
    """Run cells in this worker, one after another: a pickled pair of what runs them and the cells, one at least.

    Those of which time leaves none, since an earlier one took long, are not begun: what comes of the others is not
    to wait for them, nor they for each other. What it says is printed by the process whose run has that token.

    Raises:
        Other: one of these modules of a person's own is not here as it is there.
    """

    def say(words: str) -> None:
        get_worker().log_event(TOPIC, {"run": token, "words": words})

    with _ONE_CELL, saying(say):
        check_modules(modules)
        run, cells = loads(packed)
        until, results = time.monotonic() + TOGETHER, list[Record | Stopped]()
        for cell in cells:
            if results and time.monotonic() >= until:
                break
            results.append(run(cell))
        return results
