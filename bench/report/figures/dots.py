"""A row an estimator, a dot a point, earlier points paler: the frame of the variance and the bias figures."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.markers import CARETLEFT
from numpy.typing import NDArray

from bench.report.figures.canvas import COLUMN, CROWD, LINE, PAGE, blank, in_front, log_axis, log_limits, text_width
from bench.report.figures.marks import Glyph, glyphs, strokes
from bench.report.style import BEHIND, FAINT, INK, Style, tint
from bench.report.text import wrap

TICK = Style("", "#777777", "|", unbiased=True)
OTHERS = Style("others", BEHIND, "o", unbiased=True, behind=True)
"""Of the row of all that a person did not choose."""


def spreads(count: int, width: float | None) -> bool:
    """Whether so many rows take a whole page, of a width that was asked for or by themselves."""
    return width > COLUMN if width else count > CROWD


def in_rows(labels: Iterable[str], looks: Mapping[str, Style]) -> tuple[list[Style], dict[str, int]]:
    """The style of each row, and the row of each estimator; what is grey shares the last."""
    labels = list(labels)
    front = [label for label in labels if not looks[label].behind]
    rows = {label: i for i, label in enumerate(front)}
    styles = [looks[label] for label in front]
    if len(front) < len(labels):
        styles.append(OTHERS)
    return styles, {label: rows.get(label, len(front)) for label in labels}


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
    styles, row = in_rows(map(str, rows["label"].unique()), looks)
    points = rows.drop_duplicates("position").sort_values("position")
    return Layout(styles, list(points["point"]), row, {position: i for i, position in enumerate(points["position"])})


class _Panel:
    """Rows from top to bottom beside their names, and what is to be drawn into them."""

    def __init__(self, axes: Axes, centres: NDArray[np.float64]) -> None:
        self.axes = axes
        self.centres = centres
        """Inches from the top, one a row."""
        self.dots: list[Glyph] = []
        self.below: list[Glyph] = []
        self.bars: list[tuple[list[tuple[float, float]], str]] = []
        self.open: list[tuple[list[tuple[float, float]], str]] = []
        self.ticks: list[Glyph] = []


class Rows:
    """A dot plot: rows from top to bottom, in each the dots of an estimator's points; many take two panels."""

    def __init__(
        self,
        styles: Sequence[Style],
        points: Sequence[str],
        xlabel: str,
        floor: str = "",
        width: float | None = None,
    ) -> None:
        """An empty plot.

        Args:
            styles: the estimators from top to bottom.
            points: names of the points, in order.
            xlabel: name of the horizontal axis, with its unit.
            floor: what a grey bar marks, named in the legend; empty where nothing.
            width: inches; None for a column, or a page where there are many rows.
        """
        names = [wrap(style.label) for style in styles]
        width = width or (PAGE if spreads(len(in_front(styles)), None) else COLUMN)
        count = 2 if width > COLUMN and len(styles) > CROWD else 1
        split = -(-len(styles) // count)
        # Each row has room for its dots, or for its name where that takes several lines.
        dots = max(0.075 * len(points) + 0.05, 0.18)
        heights = np.array([max(dots, LINE * (1 + name.count("\n")) + 0.05) for name in names])
        edges = [np.concatenate([[0.0], np.cumsum(heights[i : i + split])]) for i in range(0, len(styles), split)]
        tallest = max(each[-1] for each in edges)
        top = 0.24 if len(points) > 1 or floor else 0.08
        beside = text_width(names) + 0.26
        figure, panels = blank(width, tallest + top + 0.4, beside, 0.12, 0.4, top, count, gap=beside + 0.12)
        self.figure: Figure = figure
        self._strengths = np.linspace(0.45, 1, len(points)) if len(points) > 1 else np.ones(1)
        self._offsets = (np.arange(len(points)) - (len(points) - 1) / 2) * 0.075
        self._split = split
        self._panels = []
        for i, (axes, own) in enumerate(zip(panels, edges, strict=True)):
            axes.set(ylim=(tallest, 0), xlabel=xlabel)
            axes.set_yticks([])
            self._panels.append(_Panel(axes, (own[1:] + own[:-1]) / 2))
            inches = axes.get_position().width * width
            across = axes.get_yaxis_transform()
            place = slice(i * split, (i + 1) * split)
            centres = self._panels[-1].centres
            for name, centre in zip(names[place], centres, strict=True):  # a tick each would take ten times as long
                axes.text(-13 / 72 / inches, centre, name, transform=across, ha="right", va="center_baseline")
            named = zip(styles[place], centres, strict=True)
            glyphs(axes, [Glyph(-0.1 / inches, y, style, 3.6) for style, y in named], transform=across, clip_on=False)
            strokes(axes, [[(0, edge), (1, edge)] for edge in own[1:-1]], "#e8e8e8", 0.5, transform=across, zorder=0)
        self._legend(points if len(points) > 1 else (), floor)

    @property
    def panels(self) -> list[Axes]:
        """The axes, of one panel or of two."""
        return [panel.axes for panel in self._panels]

    def log_axis(self, values: Iterable[float], ends: Iterable[float] = (), pad: float = 0.06) -> None:
        """A logarithmic axis of all panels that holds all values, and interval ends up to a decade further."""
        limits = log_limits(values, ends, pad)
        for panel in self.panels:
            log_axis(panel, "x", *limits)

    def _at(self, row: int, point: int) -> tuple[_Panel, float, float]:
        """The panel of a row, the height of a point in it, and the strength of its colour."""
        panel = self._panels[row // self._split]
        y = float(panel.centres[row % self._split] + self._offsets[point])
        return panel, y, float(self._strengths[point])

    def _legend(self, points: Sequence[str], floor: str) -> None:
        handles = [
            Line2D([], [], marker="o", linestyle="none", markersize=4, color=tint(INK, strength), label=point)
            for point, strength in zip(points, self._strengths, strict=False)
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
        panel, y, strength = self._at(row, point)
        left, right = panel.axes.get_xlim()
        if style.behind:
            panel.dots.insert(0, Glyph(x, y, style, 2.6))
            return
        colour = tint(style.colour, strength)
        panel.bars.append(([(max(low, left), y), (min(high, right), y)], colour))
        panel.dots.append(Glyph(x, y, style, 3.6, colour))

    def below(self, row: int, point: int, style: Style, high: float, words: str) -> None:
        """A point with no place on a log axis: words at the left edge, or a bar up to the interval's end."""
        if style.behind:
            return
        panel, y, strength = self._at(row, point)
        left, right = panel.axes.get_xlim()
        colour = tint(style.colour, strength)
        if words:
            panel.axes.annotate(
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
        panel.open.append(([(left, y), (end, y)], colour))
        panel.below.append(Glyph(left, y, style, 3.6, colour))

    def tick(self, row: int, point: int, style: Style, x: float) -> None:
        """A grey bar across a row's dot."""
        panel, y, _ = self._at(row, point)
        if not style.behind and panel.axes.get_xlim()[0] < x < panel.axes.get_xlim()[1]:
            panel.ticks.append(Glyph(x, y, TICK, 4.5))

    def finished(self) -> Figure:
        """The figure with all that was put into it, over faint lines at the ticks."""
        for panel in self._panels:
            axes = panel.axes
            axes.grid(axis="x", color=FAINT, linewidth=0.3, alpha=0.6)
            axes.set_axisbelow(True)
            for bars, dash in ((panel.bars, "solid"), (panel.open, (0, (2, 1.5)))):
                strokes(axes, [bar for bar, _ in bars], [colour for _, colour in bars], 1.0, linestyles=[dash])
            glyphs(axes, panel.ticks, zorder=1)
            glyphs(axes, panel.dots)
            glyphs(axes, panel.below, clip_on=False, marker=CARETLEFT)
        return self.figure
