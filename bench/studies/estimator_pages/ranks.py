"""Where an estimator stands on the problems of the published runs: its rank as a set, and its ratio to the reference.

A rank is what the draws, trajectories or seeds leave open: of k estimators at equal evaluations of f, one has at best
the place behind those that are told to be better, at worst the one before those that are told to be worse. It is
compared with each of the k - 1 others, over all of which 95 % hold (Bonferroni), so that each set holds the true rank
with at least that chance, for one estimator at one point (M. Mogstad, J. P. Romano, A. M. Shaikh, D. Wilhelm, Inference
for ranks, 2024). Trajectories and seeds are paired, by Student's t; draws are independent.
"""

import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.library.ranking import Ranked, told_apart
from bench.report.lowest import lacking
from bench.report.summary import Summary, summarise
from bench.report.sweeps import sweeps
from bench.report.tables.view import Row, rows_of
from bench.report.text import interval, number, percent_interval
from bench.run.archive import NAME, unpack
from bench.statistics import ranks_of

RUNS = ("quick", "sharpness", "random-tables", "budgets", "mnist-linear", "mnist-linear-elbo")
"""Folders of `results/` whose records are read."""
LEVEL = 0.95


class Place(NamedTuple):
    """An estimator at one point of a problem."""

    point: str
    best: int
    worst: int
    """The ends of its rank; both 0 where it is not ranked."""
    of: int
    """How many are ranked."""
    why: str
    """Why it is not ranked."""
    ratio: float
    shown: str
    """The ratio to the reference with its interval."""
    bias: str
    """Of one that is declared biased, relative to the exact gradient's length."""


class Measured(NamedTuple):
    """An estimator on one problem at one number of evaluations."""

    run: str
    section: str
    label: str
    f_evals: float
    reference: str
    reference_f_evals: float
    places: tuple[Place, ...]
    """At the first point, one in the middle, and the last."""


class Trained(NamedTuple):
    """An estimator by the test ELBO that it trains to."""

    run: str
    section: str
    label: str
    f_evals: float
    elbo: str
    difference: str
    reference: str
    best: int
    worst: int
    of: int
    seeds: int


def summaries(results: Path) -> dict[str, Summary]:
    """The published runs, by their folder."""
    contents = {run: unpack(results / run / NAME) for run in RUNS}
    return {run: summarise([json.loads(text) for text in found.values()]) for run, found in contents.items() if found}


def ranks(count: int, lower: Callable[[int, int], bool]) -> list[tuple[int, int]]:
    """The best and the worst rank of each of so many, 1 the lowest.

    Args:
        count: how many.
        lower: whether the first is told to be lower than the second.
    """
    others = range(count)
    return ranks_of(np.array([[lower(i, j) for i in others] for j in others], dtype=np.bool_).reshape(count, count))


def paired(values: Sequence[NDArray[np.float64]], level: float = LEVEL) -> Callable[[int, int], bool]:
    """Whether one row is told to be lower than another, by Student's t of their paired differences.

    Args:
        values: [k] rows of n paired units each, at least 2.
        level: chance that nothing false is said of one row and all the others.
    """
    from scipy.stats import t as student

    critical = float(student.isf((1 - level) / (2 * max(1, len(values) - 1)), len(values[0]) - 1))

    def lower(i: int, j: int) -> bool:
        gap = values[j] - values[i]
        return bool(i != j and gap.mean() > critical * gap.std(ddof=1) / math.sqrt(len(gap)))

    return lower


def _by_variance(rows: Sequence[Row]) -> list[tuple[int, int]]:
    """Ranks at one point, by trajectories where there are several, else by draws."""
    grids = [row["replicates"] for row in rows]
    known = [i for i, grid in enumerate(grids) if grid is not None and len(grid) > 1]
    if known:
        test = paired([np.log(grids[i].mean(1)) for i in known])
        place = {row: i for i, row in enumerate(known)}
        return ranks(len(rows), lambda i, j: i in place and j in place and test(place[i], place[j]))
    found = [
        Ranked(row["label"], 0, *(float(row[key]) for key in ("variance", "variance_low", "variance_high")))
        for row in rows
    ]
    comparisons = 2 * max(1, len(rows) - 1)
    return ranks(len(rows), lambda i, j: i != j and told_apart(found[i], found[j], comparisons))


def measured(run: str, summary: Summary) -> Iterator[tuple[str, Measured]]:
    """Every estimator of a run by its name, on each problem at each number of evaluations."""
    if summary.variance.empty:
        return
    frame = summary.variance[summary.variance["measured"]]
    for _, together in frame.groupby(["section", "budget"], sort=False):
        rare = together.index.isin(lacking(together).index)
        rows = rows_of(together.assign(usable=together["unbiased"] & ~together["at_rounding"] & ~rare))
        points = sorted({row["position"] for row in rows})
        shown = dict.fromkeys((points[0], points[len(points) // 2], points[-1]))
        at = [_places([row for row in rows if row["position"] == point]) for point in shown]
        for label, row in {row["label"]: row for row in rows}.items():
            places = tuple(found[label] for found in at if label in found)
            shared = (row["relative_to"], float(row["relative_to_budget"]))
            yield row["name"], Measured(run, row["section"], row["estimator"], row["budget"], *shared, places)


def _places(rows: Sequence[Row]) -> dict[str, Place]:
    """The place of each estimator, by its label, at one point."""
    chosen = [row for row in rows if row["usable"]]
    of = dict(zip([row["label"] for row in chosen], _by_variance(chosen), strict=True)) if len(chosen) > 1 else {}
    found = {}
    for row in rows:
        best, worst = of.get(row["label"], (0, 0))
        why = "" if best else _not_ranked(row)
        ends = [float(row[f"relative_bias{end}"]) for end in ("", "_low", "_high")]
        bias = "" if row["unbiased"] or math.isnan(ends[0]) else _bias(*ends)
        shown = "" if row["label"] == row["relative_to"] else _ratio(row)
        found[row["label"]] = Place(row["point"], best, worst, len(of), why, float(row["ratio"]), shown, bias)
    return found


def _not_ranked(row: Row) -> str:
    if not row["unbiased"]:
        return "biased"
    if row["at_rounding"]:
        return "no noise"
    return "alone at this cost" if row["usable"] else "rare outcomes were too few"


def _ratio(row: Row) -> str:
    if row["exact"] and not math.isnan(row["ratio"]):
        return f"{number(row['ratio'], 3)} (exact)"
    return interval(*(float(row[f"ratio{end}"]) for end in ("", "_low", "_high")))


def _bias(bias: float, low: float, high: float) -> str:
    return f"{100 * bias:.2g} % (exact)" if math.isnan(low) else percent_interval(bias, low, high)


def merged(found: Sequence[Measured]) -> list[Measured]:
    """Problems of a run that differ in a last number alone, such as `table-7`, as one: the hull of their places."""
    groups: dict[tuple[Any, ...], list[Measured]] = {}
    for one in found:
        stem = re.sub(r"(?<=[a-z]-)\d+$", "", one.section) if one.section.count("/") > 1 else one.section
        groups.setdefault((one.run, stem, one.label, one.f_evals), []).append(one)
    rows = []
    for (_, stem, *_), members in groups.items():
        few = len(members) < 3
        name = f"{stem}1 to {len(members)}"
        rows += members if few else [_hull(members)._replace(section=name)]
    return rows


def _hull(members: Sequence[Measured]) -> Measured:
    def over(places: Sequence[Place]) -> Place:
        ratios = sorted(place.ratio for place in places)
        told = [place for place in places if place.of]
        worst = max((place.worst for place in told), default=0)
        best = min((place.best for place in told), default=0)
        shown = f"{number(ratios[0], 3)} to {number(ratios[-1], 3)}" if places[0].shown else ""
        biases = ", ".join(dict.fromkeys(place.bias for place in places if place.bias))
        return places[0]._replace(best=best, worst=worst, shown=shown, bias=biases)

    points = zip(*(member.places for member in members), strict=True)
    return members[0]._replace(places=tuple(map(over, points)))


def trained(run: str, summary: Summary) -> Iterator[tuple[str, Trained]]:
    """Every estimator of a run by its name, by test ELBO at its own best learning rate, the highest first."""
    if summary.elbo.empty:
        return
    ended = {sweep.cells[sweep.best][0]["cell"]: sweep.ended()[0] for sweep in sweeps(rows_of(summary.frames.finals))}
    for _, rows in summary.elbo[summary.elbo["measured"]].groupby(["section", "budget"], sort=False):
        chosen = [row for row in rows_of(rows) if row["cell"] in ended]
        shared = sorted(set.intersection(*(set(ended[row["cell"]]) for row in chosen))) if chosen else []
        places = [(0, 0)] * len(chosen)
        if len(chosen) > 1 and len(shared) > 1:
            lower = paired([-np.array([ended[row["cell"]][seed] for seed in shared]) for row in chosen])
            places = ranks(len(chosen), lower)
        for row, (best, worst) in zip(chosen, places, strict=True):
            elbo, gap = (
                interval(*(float(row[f"{key}{end}"]) for end in ("", "_low", "_high")))
                for key in ("test_elbo", "difference")
            )
            is_reference = row["label"] == row["relative_to"]
            yield (
                row["name"],
                Trained(
                    run, row["section"], row["estimator"], row["budget"], elbo, "" if is_reference else gap,
                    row["relative_to"], best, worst, len(chosen), len(shared),
                ),
            )  # fmt: skip
