"""Which measurements fit the time that there is: whatever would not is left out, and named."""

import time
from collections.abc import Callable
from typing import NamedTuple

from bench.studies.results import Row


class Part(NamedTuple):
    """Measurements of one kind."""

    name: str
    until: float
    """The share of all the time by whose end the last of them has to be done."""
    longest: float
    """Seconds that one takes, as first guess; then the longest so far."""


PARTS = {
    part.name: part
    for part in (
        Part("tests", 0.2, 0.0),
        Part("judged", 0.48, 15.0),
        Part("jax", 0.62, 14.0),
        Part("moments", 0.7, 2.0),
        Part("steps", 0.88, 15.0),
        Part("suite", 0.97, 2.0),
    )
}
"""In order; what one leaves over is the next one's. The rest is for pages and figures."""


class Budget:
    """Seconds, from now on."""

    def __init__(self, seconds: float, now: Callable[[], float] = time.monotonic) -> None:
        self.seconds, self.now, self.started = seconds, now, now()
        self.longest = {name: part.longest * min(1.0, seconds / 300) for name, part in PARTS.items()}
        self.left_out: list[str] = []

    def left(self, part: str) -> float:
        """Seconds until the part has to be done."""
        return PARTS[part].until * self.seconds - (self.now() - self.started)

    def fits(self, part: str, title: str) -> bool:
        """Whether one more measurement of the part can be begun; if not it is noted as left out."""
        if self.left(part) >= self.longest[part]:
            return True
        self.left_out.append(f"{part}: {title}")
        return False

    def took(self, part: str, seconds: float) -> None:
        """A measurement of the part is done."""
        self.longest[part] = max(self.longest[part], seconds)


class Failure(NamedTuple):
    """A measurement that raised."""

    title: str
    because: str

    def row(self) -> Row:
        """What is kept of it."""
        return Row(quantity="failed", case=self._asdict())
