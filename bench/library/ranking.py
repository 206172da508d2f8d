"""Which of several estimators is best by a criterion, and which the draws do not tell from it."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from bench.report.text import interval, number
from bench.statistics import lowest, normal_quantile, two_sided
from bench.statistics.best import FREEDOM

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


def ranked(row: dict[str, Any], column: str, cost: float = 1.0, cost_log_se: float = 0.0) -> Ranked:
    """A row of `Comparison.frame()` by a column, times a cost, of whose logarithm the standard error is given."""
    value, low, high = (cost * float(row[f"{column}{end}"]) for end in ("", "_low", "_high"))
    found = Ranked(str(row["estimator"]), int(row["samples"]), value, low, high)
    if cost_log_se == 0:
        return found
    error = QUANTILE * math.hypot(found.log_se, cost_log_se)
    if not math.isfinite(error):
        return found._replace(low=0.0, high=math.inf)
    return found._replace(low=value * math.exp(-error), high=value * math.exp(error))


def told_apart(one: Ranked, other: Ranked, comparisons: int) -> bool:
    """Whether the second is worse than the first, one of so many comparisons over all of which 95 % hold (Bonferroni).

    How well draws tell a standard error decides its law far out, as in `bench.statistics.best`.
    """
    if one.value <= 0 or other.value <= 0:
        return one.value <= 0 < other.value
    gap, errors = math.log(other.value / one.value), (one.log_se, other.log_se)
    squares = [error**2 for error in errors]
    if not math.isfinite(sum(squares)):
        return False
    if sum(squares) == 0:
        return gap > 1e-6  # exact, to the tolerance of an integral
    # Of each FREEDOM / s^2 degrees of freedom, by Welch and Satterthwaite.
    freedom = FREEDOM * sum(squares) ** 2 / sum(square**3 for square in squares)
    return gap > 0 and two_sided(gap / math.sqrt(sum(squares)), freedom) / 2 < 0.05 / comparisons


def in_order(found: Sequence[Ranked]) -> list[Ranked]:
    """The best first; what has no value is left out."""
    return sorted((one for one in found if not math.isnan(one.value)), key=lambda one: one.value)


def worse(found: Sequence[Ranked], draws: float, minibatches: int = 1) -> list[Ranked]:
    """Those that are told apart from the best of all, by a comparison over all of them at 95 %.

    Args:
        found: at one point.
        draws: of each.
        minibatches: how many, over which intervals are Student's where there are several.
    """
    freedom, wider = draws - 1, 1.0
    if minibatches > 1:
        from scipy.stats import t  # not installed on every node that recommends

        freedom = minibatches - 1
        wider = float(t.isf(0.025, freedom)) / QUANTILE
    logs = [math.log(one.value) if one.value > 0 else -math.inf for one in found]
    best = lowest(logs, [one.log_se / wider for one in found], freedom=freedom)
    return [found[i] for i in best.worse]
