"""Gradient estimators for E_{z ~ q}[f(z, q)], one method a file, all in one registry.

Names are imported when they are first used, so that `estimators.errors`, which has no need of torch, loads none.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from estimators.base import Estimate, Estimator, Objective
    from estimators.call import trusted
    from estimators.entry import Entry
    from estimators.errors import BadInput
    from estimators.noise import Noise
    from estimators.registry import available, create, get, register

__all__ = [
    "BadInput",
    "Entry",
    "Estimate",
    "Estimator",
    "Noise",
    "Objective",
    "available",
    "create",
    "get",
    "register",
    "trusted",
]

_HOMES = {
    "errors": ("BadInput",),
    "base": ("Estimate", "Estimator", "Objective"),
    "call": ("trusted",),
    "noise": ("Noise",),
    "entry": ("Entry",),
    "registry": ("available", "create", "get", "register"),
}


def __dir__() -> list[str]:
    """What completion offers."""
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    """A public name, from the module that it is defined in."""
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
