"""Things timed side by side in one benchmark: its rounds, each right after a round of each of the others."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch.utils.benchmark
from pytest_benchmark.fixture import BenchmarkFixture

from bench.measure.clock import interleaved
from bench.statistics import quartiles
from bench.training.memory import keep_freed_memory

# It synchronises the device before it reads the clock.
timer: Callable[[], float] = torch.utils.benchmark.timer


def side_by_side(
    benchmark: BenchmarkFixture,
    subject: Callable[[], object],
    *others: Callable[[], object],
    rounds: int,
    warm_up: int,
) -> list[list[float]]:
    """Seconds of all in each round; the subject's, which come first, are the benchmark's own."""
    keep_freed_memory()
    if benchmark.disabled:
        benchmark.pedantic(subject)
        return interleaved([subject, *others], rounds=1, warm_up=0)
    seconds: list[list[float]] = [[] for _ in others]

    def turn_of_the_others() -> None:
        for other, taken in zip(others, seconds, strict=True):
            start = timer()
            other()
            taken.append(timer() - start)

    benchmark.pedantic(subject, setup=turn_of_the_others, rounds=rounds, warmup_rounds=warm_up)
    stats: Any = benchmark.stats
    return [list(stats.stats.data), *(taken[-rounds:] for taken in seconds)]


def note(
    benchmark: BenchmarkFixture, what: str, over: list[float], under: list[float], *, scale: float = 1.0, **more: Any
) -> None:
    """Put a ratio, round by round and times the scale, beside the benchmark's own numbers."""
    benchmark.extra_info |= {
        "what": what,
        "ratio": quartiles(scale * np.divide(over, under)),
        "threads": torch.get_num_threads(),
        **more,
    }
