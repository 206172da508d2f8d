"""A line an estimator with a band for its interval, on a log scale: the frame of trajectories and sweeps."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bench.report.figures import marks
from bench.report.figures.canvas import (
    COLUMN,
    PAGE,
    Entry,
    backmost_first,
    blank,
    crowded,
    in_front,
    key,
    key_height,
    key_width,
    log_axis,
    log_limits,
    text_width,
)
from bench.report.style import FAINT, Style

Values = NDArray[np.float64]


class Series(NamedTuple):
    """One estimator's line; all arrays `[points]`, `y` positive or NaN; what is exact has no `low` and `high`."""

    style: Style
    x: Values
    y: Values
    low: Values
    high: Values
    exact: NDArray[np.bool_] | None = None
    """Which of the points are exact; None where none is."""


def _strokes(series: Sequence[Series]) -> dict[str, list[tuple[Values, str]]]:
    """Lines by their style, with their colours; beside exact points, a line to or from a sampled one is dashed."""
    mixed = any(line.exact is not None and line.exact.any() for line in series)
    drawn: dict[str, list[tuple[Values, str]]] = {"solid": [], "dashed": []}
    for line in series:
        points, colour = np.column_stack([line.x, line.y]), line.style.colour
        if not mixed or line.exact is None or line.exact.all():
            drawn["solid"].append((points, colour))
            continue
        for i in range(len(points) - 1):
            drawn["solid" if line.exact[i : i + 2].all() else "dashed"].append((points[i : i + 2], colour))
    return drawn


def wide(styles: Sequence[Style], width: float | None) -> bool:
    """Whether such a figure takes a whole page, of a width that was asked for or by itself."""
    return width > COLUMN if width else crowded(in_front(styles))


GAP = 0.06
"""Inches between two labels of an axis, without which 1000 and 5000 read as one number."""


def _legible(axes: Axes, places: Sequence[float]) -> list[str]:
    """A label for each place, from the last on, and none where no gap would be left before the one after it."""
    to_inches, end = axes.transData + axes.figure.dpi_scale_trans.inverted(), math.inf
    labels = []
    for x in reversed(places):
        label = f"{x:g}"
        middle, half = float(to_inches.transform((x, axes.get_ylim()[0]))[0]), text_width([label]) / 2
        if middle + half + GAP > end:
            label = ""
        else:
            end = middle - half
        labels.append(label)
    return labels[::-1]


def draw(
    series: Sequence[Series],
    xlabel: str,
    ylabel: str,
    spacing: str,
    reciprocal: bool = False,
    width: float | None = None,
) -> Figure:
    """The figure, with a key to its right.

    Args:
        series: lines with at least one positive value each.
        xlabel, ylabel: names of the axes, with their units.
        spacing: `linear`, `log`, or `steps` (logarithmic with room for step 0).
        reciprocal: whether faint dotted lines show where y falls as 1 / x.
        width: inches; None for a column, or a page where there are many names.
    """
    series = backmost_first(series, lambda line: line.style)
    styles = [line.style for line in series]
    height = max(2.2, key_height(styles) + 0.5)
    figure, (axes,) = blank(width or (PAGE if wide(styles, None) else COLUMN), height, 0.54, key_width(styles))
    places = sorted({float(x) for line in series for x in line.x})
    log_axis(axes, "y", *log_limits(
        [y for line in series for y in line.y], [e for line in series for e in (*line.low, *line.high)]
    ))  # fmt: skip
    if spacing == "steps" and any(x > 0 for x in places):
        axes.set_xscale("symlog", linthresh=min(x for x in places if x > 0))
    elif spacing == "log":
        axes.set_xscale("log")
    axes.minorticks_off()
    axes.grid(axis="y", color=FAINT, linewidth=0.3, alpha=0.6)
    bottom, top = axes.get_ylim()
    front = [line for line in series if not line.style.behind]
    ends = [(line.x, np.clip(line.low, bottom, top), np.clip(line.high, bottom, top)) for line in front]
    marks.bands(axes, ends, [line.style.colour for line in front])
    for style, strokes in _strokes(series).items():
        marks.strokes(
            axes, [points for points, _ in strokes], [colour for _, colour in strokes], 0.9, linestyles=[style]
        )
    marks.glyphs(
        axes, [marks.Glyph(x, y, line.style, 3.4) for line in front for x, y in zip(line.x, line.y, strict=True)]
    )
    if reciprocal:
        across = np.array([places[0], places[-1]])
        for level in np.geomspace(bottom * across[0], top * across[1], 9)[1:-1]:
            axes.plot(across, level / across, color=FAINT, linewidth=0.5, linestyle=":", zorder=0)
        axes.set_ylim(bottom, top)
    axes.update_datalim([(places[0], bottom), (places[-1], top)])
    axes.autoscale_view(scaley=False)
    axes.set_xticks(places, labels=_legible(axes, places))
    axes.set(xlabel=xlabel, ylabel=ylabel)
    key(axes, [Entry(line.style, float(line.y[np.isfinite(line.y)][-1])) for line in series])
    return figure
