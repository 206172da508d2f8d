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
from numpy.typing import NDArray

from bench.report.tables.view import Row, rows_of
from bench.report.text import DAGGER, interval, number
from bench.report.verdicts import EXACTLY
from bench.statistics import Interval, lowest, lowest_paired, margin, margin_paired

Values = NDArray[np.float64]
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
    judges: str
    """Of what half chose whose ratio is told and the other half tells it; empty where it is exact or not told."""
    row: Row
    """Of the first one."""
    whose: str = ""
    """Whose ratio is told; empty where it is the first one's, or none is."""


def named(row: Row) -> str:
    """An estimator in a sentence, between backticks, with a dagger where it is declared biased."""
    return f"`{row['label']}`" if row["unbiased"] else f"`{row['label']}` {DAGGER}"


def not_told_apart(ties: Sequence[Row]) -> str:
    """From whom the first one is not told apart, in brackets; nothing where it is from all."""
    if not ties:
        return ""
    names = ", ".join(named(row) for row in ties[:MOST_NAMED])
    more = f" and {len(ties) - MOST_NAMED} more" if len(ties) > MOST_NAMED else ""
    return f" (not told apart from {names}{more})"


def lacking(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows whose variance lacks rare outcomes, and does not rank beside exact ones, which have them."""
    return rows[_lacks(rows)]


def _lacks(rows: pd.DataFrame) -> "pd.Series[bool]":
    beside = rows["position"].isin(rows["position"][rows["exact"]])
    return rows["unbiased"] & rows["measured"] & rows["variance_rare"] & beside


def at_point(rows: pd.DataFrame, section: pd.DataFrame) -> Lowest | None:
    """The lowest of what was measured at one point; None where nothing is to be ranked.

    Args:
        rows: of the variance table, of one section, point and number of evaluations of f.
        section: all rows of that section, where the reference may spend another number of evaluations.
    """
    if not (found := ranking(rows)):
        return None
    ranked, first, equal, ties = found
    words = " and ".join(named(ranked[i]) for i in [first, *range(1, equal)])
    words += not_told_apart([ranked[i] for i in ties])
    words += ", with heavy tails" if ranked[first]["heavy_tailed"] else ""
    shown, ratio, judges, whose = _margin(ranked, first, section)
    return Lowest(str(ranked[first]["point"]), words, shown, ratio, judges, ranked[first], whose)


class First(NamedTuple):
    """The lowest of some rows, and who is not told apart from it."""

    ranked: list[Row]
    """All of them, the lowest first; equal ones by name."""
    first: int
    equal: int
    """How many of the first are exact and equal, up to the rounding of their integrals."""
    ties: list[int]
    """Places of the others that are not told apart from the first."""


def first_of(rows: Sequence[Row]) -> First | None:
    """The lowest variance of some rows; None where there are none."""
    ranked = sorted(rows, key=lambda row: float(row["variance"]))
    if not ranked:
        return None
    # Which of several exact variances is the lowest is not told by the rounding of their integrals.
    equal = [row for row in ranked if ranked[0]["exact"] and row["exact"] and _equal(ranked[0], row)]
    others = [row for row in ranked if not any(row is one for one in equal)]
    ranked = sorted(equal, key=lambda row: str(row["label"])) + others
    alike = [{**row, "variance": ranked[0]["variance"]} for row in ranked[: len(equal)]]
    first, *rest = may_be_lowest([*alike, *ranked[len(equal) :]])
    return First(ranked, first, len(equal), [i for i in rest if i >= len(equal)])


def ranking(rows: pd.DataFrame) -> First | None:
    """The lowest of the unbiased rows of one point; None where nothing is to be ranked.

    Args:
        rows: of the variance table, of one section, point and number of evaluations of f.
    """
    usable = rows["unbiased"] & rows["measured"] & ~rows["at_rounding"] & ~_lacks(rows)
    # To choose among mappings is quicker than to make a frame of a hundred columns again.
    return first_of([row for row, kept in zip(rows_of(rows), usable, strict=True) if kept])


class Compared(NamedTuple):
    """Logarithms to be compared: paired by trajectory where several trajectories measured them, else with errors."""

    members: tuple[int, ...]
    """Places of those that are compared."""
    others: tuple[int, ...]
    """Places of those without an interval, which tie with all."""
    logs: Values
    """[k, trajectories] where they are paired, else [k]."""
    errors: Values
    """[k] standard errors: of costs alone where they are paired."""
    freedom: float
    """Of the errors where they are not paired."""

    @property
    def paired(self) -> bool:
        """Whether the logarithms are of several trajectories."""
        return self.logs.ndim == 2


def compared(
    ranked: Sequence[Row], costs: Sequence[float] | None = None, cost_errors: Sequence[float] | None = None
) -> Compared:
    """What is known of variances, or of their products with a cost.

    What several trajectories measured is paired by trajectory. One that lacks rare outcomes there has no interval: it
    takes from the others neither their pairs nor Student's law.

    Args:
        ranked: rows with their `variance`, `log_se`, `draws` and `replicates`.
        costs: one each; all alike by default.
        cost_errors: standard errors of their logarithms; 0 by default.
    """
    added = np.log(np.ones(len(ranked)) if costs is None else np.array(costs))
    errors = np.zeros(len(ranked)) if cost_errors is None else np.array(cost_errors)
    grids = [row["replicates"] for row in ranked]
    paired = [i for i, grid in enumerate(grids) if grid is not None and len(grid) > 1]
    others = [i for i in range(len(ranked)) if i not in paired]
    alike = len({grids[i].shape for i in paired}) == 1
    if alike and not any(math.isfinite(ranked[i]["log_se"]) for i in others):
        logs = np.array([np.log(grids[i].mean(1)) for i in paired]) + added[paired, None]
        return Compared(tuple(paired), tuple(others), logs, errors[paired], math.inf)
    logs = added + [math.log(row["variance"]) for row in ranked]
    draws = [float(row["draws"]) for row in ranked if row["draws"] > 1]  # NaN, or none, where one is exact
    freedom = min(draws, default=math.inf) - 1
    every = tuple(range(len(ranked)))
    return Compared(every, (), logs, np.hypot([row["log_se"] for row in ranked], errors), freedom)


def may_be_lowest(
    ranked: Sequence[Row], costs: Sequence[float] | None = None, cost_errors: Sequence[float] | None = None
) -> tuple[int, ...]:
    """Those whose variance, or its product with a cost, may be the lowest, of all of them at once; the lowest first.

    Args:
        ranked, costs, cost_errors: see `compared`.
    """
    found = compared(ranked, costs, cost_errors)
    if not found.paired:
        return lowest(found.logs, found.errors, freedom=found.freedom).best
    best = lowest_paired(found.logs, errors=found.errors).best
    return (*(found.members[i] for i in best), *found.others)


NOT_TOLD = ("", math.nan, "", "")


def _reference(ranked: Sequence[Row], section: pd.DataFrame) -> Row | None:
    """The reference at the point: one of those that are ranked, or that of another number of evaluations of f."""
    if (own := next((row for row in ranked if row["is_reference"]), None)) is not None:
        return own
    there = section["measured"] & ~section["at_rounding"] & (section["position"] == ranked[0]["position"])
    others = rows_of(section[there & (section["label"] == ranked[0]["relative_to"])])
    return max(others, key=lambda row: math.inf if row["exact"] else float(row["draws"]), default=None)


def _margin(ranked: Sequence[Row], first: int, section: pd.DataFrame) -> tuple[str, float, str, str]:
    """The ratio of the one that half of the draws or trajectories choose to the reference, by the others.

    It is told whether or not that one is the first of all: to leave out those that are not would flatter the rest.
    """
    beside = _reference(ranked, section)
    if beside is None:
        return NOT_TOLD
    if ranked[first]["exact"] and beside["exact"]:
        ratio = ranked[first]["variance"] / beside["variance"]
        return NOT_TOLD if beside is ranked[first] else (f"{number(ratio, 4)} (exact)", ratio, "", "")
    # What has no interval is not chosen.
    judged, grid = [row for row in ranked if row is not beside] + [beside], beside["replicates"]
    if grid is not None:
        judged = [row for row in judged if row["replicates"] is not None and row["replicates"].shape == grid.shape]
    else:  # halves are not known in records of an earlier release, nor where they lack rare outcomes
        judged = [row for row in judged if row["first_half"] > 0 and row["second_half"] > 0]
    if not judged or judged[-1] is not beside or (grid is not None and len(grid) < 4):
        return NOT_TOLD
    reference, candidates = len(judged) - 1, len(judged) - all(row is not beside for row in ranked)
    if not candidates:
        return NOT_TOLD
    if grid is not None:
        judges, logs = "trajectories", np.array([np.log(row["replicates"].mean(1)) for row in judged])
        found = margin_paired(logs, reference, candidates=range(candidates))
        found = found._replace(interval=Interval(*map(math.exp, found.interval)))
    else:
        judges = "draws"
        choose, judge = ([math.log(row[name]) for row in judged] for name in ("first_half", "second_half"))
        choose[candidates:] = [math.nan] * (len(judged) - candidates)  # never chosen
        found = margin(choose, judge, [row["second_half_log_se"] for row in judged], reference)
    if found.chosen == reference:
        return NOT_TOLD
    chosen = judged[found.chosen]
    whose = "" if chosen is ranked[first] else f"{named(chosen)} "
    return whose + interval(*found.interval), found.interval.estimate, judges, whose


def levelled(rows: Sequence[Row]) -> list[Row]:
    """Rows in their order, of exact variances that are equal up to the rounding of their integrals each as the first's.

    Without an error whatever differs is told apart.
    """
    exact = sorted((i for i, row in enumerate(rows) if row["exact"]), key=lambda i: float(rows[i]["variance"]))
    found, first = list(rows), -1
    for i in exact:
        first = first if first >= 0 and _equal(rows[first], rows[i]) else i
        found[i] = {**rows[i], "variance": rows[first]["variance"]}
    return found


def _equal(one: Row, other: Row) -> bool:
    """Whether two exact variances agree up to what their integrals leave open, as a share of the mean square."""
    open_parts = (
        max(EXACTLY, row["tolerance"]) * (row["variance"] + row["gradient_norm"] ** 2) for row in (one, other)
    )
    return bool(abs(one["variance"] - other["variance"]) <= sum(open_parts))
