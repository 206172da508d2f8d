"""What runs in a worker process, in the place of the function that an executor was given."""

import threading
import time
from collections.abc import Mapping

from distributed import get_worker
from distributed.protocol.pickle import loads

from bench.records.record import Record
from bench.run.executors.batches import TOGETHER
from bench.run.executors.same import check_modules
from bench.run.limit import tell
from bench.run.saying import saying
from bench.training.stopped import Stopped

TOPIC = "gradest"
"""Of the events by which a worker's lines reach the process that prints them."""
_ONE_CELL = threading.Lock()
"""Cells set torch's threads and the precision of its products for their whole process: none runs beside another."""
_SO_FAR: dict[str, list[Record | Stopped]] = {}
"""What came of those cells that are done, of the several that are under way, by the token of their run."""


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
        _SO_FAR[token] = results
        try:
            for cell in cells:
                if results and time.monotonic() >= until:
                    break
                results.append(run(cell))
        finally:
            del _SO_FAR[token]
        return results


def stop_here(token: str, reason: str) -> list[Record | Stopped]:
    """Tell what runs here for a limit to stop; returns what came, before that, of the cells that are under way."""
    so_far = [*_SO_FAR.get(token, ())]
    tell(token, reason)
    return so_far
