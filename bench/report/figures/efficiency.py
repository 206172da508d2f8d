"""Variance against the time of a step, with the Pareto front of the unbiased estimators."""

from collections.abc import Iterator, Mapping
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bench.report.figures import marks, phrases
from bench.report.figures.canvas import (
    COLUMN,
    PAGE,
    Entry,
    Plot,
    backmost_first,
    blank,
    key,
    key_height,
    key_width,
    log_axis,
    log_limits,
    sections,
)
from bench.report.figures.lines import wide
from bench.report.style import FAINT, Style
from bench.report.summary import Summary
from bench.report.tables.view import ends
from bench.report.text import slug, span


def _drawable(rows: pd.DataFrame) -> pd.DataFrame:
    """Cells with both a time and a variance above rounding."""
    return rows[rows["measured"] & (rows["cost_seconds"] > 0) & (rows["variance"] > 0) & ~rows["at_rounding"]]


def front(rows: pd.DataFrame) -> pd.DataFrame:
    """The unbiased estimators that no other unbiased one beats in both time and variance, fastest first.

    What was timed on a busy machine is left out: its time holds that of other programs.
    """
    ordered = rows[rows["unbiased"] & ~rows["busy"]].sort_values(["cost_seconds", "variance"])
    best = ordered["variance"].cummin()
    return ordered[(ordered["variance"] == best) & ~best.duplicated()]


def words(heading: str, rows: pd.DataFrame, summary: Summary) -> phrases.Words:
    """What the figure shows, with its intervals, methods and n, and what limits it."""
    drawn = _drawable(rows)
    rounds = span(drawn["step_n"].min(), drawn["step_n"].max())
    points = " or ".join(sorted({str(p) for p in drawn["variance_point"]} - {""}))
    place = f" at {points}" if points else ""
    left_out = rows[rows["measured"] & rows["cost_seconds"].notna() & ~rows.index.isin(drawn.index)]["label"]
    names = phrases.names(left_out, summary.styles)
    return phrases.words(
        (
            f"Gradient variance{place} against the time of a step on {phrases.problem(heading, rows)}.",
            f"Bars: interquartile range of {rounds} rounds, and "
            f"{phrases.method(drawn, '95 % jackknife interval on log variance')}, {phrases.draws(drawn)}.",
            "Dashed: front of the unbiased.",
            phrases.marked(drawn, summary.styles),
        ),
        (
            f"Time at {batch}." if (batch := phrases.batch(drawn).removeprefix(", ")) else "",
            phrases.spent(rows),
            phrases.busy(drawn, summary.styles, ", and so without a place on the front"),
            f"Not shown, no variance measured or none but rounding: {names}." if names else "",
            phrases.bare(rows, summary.styles),
            phrases.absent(rows, summary.styles),
        ),
    )


def draw(rows: pd.DataFrame, looks: Mapping[str, Style], width: float | None = None) -> Figure:
    """The figure."""
    styles = [looks[str(label)] for label in rows["label"]]
    figure, (axes,) = blank(
        width or (PAGE if wide(styles, None) else COLUMN), max(2.2, key_height(styles) + 0.5), 0.54, key_width(styles)
    )
    x, x_low, x_high = (1e3 * rows[name].to_numpy(np.float64) for name in ends("cost_seconds"))
    y, y_low, y_high = (rows[name].to_numpy(np.float64) for name in ends("variance"))
    left, right = log_limits(x, np.concatenate([x, x_low, x_high]), pad=0.1)
    bottom, top = log_limits(y, np.concatenate([y_low, y_high]))
    log_axis(axes, "x", left, right)
    log_axis(axes, "y", bottom, top)
    times = np.array([left, right])
    for level in np.geomspace(left * bottom, right * top, 7)[1:-1]:
        axes.plot(times, level / times, color=FAINT, linewidth=0.5, linestyle=":", zorder=0)
    edge = front(rows)
    if len(edge):
        times, levels = 1e3 * edge["cost_seconds"].to_numpy(np.float64), edge["variance"].to_numpy(np.float64)
        corners = ([*times, right], [*levels, levels[-1]])
        axes.step(*corners, where="post", color="#666666", linewidth=0.8, linestyle="--", zorder=1)
    across = [[(low, at), (high, at)] for low, high, at in zip(x_low, x_high, y, strict=True)]
    clipped = zip(np.maximum(y_low, bottom), np.minimum(y_high, top), x, strict=True)
    tall = [[(at, low), (at, high)] for low, high, at in clipped]
    bars = [(bar, style) for bar, style in zip([*across, *tall], 2 * styles, strict=True) if not style.behind]
    marks.strokes(axes, [bar for bar, _ in bars], [style.colour for _, style in bars], 0.8)
    places = backmost_first(zip(x, y, styles, strict=True), lambda place: place[2])
    marks.glyphs(axes, [marks.Glyph(*place, 2.8 if place[2].behind else 4.2) for place in places])
    axes.set(xlabel="time of a training step, ms", ylabel="gradient variance w.r.t. q")
    key(axes, [Entry(style, float(y)) for style, y in zip(styles, y, strict=True)], tied=False)
    return figure


def plots(summary: Summary) -> Iterator[Plot]:
    """One plot a problem with at least two estimators timed and measured."""
    for heading, rows in sections(summary.time):
        drawn = _drawable(rows)
        if len(drawn) > 1:
            said, looks = words(heading, rows, summary), phrases.looks(rows, summary.styles)
            drawing = partial(draw, drawn, looks, summary.width)
            is_wide = wide([looks[str(label)] for label in drawn["label"]], summary.width)
            yield Plot(f"efficiency-{slug(heading)}", heading, said.caption, drawing, is_wide, said.notes)
