"""Gradient variance against evaluations of f: a line an estimator."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bench.report.figures import lines, phrases
from bench.report.figures.canvas import Plot, sections
from bench.report.naming import without_samples
from bench.report.style import Style
from bench.report.summary import Summary
from bench.report.text import DAGGER, slug


def _drawable(rows: pd.DataFrame) -> pd.DataFrame:
    """At the last point, what has noise; of estimators that were measured at two budgets or more.

    The column `one` holds what an estimator is called, whatever its number of samples.
    """
    known = rows[rows["measured"] & ~rows["at_rounding"] & (rows["variance"] > 0) & rows["budget"].notna()]
    last = known[known["position"] == known["position"].max()]
    last = last.assign(one=[without_samples(str(name)) for name in last["estimator"]])
    swept: pd.DataFrame = last[last.groupby("one")["budget"].transform("nunique") > 1]
    return swept


def _look(line: pd.DataFrame, looks: Mapping[str, Style]) -> str:
    """The label by which a line looks, that of its least budget; of a budget that a person chose, if of any."""
    labels = [str(label) for label in line.sort_values("budget", kind="stable")["label"]]
    return next((label for label in labels if not looks[label].behind), labels[0])


def _series(rows: pd.DataFrame, looks: Mapping[str, Style]) -> list[lines.Series]:
    """A line an estimator."""
    series = []
    for one, group in rows.groupby("one", sort=False):
        line = group.sort_values("budget")
        first = looks[_look(line, looks)]
        style = first._replace(label=str(one) if first.unbiased else f"{one} {DAGGER}")
        x, y, low, high = (
            line[name].to_numpy(np.float64) for name in ("budget", "variance", "variance_low", "variance_high")
        )
        series.append(lines.Series(style, x, y, low, high, line["exact"].to_numpy(np.bool_)))
    return series


def words(heading: str, rows: pd.DataFrame, summary: Summary) -> phrases.Words:
    """What the figure shows, with its interval, method and n, and what limits it."""
    drawn = _drawable(rows)
    point = str(drawn["point"].iloc[0])
    place = f", at {point}" if point else ""
    by_line = {one: _look(line, summary.styles) for one, line in drawn.groupby("one")}
    named = drawn.assign(label=drawn["one"].map(by_line), budget=0)
    return phrases.words(
        (
            "Variance of the gradient with respect to q's parameters against evaluations of f a row, on "
            f"{phrases.problem(heading, rows)}{place}.",
            phrases.spread(drawn, "Bands", "95 % jackknife interval on log variance"),
            "Dotted: equal variance x evaluations.",
            phrases.marked(named, summary.styles),
        ),
        (
            phrases.fixed(drawn),
            phrases.exactly(drawn),
            phrases.rare(drawn, summary.styles),
            phrases.heavy(drawn, summary.styles),
        ),
    )


def draw(series: Sequence[lines.Series], width: float | None = None) -> Figure:
    """The figure."""
    return lines.draw(series, "evaluations of f a row", "gradient variance w.r.t. q", "log", True, width)


def plots(summary: Summary) -> Iterator[Plot]:
    """One plot a problem on which some estimator was measured at two budgets."""
    for heading, rows in sections(summary.variance):
        drawn = _drawable(rows)
        if len(drawn):
            said, series = words(heading, rows, summary), _series(drawn, summary.styles)
            drawing, wide = partial(draw, series, summary.width), lines.wide([s.style for s in series], summary.width)
            yield Plot(f"budget-{slug(heading)}", heading, said.caption, drawing, wide, said.notes)
