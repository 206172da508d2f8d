"""Which unbiased estimators are the most efficient: as a set, over the noise of draws, or trajectories, and of clocks.

No half of a time judges what the other half chose, as neighbouring rounds are alike. So the interval of the ratio of
the one that is named holds over all that might have been named (Bonferroni), and none is told where the reference is
among those that are not told apart.
"""

import math

import pandas as pd

from bench.report.lowest import may_be_lowest, named, not_told_apart
from bench.report.tables.view import Row, budgets, ends, rows_of
from bench.report.text import interval


def _clock(row: Row) -> float:
    """Standard error of the logarithm of a cost; 0 where a record does not hold it."""
    error = float(row["plain_ratio_log_se"])
    return 0.0 if math.isnan(error) else error


def _widened(row: Row, comparisons: int) -> tuple[float, float, float]:
    """An efficiency whose interval holds over so many of them."""
    from scipy.stats import t

    value, low, high = (float(row[column]) for column in ends("efficiency_seconds"))
    if not (low > 0 and math.isfinite(high)) or comparisons < 2:
        return value, low, high
    freedom = row["trajectories"] - 1 if row["trajectories"] > 1 else math.inf
    narrow, wide = (float(t.isf(0.025 / count, freedom)) for count in (1, comparisons))
    factor = math.exp(math.log(high / value) * wide / narrow)
    return value, value / factor, value * factor


def sentence(rows: pd.DataFrame, relative_to: str) -> str:
    """The most efficient of some rows of the table of times, whoever is not told apart from it, and its ratio.

    Args:
        rows: of one section and number of evaluations of f, each with an efficiency.
        relative_to: the reference's name.
    """
    ranked = sorted(rows_of(rows), key=lambda row: -float(row["efficiency_seconds"]))
    costs, errors = [float(row["cost_seconds"]) for row in ranked], [_clock(row) for row in ranked]
    first, *ties = (ranked[i] for i in may_be_lowest(ranked, costs, errors))
    text = named(first) + not_told_apart(ties)
    if any(row["is_reference"] for row in (first, *ties)) or first["reference_busy"]:
        return text
    comparisons = len(ranked) - any(row["is_reference"] for row in ranked)
    text += f", {interval(*_widened(first, comparisons))} times {relative_to}{budgets(first)}"
    text += " (95 % over all of them at once)" if comparisons > 1 else ""
    if not first["clock_in_interval"]:
        text += " (the interval leaves the clock out)"
    return text
