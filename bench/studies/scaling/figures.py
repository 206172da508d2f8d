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
from bench.report.style import FAINT, Subject, assign
from bench.report.text import interval
from bench.studies.scaling.fit import Series
from bench.studies.scaling.page import caption

PANEL = COLUMN - 0.9
"""Inches from one axis to the end of the other; the key beside it makes the figure wider."""
_UNITS = {"seconds": (1e3, "milliseconds"), "bytes": (1e-6, "megabytes above the start")}


def plots(table: Sequence[Series]) -> Iterator[Plot]:
    """One plot a factor, and one more for its memory."""
    for name in dict.fromkeys(one.run.name for one in table):
        for quantity, ending in (("seconds", ""), ("bytes", "-memory")):
            chosen = [one for one in table if one.run.name == name and one.quantity == quantity]
            if chosen:
                yield Plot(name + ending, name, caption(chosen), partial(draw, chosen))


def draw(chosen: Sequence[Series]) -> Figure:
    """The figure."""
    factor, unit = _UNITS[chosen[0].quantity]
    labels = [one.case["subject"] for one in chosen]
    styles = assign({label: Subject(label) for label in labels})
    remarks = [f"\n{interval(*one.fit.exponent)}{' *' * one.fit.everything}" for one in chosen]
    beside = key_width(styles.values(), (remark.strip() for remark in remarks))
    height = max(2.2, 2 * LINE * len(chosen) + 0.6)
    figure, (axes,) = blank(PANEL + 0.54 + beside, height, 0.54, beside)
    # sizes, and below them medians and quartiles: an array [4, points] a subject
    curves = [
        np.array([(p.case["size"], factor * p.value, factor * p.low, factor * p.high) for p in one.points]).T
        for one in chosen
    ]
    sizes, medians, *ends = np.concatenate(curves, axis=1)
    left, right = log_limits(sizes)
    bottom, top = log_limits(medians, np.concatenate(ends))
    log_axis(axes, "x", left, right)
    log_axis(axes, "y", bottom, top)
    guide = np.array([left, right])
    for level in np.geomspace(bottom / right, top / left, 9)[1:-1]:
        axes.plot(guide, level * guide, color=FAINT, linewidth=0.5, linestyle=":", zorder=0)
    entries = []
    for one, remark, (size, median, low, high) in zip(chosen, remarks, curves, strict=True):
        style = styles[one.case["subject"]]
        axes.vlines(size, low, high, color=style.colour, linewidth=0.8)
        axes.plot(size, median, **marker(style, 3.4))
        fitted = np.array([one.fit.sizes[0], one.fit.sizes[-1]])
        axes.plot(fitted, [factor * one.fit.cost(end) for end in fitted], color=style.colour, linewidth=0.8)
        entries.append(Entry(style, float(median[-1]), remark))
    axes.set(xlabel=chosen[0].run.about["unit"], ylabel=unit)
    key(axes, entries)
    return figure
