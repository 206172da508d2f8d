"""Which of several estimators is best by a criterion, and which the draws do not tell from it."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from bench.report.text import interval, number
from bench.statistics import lowest, normal_quantile

QUANTILE = normal_quantile(0.95)


class Ranked(NamedTuple):
    """An estimator by a criterion that is better the smaller it is."""

    label: str
    samples: int
    value: float
    low: float
    high: float
    """Ends of the value's 95 % interval; NaN where it is exact."""

    @property
    def name(self) -> str:
        """The label with its samples."""
        return self.label if "samples=" in self.label else f"{self.label} with samples={self.samples}"

    @property
    def log_se(self) -> float:
        """Standard error of the value's logarithm, from its interval."""
        if 0 < self.low < self.high < math.inf:
            return math.log(self.high / self.low) / 2 / QUANTILE
        return 0.0 if math.isnan(self.low) or self.high == self.low else math.inf

    @property
    def text(self) -> str:
        """The value with its interval."""
        return number(self.value) if math.isnan(self.low) else interval(self.value, self.low, self.high)


def ranked(row: dict[str, Any], column: str, cost: str = "") -> Ranked:
    """A row of `Comparison.frame()` by a column, times the column of a cost."""
    factor = float(row[cost]) if cost else 1.0
    value, low, high = (factor * float(row[f"{column}{end}"]) for end in ("", "_low", "_high"))
    return Ranked(str(row["estimator"]), int(row["samples"]), value, low, high)


def in_order(found: Sequence[Ranked]) -> list[Ranked]:
    """The best first; what has no value is left out."""
    return sorted((one for one in found if not math.isnan(one.value)), key=lambda one: one.value)


def worse(found: Sequence[Ranked], level: float = 0.95) -> list[Ranked]:
    """Those that are told apart from the best of all, by a comparison over all of them.

    Args:
        found: at one point.
        level: chance that none of them is called worse falsely.
    """
    logs = [math.log(one.value) if one.value > 0 else -math.inf for one in found]
    return [found[i] for i in lowest(logs, [one.log_se for one in found], level).worse]
