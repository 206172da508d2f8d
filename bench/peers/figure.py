"""The figure, from the measurements alone."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.peers.table import Measurements, frame, heading
from bench.report.figures.canvas import LINE, PAGE, blank, log_axis, log_limits, text_width
from bench.report.style import COLOURS, FAINT


def _panel(axes: Axes, rows: pd.DataFrame, places: Mapping[tuple[str, str, str], float]) -> None:
    low, high = log_limits([1.0, *rows["ratio"], *rows["target"].dropna(), *rows["peer_over_floor"]])
    log_axis(axes, "x", low, high)
    axes.grid(axis="x", color=FAINT, linewidth=0.3, alpha=0.6)
    axes.set_axisbelow(True)
    axes.axvline(1, color="#777777", linewidth=0.6, linestyle="--", zorder=1)
    for row in rows.to_dict("records"):
        y = places[row["method"], row["entropy"], row["peer"]]
        colour = COLOURS[0] if row["peer"].startswith("storchastic") else COLOURS[1]
        axes.plot([row["peer_over_floor"]], [y], marker="|", markersize=6, color="#777777", zorder=2)
        axes.plot([row["ratio_q25"], row["ratio_q75"]], [y, y], color=colour, linewidth=1.0, zorder=2)
        axes.plot([row["ratio"]], [y], marker="o", markersize=4, color=colour, zorder=4)
        if not pd.isna(row["target"]):
            axes.plot(
                [row["target"]], [y], marker="D", markersize=3.6, markerfacecolor="none", markeredgecolor="#222222",
                markeredgewidth=0.7, zorder=3,
            )  # fmt: skip
    axes.set_title(heading(rows), loc="left", pad=3)


def draw(measurements: Measurements) -> Figure:
    """How many times faster ours is than each peer; a panel for each shape."""
    table = frame(measurements)
    judged = table[table["judged"]]
    keys = list(dict.fromkeys(zip(judged["method"], judged["entropy"], judged["peer"], strict=True)))
    # A gap between the comparisons, which differ in method or in the entropy that the peer has.
    gaps = np.cumsum([i > 0 and key[:2] != keys[i - 1][:2] for i, key in enumerate(keys)])
    step = LINE * 1.15
    places = {key: step * (i + 0.6 + 0.6 * gap) for i, (key, gap) in enumerate(zip(keys, gaps, strict=True))}
    height = max(places.values()) + step * 0.6
    names = [f"{method}: {peer}" for method, _, peer in keys]
    panels = [rows for _, rows in judged.groupby(["shape", "stacked"], sort=False)]
    figure, axes = blank(PAGE, height + 0.8, text_width(names) + 0.18, 0.08, 0.4, 0.4, len(panels))
    for panel, rows in zip(axes, panels, strict=True):
        panel.set(ylim=(height, 0))
        _panel(panel, rows, places)
        panel.set_yticks(list(places.values()), labels=names if panel is axes[0] else [])
        panel.tick_params(axis="y", length=0)
        panel.set_xlabel("peer's time / ours" if rows.iloc[0]["stacked"] == 1 else "ratio of seeds per second")
    handles = [
        Line2D([], [], marker="o", markersize=4, linewidth=1.0, color=COLOURS[0], label="storchastic"),
        Line2D([], [], marker="o", markersize=4, linewidth=1.0, color=COLOURS[1], label="Pyro"),
        Line2D([], [], marker="|", markersize=6, linestyle="none", color="#777777", label="to our floor"),
        Line2D(
            [], [], marker="D", markersize=3.6, linestyle="none", markerfacecolor="none", markeredgecolor="#222222",
            label="target",
        ),
    ]  # fmt: skip
    figure.legend(handles=handles, loc="upper right", ncols=4, frameon=False, borderaxespad=0.1, columnspacing=1.2)
    return figure
