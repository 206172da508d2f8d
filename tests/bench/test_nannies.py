"""What a run hears of where dask's nannies cannot start a worker process again."""

import asyncio
from concurrent.futures import Future

import distributed
import pytest

from bench.run.executors.local import Local, Watched


async def _fails(nanny: distributed.Nanny) -> None:
    """As dask's own does where the system has no process for it."""
    try:
        raise BlockingIOError(11, "Resource temporarily unavailable")
    except OSError:
        raise AssertionError("Status.starting")  # noqa: B904


def test_a_run_whose_nannies_gave_up_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed.Nanny, "instantiate", _fails)
    local = Local(2)
    local._started = Future()
    local._started.set_result(None)
    told = []
    for _ in range(2):
        told.append(local.trouble())
        nanny = object.__new__(Watched)
        nanny.gave_up = local._gave_up
        with pytest.raises(AssertionError):
            asyncio.run(nanny.instantiate())
    assert told == [None, None]
    assert local.trouble() == (
        "no worker process is left, and none could be started again: "
        "BlockingIOError: [Errno 11] Resource temporarily unavailable"
    )
