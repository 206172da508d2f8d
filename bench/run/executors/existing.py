"""Workers of a cluster that somebody else started, with the same code: `--scheduler tcp://HOST:PORT`."""

import warnings
from contextlib import suppress
from typing import Any

import distributed
from dask.utils import format_bytes

from bench.run.saying import say
from estimators.errors import BadInput

TO_REACH = 5.0
"""Seconds in which a scheduler answers."""


class Existing:
    """The workers that a scheduler has.

    Args:
        address: as in tcp://HOST:PORT.
    """

    here = False
    patience = 120.0
    absence = 30.0

    def __init__(self, address: str) -> None:
        self.address = address
        self.name = f"the scheduler {address}"
        self._client: Any = None

    def start(self) -> Any:
        """Connect.

        Raises:
            BadInput: nothing answers there, or it has no workers.
        """
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of versions, which are compared worker by worker
                self._client = distributed.Client(self.address, timeout=TO_REACH, set_as_default=False)
        except (OSError, ValueError, TimeoutError) as error:
            words = " ".join(str(error).split())[:200]
            raise BadInput(
                f"--scheduler {self.address}: no dask scheduler answered there within {TO_REACH:.0f} s ({words}); "
                "start one with: dask scheduler"
            ) from error
        workers = self._client.scheduler_info(n_workers=-1)["workers"]
        if not workers:
            self.stop()
            raise BadInput(
                f"--scheduler {self.address}: the scheduler has no workers; start some with: "
                f"dask worker {self.address} --nthreads 1"
            )
        if limits := {found["memory_limit"] for found in workers.values() if found["memory_limit"]}:
            least = format_bytes(min(limits))
            say(f"workers of {self.address} have a memory limit ({least}): dask ends one that passes 95 % of it")
        return self._client

    def stop(self) -> None:
        """Leave; the workers stay as they are, for the next run."""
        client, self._client = self._client, None
        if client is not None:
            with suppress(Exception):  # a scheduler that is lost
                client.close(timeout=1)

    def how_died(self, worker: str) -> str:
        """How a worker ended, of which its address alone is known here."""
        return f"({worker}) died or left: what it says, and the machine's log, may tell why"

    def trouble(self) -> str | None:
        """Why no worker will come: nothing is known of that."""
        return None
