"""Which unbiased estimators are the most efficient: as a set, over the noise of draws, or trajectories, and of clocks.

No half of a time judges what the other half chose, as neighbouring rounds are alike. So the interval of the ratio of
the one that is named holds over all that might have been named (Bonferroni), and none is told where the reference is
among those that are not told apart.
"""

import math
from collections.abc import Sequence

import pandas as pd

from bench.report.lowest import may_be_lowest, named, not_told_apart
from bench.report.tables.view import Row, budgets, ends, rows_of
from bench.report.text import interval


def _clock(row: Row) -> float:
    """Standard error of the logarithm of a cost; 0 where a record does not hold it."""
    error = float(row["plain_ratio_log_se"])
    return 0.0 if math.isnan(error) else error


def widened(found: Sequence[float], comparisons: int, freedom: float = math.inf) -> tuple[float, float, float]:
    """A positive estimate with its low and high end, so that the interval holds over so many of them (Bonferroni).

    Args:
        found: estimate, low, high of one 95 % interval on the logarithm.
        comparisons: among how many the one that is told was chosen.
        freedom: of Student's law, where the interval is of it.
    """
    from scipy.stats import t

    value, low, high = map(float, found)
    if not (low > 0 and math.isfinite(high)) or comparisons < 2:
        return value, low, high
    narrow, wide = (float(t.isf(0.025 / count, freedom)) for count in (1, comparisons))
    factor = math.exp(math.log(high / value) * wide / narrow)
    return value, value / factor, value * factor


def ranking(rows: pd.DataFrame) -> tuple[list[Row], tuple[int, ...]]:
    """Rows of the table of times, the most efficient first, and places of those that may be; rows as of `sentence`."""
    ranked = sorted(rows_of(rows), key=lambda row: -float(row["efficiency_seconds"]))
    costs, errors = [float(row["cost_seconds"]) for row in ranked], [_clock(row) for row in ranked]
    return ranked, may_be_lowest(ranked, costs, errors)


def sentence(rows: pd.DataFrame, relative_to: str) -> str:
    """The most efficient of some rows of the table of times, whoever is not told apart from it, and its ratio.

    Args:
        rows: of one section and number of evaluations of f, each with an efficiency.
        relative_to: the reference's name.
    """
    ranked, order = ranking(rows)
    first, *ties = (ranked[i] for i in order)
    text = named(first) + not_told_apart(ties)
    if any(row["is_reference"] for row in (first, *ties)) or first["reference_busy"]:
        return text
    comparisons = len(ranked) - any(row["is_reference"] for row in ranked)
    freedom = first["trajectories"] - 1 if first["trajectories"] > 1 else math.inf
    whole = widened([first[column] for column in ends("efficiency_seconds")], comparisons, freedom)
    text += f", {interval(*whole)} times {relative_to}{budgets(first)}"
    text += " (95 % over all of them at once)" if comparisons > 1 else ""
    if not first["clock_in_interval"]:
        text += " (the interval leaves the clock out)"
    return text
