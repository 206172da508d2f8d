"""Planted faults: wrong estimators of the kinds that are published and shipped, each with the check to refute it.

A fault names the check and words of the sentence that must explain it; each file holds those of a file of checks.
"""

from tests.estimators.faults import bias, calls, modes, own, precision, rows, state  # noqa: F401  (their faults are collected)
from tests.estimators.faults.base import FAULTS, Fault

__all__ = ["FAULTS", "Fault"]
