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
    """Seconds that may be spent waiting, by all who share it: a machine that is never idle holds up no run.

    Nor does a process wait for longer than it has worked, so that a run of seconds stays one.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds, self.spent = seconds, 0.0

    def nap(self) -> float:
        """Seconds until the next look; 0 where no patience is left."""
        left = min(NAP, min(self.seconds, time.process_time()) - self.spent)
        return left if left >= 1 else 0.0

    def wait(self) -> None:
        """Wait until this machine is not busy, or no patience is left."""
        while busy_here() and (nap := self.nap()):
            time.sleep(nap)
            self.spent += nap
