"""Two things timed side by side in one benchmark: the rounds of the one, each right after a round of the other."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch.utils.benchmark
from pytest_benchmark.fixture import BenchmarkFixture

from bench.clock import interleaved
from bench.measure.wallclock import quartiles
from bench.memory import keep_freed_memory

# It synchronises the device before it reads the clock.
timer: Callable[[], float] = torch.utils.benchmark.timer


def side_by_side(
    benchmark: BenchmarkFixture,
    subject: Callable[[], object],
    other: Callable[[], object],
    *,
    rounds: int,
    warm_up: int,
) -> tuple[list[float], list[float]]:
    """Seconds of both in each round; the subject's are the benchmark's own."""
    keep_freed_memory()
    if benchmark.disabled:
        taken, given = interleaved([subject, other], rounds=1, warm_up=0)
        benchmark.pedantic(subject)
        return taken, given
    seconds: list[float] = []

    def turn_of_the_other() -> None:
        start = timer()
        other()
        seconds.append(timer() - start)

    benchmark.pedantic(subject, setup=turn_of_the_other, rounds=rounds, warmup_rounds=warm_up)
    stats: Any = benchmark.stats
    return list(stats.stats.data), seconds[-rounds:]


def note(benchmark: BenchmarkFixture, what: str, ratios: list[float], **more: Any) -> None:
    """Put a ratio and what it is of beside the benchmark's own numbers."""
    benchmark.extra_info |= {
        "what": what,
        "ratio": quartiles(list(np.asarray(ratios, dtype=float))),
        "threads": torch.get_num_threads(),
        **more,
    }
