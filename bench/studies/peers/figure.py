"""The figures, from the measurements alone: one beside libraries of PyTorch, one beside JAX."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.report.figures.canvas import LINE, PAGE, blank, log_axis, log_limits, text_width
from bench.report.style import COLOURS, FAINT
from bench.studies.peers.cases import EAGER
from bench.studies.peers.table import Wide, heading, method_names, sections, wide
from bench.studies.results import Run

GREY = "#777777"
POINT: dict[str, Any] = {"marker": "o", "markersize": 4, "linewidth": 1.0}
FLOOR: dict[str, Any] = {"marker": "|", "markersize": 6, "linestyle": "none", "color": GREY}
TARGET: dict[str, Any] = {
    "marker": "D", "markersize": 3.6, "linestyle": "none", "markerfacecolor": "none", "markeredgecolor": "#222222",
    "markeredgewidth": 0.7,
}  # fmt: skip


LIBRARIES = {"storchastic": COLOURS[0], "Pyro": COLOURS[1], "JAX": COLOURS[2], "ours": COLOURS[3]}
"""Colours by how the labels of peers begin."""


def _colour(peer: str) -> str:
    return next(colour for library, colour in LIBRARIES.items() if peer.startswith(library))


def _panel(axes: Axes, rows: list[Wide], places: Mapping[tuple[str, str, str], float]) -> None:
    targets = [row["target"] for row in rows if row["target"] is not None]
    measured = [row[name] for name in ("ratio", "peer_over_floor") for row in rows]
    log_axis(axes, "x", *log_limits([1.0, *measured, *targets]))
    axes.grid(axis="x", color=FAINT, linewidth=0.3, alpha=0.6)
    axes.set_axisbelow(True)
    axes.axvline(1, color=GREY, linewidth=0.6, linestyle="--", zorder=1)
    for row in rows:
        y = places[row["method"], row["entropy"], row["peer"]]
        colour = _colour(row["peer"])
        axes.plot([row["peer_over_floor"]], [y], zorder=2, **FLOOR)
        axes.plot([row["ratio_q25"], row["ratio_q75"]], [y, y], color=colour, linewidth=1.0, zorder=2)
        axes.plot([row["ratio"]], [y], color=colour, zorder=4, **POINT)
        if row["target"] is not None:
            axes.plot([row["target"]], [y], zorder=3, **TARGET)
    axes.set_title(heading(rows[0]).removeprefix("Beside JAX: "), loc="left", pad=3)


def draw(run: Run, beside_jax: bool) -> Figure:
    """How many times faster ours is than each peer; a panel for each shape and number of seeds."""
    judged = [row for row in wide(run) if row["judged"] and row["beside_jax"] == beside_jax]
    keys = list(dict.fromkeys((row["method"], row["entropy"], row["peer"]) for row in judged))
    # A gap between the comparisons, which differ in method or in the entropy that the peer has.
    gaps = np.cumsum([i > 0 and key[:2] != keys[i - 1][:2] for i, key in enumerate(keys)])
    step = LINE * 1.15
    places = {key: step * (i + 0.6 + 0.6 * gap) for i, (key, gap) in enumerate(zip(keys, gaps, strict=True))}
    height = max(places.values()) + step * 0.6
    methods = method_names(judged)
    names = [f"{methods[method, entropy]}: {peer}" for method, entropy, peer in keys]
    panels = sections(judged)
    figure, axes = blank(PAGE, height + 0.8, text_width(names) + 0.18, 0.08, 0.4, 0.4, len(panels))
    for panel, rows in zip(axes, panels.values(), strict=True):
        panel.set(ylim=(height, 0))
        _panel(panel, rows, places)
        panel.set_yticks(list(places.values()), labels=names if panel is axes[0] else [])
        panel.tick_params(axis="y", length=0)
        panel.set_xlabel("peer's time / ours" if rows[0]["stacked"] == 1 else "ratio of seeds per second")
    shown = [library for library in LIBRARIES if any(peer.startswith(library) for *_, peer in keys)]
    handles = [
        *(Line2D([], [], color=LIBRARIES[name], label=name.replace("ours", EAGER.label), **POINT) for name in shown),
        Line2D([], [], label="to our floor", **FLOOR),
        Line2D([], [], label="target", **TARGET),
    ]
    figure.legend(
        handles=handles, loc="upper right", ncols=len(handles), frameon=False, borderaxespad=0.1, columnspacing=1.2
    )
    return figure
