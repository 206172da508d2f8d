"""The families of q, one a file: everything that depends on which distribution the latents have.

A family registers where its class is defined. Every file here is imported; a third party's is found through the
entry-point group `gradest.families` or as `module:Class`.
"""

import importlib
import pkgutil

from estimators.families.base import CAPABILITIES, Counted, Enumerated, Family, Projected, Relaxed, Reparameterized
from estimators.families.registry import FAMILIES, capable, family_named, family_of, register_family

_FIRST = ("gaussian", "bernoulli", "categorical")  # as lists name them; other files follow
for _name in (*_FIRST, *(module.name for module in pkgutil.iter_modules(__path__))):
    importlib.import_module(f"{__name__}.{_name}")

__all__ = [
    "CAPABILITIES",
    "FAMILIES",
    "Counted",
    "Enumerated",
    "Family",
    "Projected",
    "Relaxed",
    "Reparameterized",
    "capable",
    "family_named",
    "family_of",
    "register_family",
]
