"""What a check says, and the certificate made of all of them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Status = Literal["passed", "failed", "measured", "not applicable"]


@dataclass(frozen=True)
class Result:
    """One check of one estimator and family."""

    check: str
    family: str
    status: Status
    message: str
    """One sentence: what was found, by how much and, for a failure, what usually causes it."""
    numbers: Mapping[str, Any] = field(default_factory=dict)
    """What the sentence rests on, as plain values."""
    warnings: tuple[str, ...] = ()
    """What is not wrong but should be known."""


@dataclass(frozen=True)
class Certificate:
    """All checks of one estimator with its options."""

    estimator: str
    unbiased: bool
    """Whether it is declared unbiased with these options."""
    samples: tuple[int, ...]
    seed: int
    results: tuple[Result, ...]
    seconds: float

    @property
    def verdict(self) -> Literal["certified", "measured", "refuted"]:
        """Refuted by any failure; else certified, or for a declared bias measured."""
        if any(result.status == "failed" for result in self.results):
            return "refuted"
        return "certified" if self.unbiased else "measured"

    @property
    def failures(self) -> tuple[Result, ...]:
        """The checks that failed."""
        return tuple(result for result in self.results if result.status == "failed")

    def plain(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"verdict": self.verdict} | asdict(self)


def failed(check: str, family: str, message: str, *, warnings: tuple[str, ...] = (), **numbers: Any) -> Result:
    """A failure."""
    return Result(check, family, "failed", message, numbers, warnings)
