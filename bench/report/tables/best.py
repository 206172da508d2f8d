"""Which rows of a table hold the best number, and all that the data do not tell apart from it.

Compared are rows of one problem, point and number of evaluations of f, by what the findings compare them by
(`bench.statistics.best`): not by whether their intervals overlap, which is another question.
"""

from collections.abc import Iterator
from typing import NamedTuple

import pandas as pd

from bench.report import efficient, highest, lowest
from bench.report.summary import Summary
from bench.report.sweeps import Sweep, sweeps
from bench.report.tables.view import Row, rows_of

Key = tuple[str, float]
"""Of a row: its cell, and the position of its point."""


class Best(NamedTuple):
    """The best of a table."""

    column: str
    """Name of the column that is compared."""
    keys: frozenset[Key]
    rule: str
    """In a sentence, for the notes of the table."""


def key(row: Row) -> Key:
    """What tells a row of a table from the others."""
    return str(row["cell"]), float(row.get("position", 0.0))


def _groups(rows: pd.DataFrame, *by: str) -> Iterator[pd.DataFrame]:
    """Rows that are held against each other, where they are of two estimators at least."""
    for _, part in rows.groupby([*by, "budget"], dropna=False, sort=False):
        if part["label"].nunique() > 1:
            yield part


_OF_A_VARIANCE = (
    "section", "position", "budget", "cell", "label", "unbiased", "measured", "at_rounding", "variance_rare", "exact",
    "variance", "log_se", "draws", "replicates", "tolerance", "gradient_norm",
)  # fmt: skip


def _lowest(summary: Summary) -> Iterator[Row]:
    frame = summary.variance[list(_OF_A_VARIANCE)]  # a hundred columns would take most of the time
    for rows in _groups(frame[frame["measured"]], "section", "position"):
        found = lowest.ranking(rows)
        if found and len(found.ranked) > 1:
            yield from (found.ranked[i] for i in {*range(found.equal), found.first, *found.ties})


def _highest(summary: Summary) -> Iterator[Row]:
    by_section: dict[str, list[Sweep]] = {}
    for sweep in sweeps(rows_of(summary.frames.finals)):
        by_section.setdefault(str(sweep.cells[sweep.best][0]["section"]), []).append(sweep)
    for rows in _groups(summary.elbo[summary.elbo["measured"]], "section", "seeds_asked"):
        compared = highest.compare(rows_of(rows), by_section[str(rows["section"].iloc[0])])
        yield from (compared.rows[i] for i in compared.best)


def _efficient(summary: Summary) -> Iterator[Row]:
    time = summary.time
    usable = (time["efficiency_seconds"] > 0) & (time["efficiency_seconds"] < float("inf"))
    for rows in _groups(time[usable & time["unbiased"] & ~time["busy"]], "section"):
        ranked, order = efficient.ranking(rows)
        yield from (ranked[i] for i in order)


_SAME = "with as many evaluations of f, and all that is not told apart from it (95 % over all of them at once)"


def best(name: str, summary: Summary) -> Best | None:
    """The best rows of a table of the summary; None where nothing in it is better or worse."""
    if name == "variance" and len(summary.variance):
        rule = f"Bold: the lowest variance of an unbiased estimator at a point {_SAME}; † is never."
        return Best("variance", frozenset(map(key, _lowest(summary))), rule)
    if name == "elbo" and len(summary.elbo):
        rule = f"Bold: the highest test ELBO {_SAME}, paired by seed; † too, since a bound is what training reached."
        return Best("test_elbo", frozenset(map(key, _highest(summary))), rule)
    if name == "time" and len(summary.time):
        rule = f"Bold: the most efficient unbiased estimator {_SAME}; † is never, nor what was not ranked."
        return Best("efficiency_seconds", frozenset(map(key, _efficient(summary))), rule)
    return None
