"""A row an estimator, a dot a point, earlier points paler: the frame of the variance and the bias figures."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.markers import CARETLEFT

from bench.report.figures.canvas import COLUMN, LINE, blank, text_width
from bench.report.figures.marks import Glyph, glyphs, strokes
from bench.report.style import FAINT, INK, Style, tint
from bench.report.text import wrap

TICK = Style("", "#777777", "|", unbiased=True)


class Layout(NamedTuple):
    """Which row and which point each measurement of a problem belongs to."""

    styles: list[Style]
    """The estimators from top to bottom."""
    points: list[str]
    """Names of the points, in order."""
    row: dict[str, int]
    """Of an estimator's label."""
    point: dict[float, int]
    """Of a point's position."""


def layout(rows: pd.DataFrame, looks: Mapping[str, Style]) -> Layout:
    """Estimators in the order of the rows, points by position."""
    labels = [str(label) for label in rows["label"].unique()]
    points = rows.drop_duplicates("position").sort_values("position")
    return Layout(
        [looks[label] for label in labels],
        list(points["point"]),
        {label: i for i, label in enumerate(labels)},
        {position: i for i, position in enumerate(points["position"])},
    )


class Rows:
    """A dot plot: rows from top to bottom, in each the dots of an estimator's points."""

    def __init__(self, styles: Sequence[Style], points: Sequence[str], xlabel: str, floor: str = "") -> None:
        """An empty plot.

        Args:
            styles: the estimators from top to bottom.
            points: names of the points, in order.
            xlabel: name of the horizontal axis, with its unit.
            floor: what a grey bar marks, named in the legend; empty where nothing.
        """
        names = [wrap(style.label) for style in styles]
        # Each row has room for its dots, or for its name where that takes several lines.
        dots = max(0.075 * len(points) + 0.05, 0.18)
        heights = [max(dots, LINE * (1 + name.count("\n")) + 0.05) for name in names]
        edges = np.concatenate([[0.0], np.cumsum(heights)])
        top = 0.24 if len(points) > 1 or floor else 0.08
        figure, (axes,) = blank(COLUMN, edges[-1] + top + 0.4, text_width(names) + 0.26, 0.12, 0.4, top)
        self.figure: Figure = figure
        self.axes: Axes = axes
        self.centres = (edges[1:] + edges[:-1]) / 2  # inches from the top
        self.strengths = np.linspace(0.45, 1, len(points)) if len(points) > 1 else np.ones(1)
        self.offsets = (np.arange(len(points)) - (len(points) - 1) / 2) * 0.075
        axes.set(ylim=(edges[-1], 0), xlabel=xlabel)
        axes.set_yticks([])
        width = axes.get_position().width * COLUMN
        across = axes.get_yaxis_transform()
        for name, centre in zip(names, self.centres, strict=True):  # a tick each would take ten times as long
            axes.text(-13 / 72 / width, centre, name, transform=across, ha="right", va="center_baseline")
        beside = [Glyph(-0.1 / width, centre, style, 3.6) for style, centre in zip(styles, self.centres, strict=True)]
        glyphs(axes, beside, transform=across, clip_on=False)
        strokes(axes, [[(0, edge), (1, edge)] for edge in edges[1:-1]], "#e8e8e8", 0.5, transform=across, zorder=0)
        self._legend(points if len(points) > 1 else (), floor)
        self._dots: list[Glyph] = []
        self._below: list[Glyph] = []
        self._bars: list[tuple[list[tuple[float, float]], str]] = []
        self._open: list[tuple[list[tuple[float, float]], str]] = []
        self._ticks: list[Glyph] = []

    def _legend(self, points: Sequence[str], floor: str) -> None:
        handles = [
            Line2D([], [], marker="o", linestyle="none", markersize=4, color=tint(INK, strength), label=point)
            for point, strength in zip(points, self.strengths, strict=False)
        ]
        if floor:
            handles.append(
                Line2D([], [], marker=TICK.marker, linestyle="none", markersize=5, color=TICK.colour, label=floor)
            )
        if handles:
            self.figure.legend(
                handles=handles, loc="upper right", ncols=len(handles), frameon=False, borderaxespad=0.1,
                columnspacing=0.9, handletextpad=0.0,
            )  # fmt: skip

    def dot(self, row: int, point: int, style: Style, x: float, low: float, high: float) -> None:
        """An estimate with its interval, clipped to the axis, whose limits must stand already."""
        left, right = self.axes.get_xlim()
        y = self.centres[row] + self.offsets[point]
        colour = tint(style.colour, float(self.strengths[point]))
        self._bars.append(([(max(low, left), y), (min(high, right), y)], colour))
        self._dots.append(Glyph(x, y, style, 3.6, colour))

    def below(self, row: int, point: int, style: Style, high: float, words: str) -> None:
        """A point with no place on a log axis: words at the left edge, or a bar up to the interval's end."""
        left, right = self.axes.get_xlim()
        y = self.centres[row] + self.offsets[point]
        colour = tint(style.colour, float(self.strengths[point]))
        if words:
            self.axes.annotate(
                words,
                (left, y),
                xytext=(3, 0),
                textcoords="offset points",
                va="center",
                color=colour,
                fontsize=6,
            )
            return
        end = min(max(high, left), right)
        self._open.append(([(left, y), (end, y)], colour))
        self._below.append(Glyph(left, y, style, 3.6, colour))

    def tick(self, row: int, point: int, x: float) -> None:
        """A grey bar across a row's dot."""
        if self.axes.get_xlim()[0] < x < self.axes.get_xlim()[1]:
            self._ticks.append(Glyph(x, self.centres[row] + self.offsets[point], TICK, 4.5))

    def finished(self) -> Figure:
        """The figure with all that was put into it, over faint lines at the ticks."""
        self.axes.grid(axis="x", color=FAINT, linewidth=0.3, alpha=0.6)
        self.axes.set_axisbelow(True)
        for bars, dash in ((self._bars, "solid"), (self._open, (0, (2, 1.5)))):
            strokes(self.axes, [bar for bar, _ in bars], [colour for _, colour in bars], 1.0, linestyles=[dash])
        glyphs(self.axes, self._ticks, zorder=1)
        glyphs(self.axes, self._dots)
        glyphs(self.axes, self._below, clip_on=False, marker=CARETLEFT)
        return self.figure
