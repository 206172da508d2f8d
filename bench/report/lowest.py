"""Which unbiased estimators have the lowest variance at a point: as a set, since draws or trajectories may not tell.

What is said at a point holds over all that is compared there (`bench.statistics.best`): with a chance of 95 % no
estimator is said to be worse that is not. The draws, or trajectories, that choose a winner flatter it, so that those
that did not choose it tell its margin.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from bench.report.tables.view import Row, rows_of
from bench.report.text import DAGGER, interval, number
from bench.report.verdicts import EXACTLY
from bench.statistics import Best, Interval, lowest, lowest_paired, margin, margin_paired

MOST_NAMED = 6
"""Of those that are not told apart from the first; more are counted."""


class Lowest(NamedTuple):
    """The unbiased estimators of lowest variance at one point."""

    point: str
    words: str
    """The first one's name, and whoever is not told apart from it."""
    shown: str
    """Its ratio to the reference, by what did not choose it; empty where that cannot be told."""
    ratio: float
    row: Row
    """Of the first one."""


def named(row: Row) -> str:
    """An estimator in a sentence, between backticks, with a dagger where it is declared biased."""
    return f"`{row['label']}`" if row["unbiased"] else f"`{row['label']}` {DAGGER}"


def lacking(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows whose variance lacks rare outcomes, and does not rank beside exact ones, which have them."""
    beside = rows["position"].isin(rows[rows["exact"]]["position"])
    return rows[rows["unbiased"] & rows["measured"] & rows["rare"] & beside]


def at_point(rows: pd.DataFrame) -> Lowest | None:
    """The lowest of what was measured at one point; None where nothing is to be ranked.

    Args:
        rows: of the variance table, of one section, point and number of evaluations of f.
    """
    usable = rows["unbiased"] & rows["measured"] & ~rows["at_rounding"] & ~rows.index.isin(lacking(rows).index)
    ranked = rows_of(rows[usable].sort_values("variance", kind="stable"))
    if not ranked:
        return None
    # Which of several exact variances is the lowest is not told by the rounding of their integrals.
    equal = [row for row in ranked if ranked[0]["exact"] and row["exact"] and _equal(ranked[0], row)]
    ranked = sorted(equal, key=lambda row: str(row["label"])) + [row for row in ranked if row not in equal]
    found = _compared(ranked, len(equal))
    first, ties = found.best[0], [i for i in found.best[1:] if i >= len(equal)]
    words = " and ".join(named(ranked[i]) for i in [first, *range(1, len(equal))])
    if ties:
        names = ", ".join(named(ranked[i]) for i in ties[:MOST_NAMED])
        more = f" and {len(ties) - MOST_NAMED} more" if len(ties) > MOST_NAMED else ""
        words += f" (not told apart from {names}{more})"
    words += ", with heavy tails" if ranked[first]["heavy_tailed"] else ""
    shown, ratio = _margin(ranked, first)
    return Lowest(str(ranked[first]["point"]), words, shown, ratio, ranked[first])


def _compared(ranked: Sequence[Row], equal: int) -> Best:
    """All of them at once; the first `equal` ones are exactly alike."""
    grids = [row["replicates"] for row in ranked]
    if all(grid is not None and grid.shape == grids[0].shape and len(grid) > 1 for grid in grids):
        return lowest_paired(np.array([np.log(grid.mean(1)) for grid in grids]))
    logs = [math.log(ranked[0 if i < equal else i]["variance"]) for i in range(len(ranked))]
    return lowest(logs, [row["log_se"] for row in ranked])


def _margin(ranked: Sequence[Row], first: int) -> tuple[str, float]:
    """The ratio of the one that half of the draws or trajectories choose to the reference, by the others.

    It is told whether or not that one is the first of all: to leave out those that are not would flatter the rest.
    """
    reference = next((i for i, row in enumerate(ranked) if row["is_reference"]), None)
    if reference is None:
        return "", math.nan
    if ranked[first]["exact"] and ranked[reference]["exact"]:
        ratio = ranked[first]["variance"] / ranked[reference]["variance"]
        return ("", math.nan) if reference == first else (f"{number(ratio, 4)} (exact)", ratio)
    grids = [row["replicates"] for row in ranked]
    if all(grid is not None and grid.shape == grids[0].shape and len(grid) > 3 for grid in grids):
        found = margin_paired(np.array([np.log(grid.mean(1)) for grid in grids]), reference)
        found = found._replace(interval=Interval(*map(math.exp, found.interval)))
    elif all(row[name] > 0 for row in ranked for name in ("first_half", "second_half")):
        choose, judge = ([math.log(row[name]) for row in ranked] for name in ("first_half", "second_half"))
        found = margin(choose, judge, [row["second_half_log_se"] for row in ranked], reference)
    else:  # of an earlier release, which did not record the halves
        return "", math.nan
    if found.chosen == reference:
        return "", math.nan
    whose = "" if found.chosen == first else f"{named(ranked[found.chosen])} "
    return whose + interval(*found.interval), found.interval.estimate


def _equal(one: Row, other: Row) -> bool:
    """Whether two exact variances agree up to what their integrals leave open, as a share of the mean square."""
    open_parts = (
        max(EXACTLY, row["tolerance"]) * (row["variance"] + row["gradient_norm"] ** 2) for row in (one, other)
    )
    return bool(abs(one["variance"] - other["variance"]) <= sum(open_parts))
