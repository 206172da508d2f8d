"""Gradient variance against evaluations of f: a line an estimator."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bench.report.figures import lines, phrases
from bench.report.figures.canvas import Plot, crowded, sections
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


def _series(rows: pd.DataFrame, looks: Mapping[str, Style]) -> list[lines.Series]:
    """A line an estimator, that looks as it does at its least budget."""
    series = []
    for one, group in rows.groupby("one", sort=False):
        line = group.sort_values("budget")
        first = looks[str(line["label"].iloc[0])]
        style = first._replace(label=str(one) if first.unbiased else f"{one} {DAGGER}")
        x, y, low, high = (
            line[name].to_numpy(np.float64) for name in ("budget", "variance", "variance_low", "variance_high")
        )
        series.append(lines.Series(style, x, y, low, high, line["exact"].to_numpy(np.bool_)))
    return series


def caption(heading: str, rows: pd.DataFrame, summary: Summary) -> str:
    """What the figure shows, with its interval, method and n."""
    drawn = _drawable(rows)
    point = str(drawn["point"].iloc[0])
    place = f", at {point}" if point else ""
    return phrases.join(
        "Variance (trace of the covariance) of the gradient with respect to q's parameters against the evaluations of "
        f"f a row that an estimator spends, on {phrases.problem(heading, rows, budgets=False)}{place}.",
        phrases.fixed(drawn),
        phrases.spread(drawn, "Bands", "95 % jackknife interval on log variance"),
        "Dotted: equal variance x evaluations, and so equal efficiency per evaluation, 1 / (variance x evaluations): "
        "the lower dotted line is the better one. Along them falls what gains from more samples no more than from "
        "averaging more calls; what falls more steeply gains more.",
        phrases.BIASED if not drawn["unbiased"].all() else "",
        phrases.rare(drawn, summary.styles),
        phrases.heavy(drawn, summary.styles),
    )


def draw(series: Sequence[lines.Series]) -> Figure:
    """The figure."""
    return lines.draw(series, "evaluations of f a row", "gradient variance w.r.t. q", "log", reciprocal=True)


def plots(summary: Summary) -> Iterator[Plot]:
    """One plot a problem on which some estimator was measured at two budgets."""
    for heading, rows in sections(summary.variance):
        drawn = _drawable(rows)
        if len(drawn):
            words = caption(heading, rows, summary)
            series = _series(drawn, summary.styles)
            yield Plot(f"budget-{slug(heading)}", heading, words, partial(draw, series), crowded(series))
