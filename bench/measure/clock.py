"""Seconds of device work: the device is synchronised before the clock is read."""

import time
from collections.abc import Callable, Sequence
from typing import Self

import torch


class Stopwatch:
    """Accumulates the seconds spent inside its `with` blocks."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.seconds = device, 0.0

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def __enter__(self) -> Self:
        self._started = self._now()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds += self._now() - self._started


def interleaved(
    subjects: Sequence[Callable[[], object]], *, rounds: int, warm_up: int, device: torch.device | str = "cpu"
) -> list[list[float]]:
    """Seconds of each subject in each round; in a round all take their turn, so ratios survive a noisy machine.

    Who goes first moves on from round to round: what ran just before decides what is in the cache.

    Args:
        subjects: what is called.
        rounds: rounds that count.
        warm_up: rounds before them.
        device: synchronised before and after each call.
    """
    seconds: list[list[float]] = [[] for _ in subjects]
    for index in range(warm_up + rounds):
        for turn in range(len(subjects)):
            which = (index + turn) % len(subjects)
            clock = Stopwatch(torch.device(device))
            with clock:
                subjects[which]()
            if index >= warm_up:
                seconds[which].append(clock.seconds)
    return seconds
