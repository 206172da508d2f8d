"""Whether compiling pays: what it costs beside what it saves, by figures that are typical of the models here.

A rule and not a measurement, since it decides a result's last digits: the same suite must decide the same everywhere.
"""

from typing import Literal, NamedTuple

Wish = Literal["auto"] | bool
"""Whether to compile: where it pays, always, or never."""
MARGIN = 1.5
"""Times over that it must pay, for what is not typical."""


TYPICAL = 2**21
"""Numbers in the largest tensor of a step, at most, where nothing is known of it."""


class Worth(NamedTuple):
    """Of compiling, on a sort of device."""

    start: float
    """Seconds to compile the smallest program."""
    a_call: float
    """Seconds more for each operation."""
    saved_a_call: float
    """Seconds that a run gets faster by, for each operation that is called from Python no more."""
    saved_a_number: float
    """For each number of the largest tensor, which is written and read fewer times."""

    def pays(self, calls: int, runs: int, largest: int) -> bool:
        """Whether it pays.

        Args:
            calls: operations of a run.
            runs: how often it is run.
            largest: numbers in the largest tensor of a run.
        """
        saved = runs * (calls * self.saved_a_call + largest * self.saved_a_number)
        return saved > MARGIN * (self.start + calls * self.a_call)

    def may_pay(self, runs: int, largest: int = TYPICAL) -> bool:
        """Whether it can pay at all, whatever the number of operations, so that a look is worth its time.

        Args:
            runs: how often it is run.
            largest: numbers in the largest tensor of a run, at most.
        """
        by_calls = runs * self.saved_a_call > MARGIN * self.a_call
        return by_calls or runs * largest * self.saved_a_number > MARGIN * self.start


# On the CPU from steps and chunks of draws on two cores; on a GPU from one H100, where launches are captured before.
WORTH = {"cpu": Worth(3.0, 0.015, 3e-6, 5e-9), "cuda": Worth(3.0, 0.03, 1e-6, 0.0)}
