"""Estimator variance over minibatch variance, of the encoder's weights, at each point: a dot plot."""

from collections.abc import Iterator, Mapping
from functools import partial

import pandas as pd
from matplotlib.figure import Figure

from bench.report.figures import phrases
from bench.report.figures.canvas import Plot, sections
from bench.report.figures.dots import Rows, layout, spreads
from bench.report.style import INK, Style
from bench.report.summary import Summary
from bench.report.tables.view import ends
from bench.report.text import interval, slug


def _drawable(rows: pd.DataFrame) -> pd.DataFrame:
    """Points with an encoder, least noise at the last of them first."""
    known = rows[rows["measured"] & rows["noise_ratio"].notna()]
    last = known[known["position"] == known["position"].max()].groupby("label")["noise_ratio"].min()
    order = known["label"].map(last).fillna(float("inf"))
    return known.loc[order.sort_values(kind="stable").index]


def words(heading: str, rows: pd.DataFrame, summary: Summary) -> phrases.Words:
    """What the figure shows, with its interval, method and n, and what limits it."""
    drawn = _drawable(rows)
    each = drawn.sort_values("position").drop_duplicates("position")
    columns = (each[name] for name in ("point", *ends("minibatch_variance")))
    minibatch = ", ".join(f"{interval(*values)} at {point}" for point, *values in zip(*columns, strict=True))
    still = drawn[drawn["noise_ratio"] == 0]["label"].unique()
    names = phrases.names(still, summary.styles)
    paler = "; paler dots are earlier points" if len(each) > 1 else ""
    return phrases.words(
        (
            "Estimator's over minibatch's variance of the encoder's gradient on "
            f"{phrases.problem(heading, rows)}{paler}. Line: 1.",
            phrases.spread(drawn, "Bars", "95 % jackknife interval on the log ratio"),
            phrases.marked(drawn, summary.styles),
        ),
        (
            phrases.fixed(drawn),
            phrases.spent(rows),
            phrases.exactly(drawn),
            f"Minibatch variance: {minibatch}; the interval of the ratio is over draws and rows.",
            f"No noise but rounding, marked 0 at the left edge: {names}." if names else "",
            phrases.rare(drawn, summary.styles),
        ),
    )


def draw(rows: pd.DataFrame, looks: Mapping[str, Style], width: float | None = None) -> Figure:
    """The figure."""
    places = layout(rows, looks)
    plot = Rows(places.styles, places.points, "estimator / minibatch variance", width=width)
    noisy = rows[rows["noise_ratio"] > 0]
    plot.log_axis([1.0, *noisy["noise_ratio"]], [*noisy["noise_ratio_low"], *noisy["noise_ratio_high"]])
    for panel in plot.panels:
        panel.axvline(1.0, color=INK, linewidth=0.6, zorder=0.5)
    columns = ("label", "position", *ends("noise_ratio"))
    for label, position, estimate, low, high in zip(*(rows[name] for name in columns), strict=True):
        row, point = places.row[label], places.point[position]
        if estimate > 0:
            plot.dot(row, point, places.styles[row], estimate, low, high)
        else:
            plot.below(row, point, places.styles[row], 0, "0")
    return plot.finished()


def plots(summary: Summary) -> Iterator[Plot]:
    """One plot a problem with an encoder whose rows vary."""
    for heading, rows in sections(summary.variance):
        drawn = _drawable(rows)
        if (drawn["noise_ratio"] > 0).any():
            said = words(heading, rows, summary)
            looks = phrases.looks(rows, summary.styles)
            drawing = partial(draw, drawn, looks, summary.width)
            wide = spreads(drawn["label"].nunique(), summary.width)
            yield Plot(f"total-{slug(heading)}", heading, said.caption, drawing, wide, said.notes)
