"""A line an estimator with a band for its interval, on a log scale: the frame of trajectories and sweeps."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bench.report.figures.canvas import (
    COLUMN,
    Entry,
    blank,
    key,
    key_height,
    key_width,
    log_axis,
    log_limits,
    marker,
)
from bench.report.style import FAINT, Style

Values = NDArray[np.float64]


class Series(NamedTuple):
    """One estimator's line; all arrays `[points]`, `y` positive or NaN."""

    style: Style
    x: Values
    y: Values
    low: Values
    high: Values


def draw(series: Sequence[Series], xlabel: str, ylabel: str, spacing: str) -> Figure:
    """The figure, with a key to its right.

    Args:
        series: lines with at least one positive value each.
        xlabel, ylabel: names of the axes, with their units.
        spacing: `linear`, `log`, or `steps` (logarithmic with room for step 0).
    """
    styles = [line.style for line in series]
    height = max(2.2, key_height(styles) + 0.5)
    figure, (axes,) = blank(COLUMN, height, 0.54, key_width(styles))
    places = sorted({float(x) for line in series for x in line.x})
    log_axis(axes, "y", *log_limits(
        [y for line in series for y in line.y], [e for line in series for e in (*line.low, *line.high)]
    ))  # fmt: skip
    if spacing == "steps" and any(x > 0 for x in places):
        axes.set_xscale("symlog", linthresh=min(x for x in places if x > 0))
    elif spacing == "log":
        axes.set_xscale("log")
    axes.set_xticks(places, labels=[f"{x:g}" for x in places])
    axes.minorticks_off()
    axes.grid(axis="y", color=FAINT, linewidth=0.3, alpha=0.6)
    bottom, top = axes.get_ylim()
    for line in series:
        low, high = np.clip(line.low, bottom, top), np.clip(line.high, bottom, top)
        axes.fill_between(line.x, low, high, color=line.style.colour, alpha=0.15, linewidth=0)
        axes.plot(line.x, line.y, **{**marker(line.style, 3.4), "linestyle": "-", "linewidth": 0.9})
    axes.set(xlabel=xlabel, ylabel=ylabel)
    key(axes, [Entry(line.style, float(line.y[np.isfinite(line.y)][-1])) for line in series])
    return figure
