"""Ranks of estimators by problem, each as the range that the draws, or trajectories, leave open."""

import math
from typing import NamedTuple

import pandas as pd

from bench.report.answer import by_column, usable
from bench.report.lowest import compared, levelled
from bench.report.naming import families, without_budget
from bench.report.tables.view import Row, label, rows_of
from bench.report.text import count
from bench.statistics import rank_intervals, rank_intervals_paired


class Place(NamedTuple):
    """A column: estimators that spend equally many evaluations of f at the last point of a problem."""

    problem: str
    point: str
    budget: float
    """NaN where it is not known."""
    of: int

    @property
    def at(self) -> str:
        """Where, in words."""
        spent = "" if math.isnan(self.budget) else f"{count(self.budget)} evaluations of f"
        return ", ".join(filter(None, (self.point, spent)))


class Ranking(NamedTuple):
    """Ranks by mean squared error of one family's estimators."""

    family: str
    places: list[Place]
    rows: list[tuple[str, list[str]]]
    """Label, and in each place `1`, `2 to 4`, or nothing where it was not compared."""


def ranges(rows: list[Row]) -> list[tuple[int, int]]:
    """Of rows by their `variance` the lowest and the highest rank of each, all of them at once at 95 %."""
    found = compared(levelled(rows))
    if found.paired:
        inner = rank_intervals_paired(found.logs, errors=found.errors)
        # One without an interval may stand anywhere, and so before or behind any other.
        more = len(found.others)
        whole = {i: (low, high + more) for i, (low, high) in zip(found.members, inner, strict=True)}
        return [whole.get(i, (1, len(rows))) for i in range(len(rows))]
    return rank_intervals(found.logs, found.errors, freedom=found.freedom)


def rankings(variance: pd.DataFrame) -> list[Ranking]:
    """A ranking a family, in the order of the tables; negative controls and what has no noise are left out."""
    found = []
    for family, members in variance.groupby(families(variance), sort=False) if len(variance) else ():
        places: list[Place] = []
        ranks: dict[str, dict[int, tuple[int, int]]] = {}
        for section, all_rows in members.groupby("section", sort=False):
            rows = usable(all_rows)
            last = rows[rows["position"] == rows["position"].max()]
            for budget, part in last.groupby("budget", dropna=False):
                own = [row for row in by_column(rows_of(part), "mse") if row["variance"] > 0]
                if len(own) < 2:
                    continue
                spent = float(budget) if isinstance(budget, float) else math.nan
                for name, ends in zip(_names(own), ranges(own), strict=True):
                    ranks.setdefault(name, {})[len(places)] = ends
                places.append(Place(str(section), str(own[0]["point"]), spent, len(own)))
        if places:
            ordered = sorted(ranks.items(), key=lambda item: (_middle(item[1], places), item[0]))
            texts = [(name, [_text(at.get(i)) for i in range(len(places))]) for name, at in ordered]
            found.append(Ranking(str(family), places, texts))
    return found


def _names(rows: list[Row]) -> list[str]:
    """Labels without the samples that tell one budget from another, unless two of a place differ by them alone."""
    bare = [label({**row, "label": without_budget(str(row["label"]))}) for row in rows]
    return [name if bare.count(name) == 1 else label(row) for name, row in zip(bare, rows, strict=True)]


def _middle(at: dict[int, tuple[int, int]], places: list[Place]) -> float:
    """Mean over places of the middle of a rank's range, as a share of those that are compared there."""
    return sum((low + high) / 2 / places[i].of for i, (low, high) in at.items()) / len(at)


def _text(ends: tuple[int, int] | None) -> str:
    if ends is None:
        return ""
    low, high = ends
    return str(low) if low == high else f"{low} to {high}"
