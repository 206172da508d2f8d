"""Kinds of faults: each a function of a `Trial`, registered by name, that prepares a suite, starts runs and hurts them.

Whatever it leaves running is waited for, and the run goes on from what it left.
"""

import importlib
import pkgutil
from collections.abc import Callable
from typing import NamedTuple

from bench.studies.chaos.trial import Trial


class Kind(NamedTuple):
    """A kind of fault."""

    name: str
    says: str
    """What happens, for the table."""
    run: Callable[[Trial], None]
    every: int
    """It comes in one round of so many."""
    needs: Callable[[], str]
    """Why it cannot be had on this machine; nothing where it can."""


KINDS: dict[str, Kind] = {}


def kind(
    name: str, says: str, *, every: int = 1, needs: Callable[[], str] = str
) -> Callable[[Callable[[Trial], None]], Callable[[Trial], None]]:
    """Register a kind of fault."""

    def registered(run: Callable[[Trial], None]) -> Callable[[Trial], None]:
        if name in KINDS:
            raise ValueError(f"two kinds of faults are called {name}")
        KINDS[name] = Kind(name, says, run, every, needs)
        return run

    return registered


def load() -> dict[str, Kind]:
    """All kinds, by name."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return KINDS
