"""Variance against the time of a step, with the Pareto front of the unbiased estimators."""

from collections.abc import Iterator
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bench.report.figures import phrases
from bench.report.figures.canvas import (
    COLUMN,
    Entry,
    Plot,
    blank,
    key,
    key_height,
    key_width,
    log_axis,
    log_limits,
    marker,
    sections,
)
from bench.report.style import FAINT
from bench.report.summary import Summary
from bench.report.text import slug, spread


def _drawable(rows: pd.DataFrame) -> pd.DataFrame:
    """Cells with both a time and a variance above rounding."""
    return rows[rows["measured"] & (rows["variance"] > 0) & ~rows["quiet"]]


def front(rows: pd.DataFrame) -> pd.DataFrame:
    """The unbiased estimators that no other unbiased one beats in both time and variance, fastest first."""
    ordered = rows[rows["unbiased"]].sort_values(["cost_seconds", "variance"])
    best = ordered["variance"].cummin()
    return ordered[(ordered["variance"] == best) & ~best.duplicated()]


def caption(heading: str, rows: pd.DataFrame, summary: Summary) -> str:
    """What the figure shows, with its intervals, methods and n."""
    drawn = _drawable(rows)
    rounds = spread(drawn["step_n"].min(), drawn["step_n"].max())
    point = " or ".join(sorted({str(p) for p in drawn["variance_point"]}))
    left_out = rows[rows["measured"] & ~rows.index.isin(drawn.index)]["label"]
    names = ", ".join(summary.styles[str(label)].label for label in left_out)
    return phrases.join(
        f"Gradient variance with respect to q at {point} against the time of one training step, on "
        f"{phrases.problem(heading, rows)}; lower left is better. The time is the ratio to the floor timed beside it, "
        "times the median floor of all estimators with as many decoder rows.",
        f"Horizontal bars: interquartile range of {rounds} rounds. Vertical bars: 95 % jackknife interval on "
        f"log variance, {phrases.draws(drawn)}.",
        "Dashed: Pareto front of the unbiased estimators alone. Dotted: equal variance x seconds.",
        phrases.BIASED + " They hold no place on the front, since a variance says nothing of a bias."
        if not drawn["unbiased"].all()
        else "",
        f"Not shown, no variance measured or none but rounding: {names}." if names else "",
        phrases.absent(rows, summary.styles),
    )


def draw(rows: pd.DataFrame, summary: Summary) -> Figure:
    """The figure."""
    styles = [summary.styles[str(label)] for label in rows["label"]]
    figure, (axes,) = blank(COLUMN, max(2.2, key_height(styles) + 0.5), 0.54, key_width(styles))
    milliseconds = {name: 1e3 * rows[name].to_numpy(dtype=np.float64) for name in
                    ("cost_seconds", "cost_seconds_low", "cost_seconds_high")}  # fmt: skip
    left, right = log_limits(milliseconds["cost_seconds"], np.concatenate(list(milliseconds.values())), pad=0.1)
    bottom, top = log_limits(rows["variance"], [*rows["variance_low"], *rows["variance_high"]])
    log_axis(axes, "x", left, right)
    log_axis(axes, "y", bottom, top)
    times = np.array([left, right])
    for level in np.geomspace(left * bottom, right * top, 7)[1:-1]:
        axes.plot(times, level / times, color=FAINT, linewidth=0.5, linestyle=":", zorder=0)
    edge = front(rows)
    if len(edge):
        x, y = 1e3 * edge["cost_seconds"].to_numpy(np.float64), edge["variance"].to_numpy(np.float64)
        axes.step([*x, right], [*y, y[-1]], where="post", color="#666666", linewidth=0.8, linestyle="--", zorder=1)
    columns = zip(
        styles,
        *milliseconds.values(),
        rows["variance"],
        rows["variance_low"],
        rows["variance_high"],
        strict=True,
    )
    for style, x, x_low, x_high, y, y_low, y_high in columns:
        axes.plot([x_low, x_high], [y, y], color=style.colour, linewidth=0.8, zorder=2)
        axes.plot([x, x], [max(y_low, bottom), min(y_high, top)], color=style.colour, linewidth=0.8, zorder=2)
        axes.plot([x], [y], zorder=3, **marker(style, 4.2))
    axes.set(xlabel="time of a training step, ms", ylabel="gradient variance w.r.t. q")
    key(axes, [Entry(style, float(y)) for style, y in zip(styles, rows["variance"], strict=True)], tied=False)
    return figure


def plots(summary: Summary) -> Iterator[Plot]:
    """One plot a problem with at least two estimators timed and measured."""
    for heading, rows in sections(summary.time):
        drawn = _drawable(rows)
        if len(drawn) > 1:
            words = caption(heading, rows, summary)
            yield Plot(f"efficiency-{slug(heading)}", heading, words, partial(draw, drawn, summary))
