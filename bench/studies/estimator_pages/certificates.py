"""What the published certificates say of an estimator, family by family: `results/certificates.csv`."""

import csv
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

KNOWN = ("bias not excluded by proof", "bound of the bias", "bias seen by sampling")
"""How problems are decided: what a row's value means."""
ROUNDING = 1e-6
"""A bias whose interval ends below it is none."""
Rows = Mapping[str, list[dict[str, str]]]
"""Rows of the table by the estimator's label."""


class Decided(NamedTuple):
    """Problems that were decided in one way."""

    problems: int
    largest: float
    """Relative to the exact gradient: what no proof excludes, a bound, or what sampling would have seen."""


class Worst(NamedTuple):
    """The largest bias that was measured on an objective."""

    objective: str
    level: float
    bias: float
    low: float
    high: float


class Certified(NamedTuple):
    """One estimator with its options, in one family."""

    label: str
    family: str
    failed: tuple[str, ...]
    decided: tuple[Decided, Decided, Decided]
    """Proved, bounded, sampled."""
    worst: tuple[Worst, ...]
    """Of a declared bias, by objective, the largest first."""


def read(path: Path) -> Rows:
    """The table, by the estimator's label."""
    found: dict[str, list[dict[str, str]]] = {}
    with path.open(newline="") as lines:
        for row in csv.DictReader(lines):
            found.setdefault(row["estimator"], []).append(row)
    return found


def of(name: str, rows: Rows) -> list[Certified]:
    """The certificates of an estimator: its defaults, then its variants."""
    labels = sorted((label for label in rows if label.partition("[")[0] == name), key=lambda label: (len(label), label))
    return [
        _certified(label, family, [row for row in rows[label] if row["family"] == family])
        for label in labels
        for family in dict.fromkeys(row["family"] for row in rows[label])
    ]


def _certified(label: str, family: str, rows: Iterable[Mapping[str, str]]) -> Certified:
    rows = list(rows)
    failed = dict.fromkeys(row["check"] for row in rows if row["status"] == "failed")
    decided = []
    for quantity in KNOWN:
        own = [row for row in rows if row["quantity"] == quantity]
        largest = max((float(row["value"]) for row in own), default=math.nan)
        decided.append(Decided(sum(int(float(row["problems"])) for row in own), largest))
    biases = [
        Worst(row["objective"], *(float(row[key]) for key in ("level", "value", "low", "high")))
        for row in rows
        if row["quantity"] == "bias"
    ]
    worst = {one.objective: one for one in sorted(biases, key=lambda one: one.bias)}  # the last, the largest, stays
    first, second, third = decided
    largest_first = tuple(sorted(worst.values(), key=lambda one: -one.bias))
    return Certified(label, family, tuple(failed), (first, second, third), largest_first)
