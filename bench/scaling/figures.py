"""Cost against size on logarithmic axes: a figure a factor and quantity, made of the measurements alone."""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
from matplotlib.figure import Figure

from bench.report.figures.canvas import (
    COLUMN,
    LINE,
    Entry,
    Plot,
    blank,
    key,
    key_width,
    log_axis,
    log_limits,
    marker,
)
from bench.report.style import FAINT, assign
from bench.report.text import interval
from bench.scaling.fit import Row, rows
from bench.scaling.records import Scaling
from bench.scaling.words import caption

PANEL = COLUMN - 0.9
"""Inches from one axis to the end of the other; the key beside it makes the figure wider."""
_UNITS = {"seconds": (1e3, "milliseconds"), "bytes": (1e-6, "megabytes above the start")}


def plots(scaling: Scaling) -> Iterator[Plot]:
    """One plot a factor, and one more for its memory."""
    for record in scaling.factors:
        for quantity in ("seconds", "bytes"):
            chosen = [row for row in rows(scaling) if row.record is record and row.series.quantity == quantity]
            if chosen:
                name = record.factor if quantity == "seconds" else f"{record.factor}-memory"
                yield Plot(name, record.factor, caption(chosen), partial(draw, chosen))


def draw(chosen: Sequence[Row]) -> Figure:
    """The figure."""
    factor, unit = _UNITS[chosen[0].series.quantity]
    labels = [row.series.subject for row in chosen]
    styles = assign({"": set(labels)}, dict.fromkeys(labels, True))
    remarks = [f"\n{interval(*row.fit.exponent)}{' *' * row.fit.everything}" for row in chosen]
    beside = key_width(styles.values(), (remark.strip() for remark in remarks))
    height = max(2.2, 2 * LINE * len(chosen) + 0.6)
    figure, (axes,) = blank(PANEL + 0.54 + beside, height, 0.54, beside)
    points = [point for row in chosen for point in row.series.points]
    ends = [factor * end for point in points for end in (point.q25, point.q75)]
    left, right = log_limits(point.size for point in points)
    bottom, top = log_limits((factor * point.median for point in points), ends)
    log_axis(axes, "x", left, right)
    log_axis(axes, "y", bottom, top)
    guide = np.array([left, right])
    for level in np.geomspace(bottom / right, top / left, 9)[1:-1]:
        axes.plot(guide, level * guide, color=FAINT, linewidth=0.5, linestyle=":", zorder=0)
    entries = []
    for row, remark in zip(chosen, remarks, strict=True):
        style, sizes = styles[row.series.subject], np.array([point.size for point in row.series.points])
        median, low, high = (
            factor * np.array([getattr(point, name) for point in row.series.points])
            for name in ("median", "q25", "q75")
        )
        axes.vlines(sizes, low, high, color=style.colour, linewidth=0.8)
        axes.plot(sizes, median, **marker(style, 3.4))
        fitted = np.array([row.fit.sizes[0], row.fit.sizes[-1]])
        axes.plot(fitted, [factor * row.fit.cost(size) for size in fitted], color=style.colour, linewidth=0.8)
        entries.append(Entry(style, float(median[-1]), remark))
    axes.set(xlabel=chosen[0].record.unit, ylabel=unit)
    key(axes, entries)
    return figure
