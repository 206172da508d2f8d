"""Seconds of device work: the device is synchronised before the clock is read."""

import time
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
