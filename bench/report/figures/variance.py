"""Gradient variance by estimator at each point: a dot plot."""

from collections.abc import Iterator, Mapping
from functools import partial

import pandas as pd
from matplotlib.figure import Figure

from bench.report.figures import phrases
from bench.report.figures.canvas import Plot, sections
from bench.report.figures.dots import Rows, layout, spreads
from bench.report.style import Style
from bench.report.summary import Summary
from bench.report.text import slug


def words(heading: str, rows: pd.DataFrame, summary: Summary) -> phrases.Words:
    """What the figure shows, with its interval, method and n, and what limits it."""
    measured = rows[rows["measured"]]
    paler = "; paler dots are earlier points" if measured["position"].nunique() > 1 else ""
    still = measured[measured["noiseless"]]["label"].unique()
    names = phrases.names(still, summary.styles)
    return phrases.words(
        (
            f"Variance of the gradient with respect to q's parameters on {phrases.problem(heading, rows)}{paler}.",
            phrases.spread(measured, "Bars", "95 % jackknife interval on log variance"),
            phrases.marked(measured, summary.styles),
        ),
        (
            phrases.fixed(measured),
            phrases.spent(rows),
            phrases.exactly(measured),
            f"No noise but rounding, marked 0 at the left edge: {names}." if names else "",
            phrases.rare(measured, summary.styles),
            phrases.heavy(measured, summary.styles),
            phrases.absent(rows, summary.styles),
        ),
    )


def draw(rows: pd.DataFrame, looks: Mapping[str, Style], width: float | None = None) -> Figure:
    """The figure."""
    places = layout(rows, looks)
    plot = Rows(places.styles, places.points, "gradient variance w.r.t. q", width=width)
    noisy = rows[~rows["at_rounding"]]
    plot.log_axis(noisy["variance"], [*noisy["variance_low"], *noisy["variance_high"]])
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
            said = words(heading, rows, summary)
            looks = phrases.looks(rows, summary.styles)
            drawing = partial(draw, measured, looks, summary.width)
            wide = spreads(measured["label"].nunique(), summary.width)
            yield Plot(f"variance-{slug(heading)}", heading, said.caption, drawing, wide, said.notes)
