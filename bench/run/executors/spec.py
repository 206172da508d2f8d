"""What clusters share whose workers we ask for: dask's own of this machine, and those of queues."""

import asyncio
from concurrent.futures import Future
from typing import Any


def grow(cluster: Any, count: int) -> "Future[None]":
    """Ask for so many workers, which come by and by; what is returned fails where they cannot be had.

    `cluster.scale` does the same, and tells nobody of a failure.
    """

    async def start() -> None:
        while len(cluster.worker_spec) < count:
            cluster.worker_spec.update(cluster.new_worker_spec())
        await cluster._correct_state()

    return asyncio.run_coroutine_threadsafe(start(), cluster.loop.asyncio_loop)


def trouble(started: "Future[None]") -> str | None:
    """Why workers that were asked for will not come, in a line; None where nothing is known of that."""
    if not started.done() or (error := started.exception()) is None:
        return None
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
