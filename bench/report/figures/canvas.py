"""What all figures share: their size, logarithmic axes with plain numbers, and the key beside the data."""

import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.path import Path
from matplotlib.textpath import text_to_path

from bench.report import fonts
from bench.report.figures import marks
from bench.report.style import FAINT, FONT, Style
from bench.report.text import wrap

COLUMN, PAGE = 3.4, 7.0  # inches: one column of a paper, or its whole width
LINE = 1.3 * FONT / 72  # inches between the lines of a text


Drawn = TypeVar("Drawn")
CROWD = 30  # estimators; more of them need the whole width of a page beside their key


class Plot(NamedTuple):
    """A figure not drawn yet, with its caption."""

    name: str  # file name without its ending
    section: str  # the problem it shows
    caption: str
    draw: Callable[[], Figure]
    wide: bool = False
    notes: tuple[str, ...] = ()  # sentences on what limits its numbers, to be shown below on demand

    @property
    def said(self) -> str:
        """The caption and all notes."""
        return " ".join([self.caption, *self.notes])


class Entry(NamedTuple):
    """An estimator in the key beside a panel, at the height of its data."""

    style: Style
    y: float  # in data units
    remark: str = ""


def sections(frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """(heading, rows) of each problem, in the order of the table."""
    if not frame.empty:
        for heading, rows in frame.groupby("section", sort=False):
            yield str(heading), rows


def crowded(estimators: Sized) -> bool:
    """Whether a panel needs more than a column for so many estimators."""
    return len(estimators) > CROWD


def in_front(styles: Iterable[Style]) -> list[Style]:
    """Those that are named; the others are grey, behind them."""
    return [style for style in styles if not style.behind]


def backmost_first(drawn: Iterable[Drawn], style: Callable[[Drawn], Style]) -> list[Drawn]:
    """In an order in which what is grey is drawn first, and so lies behind."""
    return sorted(drawn, key=lambda one: not style(one).behind)


@lru_cache(maxsize=4096)
def _line_width(line: str) -> float:
    if not line:
        return 0.0
    # The width is cached, so it must not depend on a matplotlibrc: the font is given in full, and math is not parsed.
    vertices, codes = text_to_path.get_text_path(fonts.upright(fonts.families(), FONT), line, ismath=False)
    # Outlines have a node at each extreme, so that the nodes give the width without solving for extremes of the curves.
    across = np.ptp(np.asarray(vertices)[np.asarray(codes) != Path.CLOSEPOLY, 0])
    return float(across) * FONT / text_to_path.FONT_SCALE / 72


def text_width(texts: Iterable[str]) -> float:
    """Width in inches of the widest line of some texts."""
    return max((_line_width(line) for text in texts for line in text.split("\n")), default=0.0)


def blank(
    width: float,
    height: float,
    left: float,
    right: float,
    bottom: float = 0.36,
    top: float = 0.08,
    panels: int = 1,
    gap: float = 0.12,
    stacked: bool = False,
) -> tuple[Figure, list[Axes]]:
    """A figure with panels side by side, or stacked; all lengths in inches, so that nothing is laid out twice."""
    figure = Figure(figsize=(width, height))
    across, down = (1, panels) if stacked else (panels, 1)
    wide, tall = (width - left - right - gap * (across - 1)) / across, (height - bottom - top - gap * (down - 1)) / down
    axes = []
    for i in range(panels):
        x, y = left + i % across * (wide + gap), bottom + (down - 1 - i // across) * (tall + gap)
        axes.append(figure.add_axes((x / width, y / height, wide / width, tall / height)))
    for panel in axes:
        seaborn.despine(ax=panel)
    return figure, axes


def log_limits(values: Iterable[float], ends: Iterable[float] = (), pad: float = 0.06) -> tuple[float, float]:
    """Limits of a logarithmic axis that holds all values, and interval ends up to a decade further."""
    inner = [v for v in values if math.isfinite(v) and v > 0]
    if not inner:
        return 0.1, 10.0
    low, high = min(inner), max(inner)
    outer = [e for e in ends if math.isfinite(e) and low / 10 <= e <= high * 10]
    low, high = min([low, *outer]), max([high, *outer])
    margin = max(10 ** (pad * (math.log10(high) - math.log10(low))), 1.1)  # a ratio of both may overflow
    return max(low / margin, sys.float_info.min), min(high * margin, sys.float_info.max)


def _log_ticks(low: float, high: float) -> list[float]:
    span = math.log10(high / low)
    steps: tuple[float, ...] = (1,)
    if span < 0.5:
        steps = (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9)
    elif span < 1.3:
        steps = (1, 2, 5)
    elif span < 2.2:
        steps = (1, 3)
    stride = max(1, math.ceil(span / 6))
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [step * 10.0**k for k in decades if k % stride == 0 for step in steps]
    inside = [tick for tick in ticks if low <= tick <= high]
    return inside[:: math.ceil(len(inside) / 6)] if len(inside) > 6 else inside


def _tick_label(x: float) -> str:
    if 1e-3 <= x < 1e5:
        return f"{x:g}"
    mantissa, exponent = f"{x:.1e}".split("e")  # a tick has two digits at most
    return f"{float(mantissa):g}e{int(exponent)}"


def log_axis(axes: Axes, which: str, low: float, high: float) -> None:
    """Make one axis logarithmic with a handful of plainly written ticks."""
    ticks = _log_ticks(low, high)
    labels = [_tick_label(tick) for tick in ticks]
    if which == "x":
        axes.set(xscale="log", xlim=(low, high))
        axes.set_xticks(ticks, labels=labels)
    else:
        axes.set(yscale="log", ylim=(low, high))
        axes.set_yticks(ticks, labels=labels)
    axes.minorticks_off()


def key_width(styles: Iterable[Style], remarks: Iterable[str] = ()) -> float:
    """Inches that the key needs beside a panel."""
    return text_width([*(wrap(style.label) for style in in_front(styles)), *remarks]) + 0.32


def key_height(styles: Iterable[Style]) -> float:
    """Inches that the key needs along a panel."""
    return sum(LINE * (1 + wrap(style.label).count("\n")) for style in in_front(styles))


def _apart(wanted: Sequence[float], sizes: Sequence[float], top: float) -> list[float]:
    """Ascending heights in [0, top], near the wanted ones, at which texts of these sizes do not touch."""
    placed: list[float] = []
    for i, y in enumerate(wanted):
        nearest = placed[-1] + (sizes[i - 1] + sizes[i]) / 2 if placed else sizes[0] / 2
        placed.append(max(y, nearest))
    ceiling = top
    for i in reversed(range(len(placed))):
        placed[i] = min(placed[i], ceiling - sizes[i] / 2)
        ceiling = placed[i] - sizes[i] / 2
    return placed


def key(axes: Axes, entries: Sequence[Entry], tied: bool = True) -> None:
    """Name the estimators to the right of a panel, each near the height of its data.

    The limits of the panel must stand already. Tied: a thin line joins each name to the end of its curve. What is grey
    stays unnamed.
    """
    entries = [entry for entry in entries if not entry.style.behind]
    box = axes.get_position()
    figure = axes.get_figure(root=True)
    assert figure is not None
    width, height = box.width * figure.get_figwidth(), box.height * figure.get_figheight()  # inches
    to_axes = axes.transData + axes.transAxes.inverted()
    x = axes.get_xlim()[1]
    at = [float(np.clip(to_axes.transform((x, entry.y))[1], 0, 1)) * height for entry in entries]
    order = sorted(range(len(entries)), key=lambda i: at[i])
    names = [wrap(entries[i].style.label) + entries[i].remark for i in order]
    placed = _apart([at[i] for i in order], [LINE * (1 + name.count("\n")) for name in names], height)
    places = [place / height for place in placed]
    if tied:
        left, right = 1 + 0.02 / width, 1 + 0.12 / width
        ties = [[(left, at[i] / height), (right, y)] for i, y in zip(order, places, strict=True)]
        marks.strokes(axes, ties, FAINT, 0.5, transform=axes.transAxes, clip_on=False)
    beside = [marks.Glyph(1 + 0.18 / width, y, entries[i].style) for i, y in zip(order, places, strict=True)]
    marks.glyphs(axes, beside, transform=axes.transAxes, clip_on=False)
    for name, y in zip(names, places, strict=True):
        axes.text(1 + 0.26 / width, y, name, transform=axes.transAxes, va="center", linespacing=1.0)


def marker(style: Style, size: float = 4.0, colour: str | None = None) -> dict[str, Any]:
    """Keywords of `Axes.plot` for the marker of an estimator; hollow where it is declared biased."""
    edge = colour or style.colour
    return {
        "marker": style.marker,
        "markersize": marks.size_of(style.marker, size),
        "markerfacecolor": edge if style.unbiased else "#ffffff",
        "markeredgecolor": edge,
        "markeredgewidth": marks.EDGE,
        "color": edge,
        "linestyle": "none",
    }
