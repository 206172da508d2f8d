"""Whether a machine does something else while a step is timed, and waiting until it stops.

The load average counts the processes that run or wait for a core, those that are timed among them. A cell never asks
for more threads than there are cores, so that its own part alone brings the load up to the number of cores at most;
above it somebody else ran, and for want of a core one of the two waited.
"""

import os
import time

NAP = 5.0
"""Seconds between two looks: so often does the kernel take the average."""


def busy(load: float, cores: float) -> bool:
    """Whether a load average says that processes waited for a core; not where either is unknown, NaN."""
    return load > cores


def here() -> float:
    """This machine's load average over the last minute."""
    return os.getloadavg()[0]


def busy_here() -> bool:
    """Whether this machine is busy."""
    return busy(here(), os.cpu_count() or 1)


class Patience:
    """Seconds that may still be spent waiting, by all who share it: a machine that is never idle holds up no run."""

    def __init__(self, seconds: float) -> None:
        self.left = seconds

    def wait(self) -> None:
        """Wait until this machine is not busy, or no patience is left."""
        while self.left > 0 and busy_here():
            nap = min(NAP, self.left)
            time.sleep(nap)
            self.left -= nap
