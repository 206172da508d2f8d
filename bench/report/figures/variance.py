"""Gradient variance by estimator at each point: a dot plot."""

from collections.abc import Iterator, Mapping
from functools import partial

import pandas as pd
from matplotlib.figure import Figure

from bench.report.figures import phrases
from bench.report.figures.canvas import Plot, log_axis, log_limits, sections
from bench.report.figures.dots import Rows, layout
from bench.report.style import Style
from bench.report.summary import Summary
from bench.report.text import slug


def caption(heading: str, rows: pd.DataFrame, summary: Summary) -> str:
    """What the figure shows, with its interval, method and n."""
    measured = rows[rows["measured"]]
    paler = "; paler dots are earlier points" if measured["position"].nunique() > 1 else ""
    still = measured[measured["noiseless"]]["label"].unique()
    names = ", ".join(summary.styles[str(label)].label for label in still)
    return phrases.join(
        "Variance (trace of the covariance) of the gradient with respect to q's parameters on "
        f"{phrases.problem(heading, rows)}{paler}.",
        phrases.fixed(measured),
        phrases.spread(measured, "Bars", "95 % jackknife interval on log variance"),
        phrases.BIASED if not measured["unbiased"].all() else "",
        f"No noise but rounding, marked 0 at the left edge: {names}." if names else "",
        phrases.rare(measured, summary.styles),
        phrases.heavy(measured, summary.styles),
        phrases.absent(rows, summary.styles),
    )


def draw(rows: pd.DataFrame, looks: Mapping[str, Style]) -> Figure:
    """The figure."""
    places = layout(rows, looks)
    plot = Rows(places.styles, places.points, "gradient variance w.r.t. q")
    noisy = rows[~rows["at_rounding"]]
    log_axis(plot.axes, "x", *log_limits(noisy["variance"], [*noisy["variance_low"], *noisy["variance_high"]]))
    columns = ("label", "position", "variance", "variance_low", "variance_high", "at_rounding", "noiseless")
    for label, position, estimate, low, high, at_rounding, noiseless in zip(
        *(rows[name] for name in columns), strict=True
    ):
        row, point = places.row[label], places.point[position]
        if at_rounding:
            plot.below(row, point, places.styles[row], 0, "0" if noiseless else "none drawn")
        else:
            plot.dot(row, point, places.styles[row], estimate, low, high)
    return plot.finished()


def plots(summary: Summary) -> Iterator[Plot]:
    """One plot a problem that is no sweep: that is read from its lines."""
    for heading, rows in sections(summary.variance):
        measured = rows[rows["measured"]]
        if len(measured) and (measured["step"].notna().any() or measured["position"].nunique() == 1):
            words = caption(heading, rows, summary)
            yield Plot(
                f"variance-{slug(heading)}",
                heading,
                words,
                partial(draw, measured, phrases.looks(rows, summary.styles)),
            )
