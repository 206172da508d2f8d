"""The data of a chart: columns of numbers, an estimator named by its place among the facts."""

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import pandas as pd

from bench.report.facts import Facts
from bench.report.tables.view import Row, draws, ends, rows_of
from bench.report.text import count

DIGITS = 5
"""Significant ones: a chart shows three, and a ratio of two of them is as good."""
Number = float | None


def rounded(x: object) -> Number:
    """A number as JSON holds it, of so many digits; None where there is none or it is infinite."""
    number = math.nan if x is None else float(str(x))
    return float(f"{number:.{DIGITS}g}") if math.isfinite(number) else None


@dataclass(frozen=True)
class Chart:
    """One chart; all columns are of equal length, a row a mark."""

    frame: str
    """Which specification draws it: `dots`, `scatter`, or `lines` with its spacing."""
    value: str
    """Name of the quantity, with its unit."""
    place: str
    """Name of what the quantity is drawn against; empty for dots."""
    relative: str
    """How two estimators are compared: `ratio`, `difference`, or nothing."""
    reference: int
    """Place among the facts of the estimator that the report compares with here; -1 where the problem lacks it."""
    best: str
    """Which end is better: `lowest` or `highest`."""
    tick: str
    """What a grey tick marks; empty where nothing."""
    points: list[str]
    """Names of the points."""
    e: list[int]
    """Of each row: the place of its estimator among the facts,"""
    p: list[int]
    """the place of its point,"""
    x: list[Number]
    y: list[Number]
    low: list[Number]
    high: list[Number]
    n: list[str]
    """how many draws, seeds or rounds, in words,"""
    t: list[Number]
    """the tick; of a scatter plot, 1 where no other unbiased estimator beats this one in both quantities; of lines over
    learning rates, 1 at the best rate,"""
    x_low: list[Number]
    x_high: list[Number]
    part: list[str]
    """and, of an ELBO, of which part of the data."""
    line: Number = None
    """A value that a line marks."""
    names: dict[int, str] = field(default_factory=dict)
    """By place among the facts: names that say more here, such as the evaluations of f where these differ."""

    def plain(self) -> dict[str, Any]:
        """As JSON holds it: columns in which nothing stands are left out."""
        return {key: value for key, value in asdict(self).items() if not _empty(value)}


def _empty(value: object) -> bool:
    return value in ("", {}, None) or (isinstance(value, list) and all(item is None or item == "" for item in value))


@dataclass(frozen=True)
class Columns:
    """Which columns of a frame a chart shows; an empty name leaves its column empty."""

    y: str
    x: str = ""
    x_ends: str = ""
    """Of the interval of x."""
    t: str = ""
    words: tuple[str, ...] = ("draws",)
    """What n counts: draws, or a column with what it counts behind it where that is called otherwise."""


def _n(row: Row, words: str) -> str:
    if words == "draws":
        said = draws(row)
        return said if said == "exact" else f"{said} draws"
    name, _, noun = words.partition(" ")
    return f"{count(row[name])} {noun or name}"


def chart(
    frame: str,
    value: str,
    rows: pd.DataFrame,
    columns: Columns,
    facts: Facts,
    *,
    place: str = "",
    relative: str = "ratio",
    best: str = "lowest",
    tick: str = "",
    point: str = "point",
) -> Chart | None:
    """A chart of the rows of a frame; None where there is none.

    Args:
        frame, value, place, relative, best, tick: as in `Chart`.
        rows: what is drawn, one row a mark, with `label`, `is_reference` and the columns.
        columns: which of them.
        facts: of the estimators.
        point: the column that names a row's point.
    """
    if rows.empty:
        return None
    points = list(dict.fromkeys(map(str, rows.sort_values("position")[point] if "position" in rows else rows[point])))
    of_point = {name: i for i, name in enumerate(points)}
    references = rows[rows["is_reference"]]["label"].unique()

    def column(name: str) -> list[Number]:
        return [rounded(x) for x in rows[name]] if name else [None] * len(rows)

    low, high = ends(columns.y)[1:]
    x_low, x_high = ends(columns.x_ends)[1:] if columns.x_ends else ("", "")
    return Chart(
        frame,
        value,
        place,
        relative,
        facts.place[str(references[0])] if len(references) else -1,
        best,
        tick,
        points,
        [facts.place[str(label)] for label in rows["label"]],
        [of_point[str(name)] for name in rows[point]],
        column(columns.x),
        column(columns.y),
        column(low),
        column(high),
        [", ".join(_n(row, words) for words in columns.words) for row in rows_of(rows)],
        column(columns.t),
        column(x_low),
        column(x_high),
        list(rows["part"]) if "part" in rows else [],
    )


def of_section(frame: pd.DataFrame, section: str) -> pd.DataFrame:
    """The measured rows of a problem."""
    found: pd.DataFrame = frame[(frame["section"] == section) & frame["measured"].astype(bool)]
    return found


def scaled(rows: pd.DataFrame, factor: float, names: Iterable[str]) -> pd.DataFrame:
    """Some columns in another unit."""
    return rows.assign(**{name: factor * rows[name] for name in names})
