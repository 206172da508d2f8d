"""Gradient estimators for E_{z ~ q}[f(z, q)], one method a file, all in one registry."""

import importlib
import pkgutil

from estimators.base import Estimate, Estimator, Objective
from estimators.call import trusted
from estimators.errors import BadInput
from estimators.registry import Entry, available, get, register

for _module in pkgutil.iter_modules(__path__):
    if not _module.ispkg:  # an estimator is one file here, and registers when it is imported
        importlib.import_module(f"{__name__}.{_module.name}")

__all__ = [
    "BadInput",
    "Entry",
    "Estimate",
    "Estimator",
    "Objective",
    "available",
    "get",
    "register",
    "trusted",
]
