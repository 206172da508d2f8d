"""Many marks as few artists.

A figure of fifty estimators has hundreds of dots, bars and bands. As an artist each, they take most of the time of a
report, once to make and once more in every format; as collections they take little.
"""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection, PolyCollection
from matplotlib.colors import to_rgba
from matplotlib.markers import MarkerStyle
from matplotlib.path import Path
from matplotlib.transforms import IdentityTransform, Transform
from numpy.typing import NDArray

from bench.report.style import Style

Values = NDArray[np.float64]
EDGE = 0.8  # points
_BROAD = ("*", "X", "p")  # markers that look smaller than they are


def size_of(marker: str, size: float) -> float:
    """Points across a marker that is to look as large as a dot of this size."""
    return size * (1.25 if marker in _BROAD else 1.0)


class Glyph(NamedTuple):
    """The marker of an estimator at one place."""

    x: float
    y: float
    style: Style
    size: float = 4.0  # points
    colour: str = ""  # the style's own where empty


@cache
def _shape(marker: str | int) -> tuple[Path, Any]:
    style = MarkerStyle(marker)
    return style.get_path().transformed(style.get_transform()), style.get_joinstyle()


def glyphs(
    axes: Axes,
    drawn: Iterable[Glyph],
    zorder: float = 3,
    transform: Transform | None = None,
    clip_on: bool = True,
    marker: str | int = "",
) -> None:
    """Draw markers, hollow for estimators declared biased, one collection a shape.

    Args:
        axes: where; its limits do not change.
        drawn: the markers.
        zorder: as in matplotlib.
        transform: of their places, the data's by default.
        clip_on: whether the panel cuts them off.
        marker: a shape for all of them, in place of each style's own.
    """
    shapes: dict[str | int, list[Glyph]] = {}
    for glyph in drawn:
        shapes.setdefault(marker or glyph.style.marker, []).append(glyph)
    for shape, members in shapes.items():
        path, join = _shape(shape)
        edges = [glyph.colour or glyph.style.colour for glyph in members]
        faces = [edge if glyph.style.unbiased else "#ffffff" for glyph, edge in zip(members, edges, strict=True)]
        collection = PathCollection(
            [path],
            sizes=[size_of(glyph.style.marker, glyph.size) ** 2 for glyph in members],
            offsets=[(glyph.x, glyph.y) for glyph in members],
            offset_transform=transform or axes.transData,
            facecolors=faces,
            edgecolors=edges,
            linewidths=EDGE,
            joinstyle=join,
            zorder=zorder,
            clip_on=clip_on,
        )
        collection.set_transform(IdentityTransform())
        axes.add_collection(collection, autolim=False)


def strokes(axes: Axes, lines: Sequence[Any], colours: Sequence[Any] | str, width: float, **look: Any) -> None:
    """Draw lines, each [points, 2], in one collection; the limits of the panel do not change.

    Args:
        axes: where.
        lines: their points; a NaN interrupts a line.
        colours: one a line, or one for all.
        width: points.
        **look: further properties of the collection, such as `linestyles` and `zorder`.
    """
    if len(lines):
        axes.add_collection(LineCollection(lines, colors=colours, linewidths=width, **look), autolim=False)


def _runs(x: Values, low: Values, high: Values) -> list[Values]:
    """The outlines between two curves, one for every stretch without NaN."""
    whole = np.isfinite(x) & np.isfinite(low) & np.isfinite(high)
    places = np.split(np.arange(len(x)), np.flatnonzero(np.diff(whole)) + 1)
    return [
        np.concatenate([np.column_stack([x[run], low[run]]), np.column_stack([x[run], high[run]])[::-1]])
        for run in places
        if len(run) and whole[run[0]]
    ]


def bands(axes: Axes, drawn: Iterable[tuple[Values, Values, Values]], colours: Sequence[str]) -> None:
    """Fill between the low and the high end of each (x, low, high), all [points], in a pale colour each."""
    outlines, faces = [], []
    for (x, low, high), colour in zip(drawn, colours, strict=True):
        runs = _runs(x, low, high)
        outlines += runs
        faces += [to_rgba(colour, 0.15)] * len(runs)
    if outlines:
        axes.add_collection(PolyCollection(outlines, facecolors=faces, linewidths=0, zorder=1), autolim=False)
