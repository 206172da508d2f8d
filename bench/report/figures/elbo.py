"""ELBO along training against steps and against seconds: train dashed, test solid, a band over seeds."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bench.report.figures import marks, phrases
from bench.report.figures.canvas import (
    COLUMN,
    PAGE,
    Entry,
    Plot,
    backmost_first,
    blank,
    key,
    key_height,
    key_width,
    log_axis,
    sections,
)
from bench.report.style import FAINT, Style
from bench.report.summary import Summary
from bench.report.tables.elbo import rows_evaluated
from bench.report.text import number, plural, slug, span
from bench.statistics import mean_intervals

BAND_SEEDS = 5  # fewer seeds are drawn one by one
PANELS: tuple[tuple[str, str, Any], ...] = (
    ("train_elbo", "training set", (0, (3, 1.5))),
    ("test_elbo", "test set", "solid"),
)
Values = NDArray[np.float64]


class Curve(NamedTuple):
    """Training of one estimator; diverged seeds are left out."""

    style: Style
    remark: str  # how many seeds are left, where some diverged
    step: Values  # [points]
    seconds: Values  # [points] all seeds together
    elbo: dict[str, Values]  # [points, seeds] for train_elbo and test_elbo

    def mean(self, name: str) -> Values:
        """[points] mean over seeds."""
        return np.asarray(self.elbo[name].mean(axis=1), dtype=np.float64)


def _curves(rows: pd.DataFrame, summary: Summary) -> list[Curve]:
    """The curves of a section's estimators at the best rate of each, in the order of the table.

    A cell of which no seed ended has none.
    """
    curves, finals = summary.frames.curves, summary.frames.finals
    ended = {cell: ~seeds["diverged"].to_numpy() for cell, seeds in finals.groupby("cell")}
    by_cell = dict(iter(curves[curves["cell"].isin(rows["cell"])].groupby("cell")))
    looks, found = phrases.looks(rows, summary.styles), []
    for cell, label in zip(rows["cell"], rows["label"], strict=True):
        seeds, lost = len(ended[cell]), int((~ended[cell]).sum())
        if cell not in by_cell or seeds == lost:
            continue
        # In the order of the frame: all seeds of a point, then those of the next.
        grid = {
            name: by_cell[cell][name].to_numpy(dtype=np.float64).reshape(-1, seeds)
            for name in ("step", "seconds", "train_elbo", "test_elbo")
        }
        elbo = {name: grid[name][:, ended[cell]] for name, _, _ in PANELS}
        remark = f"\n({seeds - lost} of {seeds} seeds)" if lost else ""
        found.append(Curve(looks[str(label)], remark, grid["step"][:, 0], grid["seconds"][:, 0], elbo))
    return found


def _limits(curves: Sequence[Curve]) -> tuple[float, float]:
    """Height of the panels: training after its first fifth, unless one estimator lies far below the rest."""
    late = [curve.mean(name)[len(curve.step) // 5 :] for curve in curves for name, _, _ in PANELS]
    ends = np.array([values[-1] for values in late])
    top = max(float(np.nanmax(values)) for values in late)
    usual = max(top - float(np.nanmedian(ends)), 1e-3)
    bottom = max(min(float(np.nanmin(values)) for values in late), top - 8 * usual)
    pad = 0.05 * (top - bottom)
    return bottom - pad, top + pad


def _draw_panel(axes: Axes, drawn: Sequence[tuple[Values, Values, Style]], dash: Any) -> None:
    """Mean over seeds of each (x [points], elbo [points, seeds], style), with a band or with the seeds one by one."""
    front = [(x, elbo, style) for x, elbo, style in drawn if not style.behind]
    banded = [(x, elbo, style.colour) for x, elbo, style in front if elbo.shape[1] >= BAND_SEEDS]
    marks.bands(axes, [(x, *mean_intervals(elbo)) for x, elbo, _ in banded], [colour for _, _, colour in banded])
    few = [(x, elbo, to_rgba(style.colour, 0.35)) for x, elbo, style in front if 1 < elbo.shape[1] < BAND_SEEDS]
    seeds = [(np.column_stack([x, seed]), colour) for x, elbo, colour in few for seed in elbo.T]
    marks.strokes(axes, [seed for seed, _ in seeds], [colour for _, colour in seeds], 0.4, linestyles=[dash])
    means = [(x, elbo.mean(axis=1), style) for x, elbo, style in drawn]
    lines = [np.column_stack([x, mean]) for x, mean, _ in means]
    marks.strokes(axes, lines, [style.colour for _, _, style in means], 0.9, linestyles=[dash])
    named = [(x, mean, style) for x, mean, style in means if not style.behind]
    some = [(x[:: max(1, len(x) // 5)], mean[:: max(1, len(x) // 5)], style) for x, mean, style in named]
    marks.glyphs(axes, [marks.Glyph(*at, style, 3.0) for x, y, style in some for at in zip(x, y, strict=True)])
    axes.update_datalim([at for line in lines for at in line if np.isfinite(at).all()])
    axes.autoscale_view()


def draw(curves: Sequence[Curve], against: str, width: float | None = None) -> Figure:
    """The figure; `against` is `steps` or `seconds`. In a column, the panels stand one below the other."""
    curves = backmost_first(curves, lambda curve: curve.style)
    styles = [curve.style for curve in curves]
    remarks = [curve.remark for curve in curves if not curve.style.behind]
    lines = key_height(styles) + 0.13 * sum(map(bool, remarks))
    right = key_width(styles, remarks)
    if stacked := width is not None and width < PAGE:
        figure, panels = blank(width, 2 * max(1.5, lines) + 0.85, 0.6, right, top=0.2, panels=2, gap=0.26, stacked=True)
    else:
        figure, panels = blank(PAGE, max(2.3, lines + 0.55), 0.6, right, top=0.2, panels=2)
    bottom, top = _limits(curves)
    seconds = against == "seconds"
    for axes, (name, title, dash) in zip(panels, PANELS, strict=True):
        # The start has no place on a logarithmic axis of seconds.
        kept = [(curve, curve.step > 0 if seconds else curve.step >= 0) for curve in curves]
        drawn = [((c.seconds if seconds else c.step)[on], c.elbo[name][on], c.style) for c, on in kept]
        _draw_panel(axes, drawn, dash)
        axes.set(ylim=(bottom, top), xlabel="training seconds, all seeds together" if seconds else "training step")
        axes.set_title(title, pad=3)
        axes.grid(axis="y", color=FAINT, linewidth=0.3, alpha=0.6)
        if seconds:
            visible = [curve.seconds[(curve.step > 0) & (curve.mean("train_elbo") > bottom)] for curve in curves]
            times = np.concatenate(visible)
            log_axis(axes, "x", float(times.min()) / 1.1, float(times.max()) * 1.1)
    for axes in panels if stacked else panels[:1]:
        axes.set_ylabel("ELBO, nats")
    if stacked:
        panels[0].set_xlabel("")
    panels[0].tick_params(labelbottom=not stacked)
    panels[1].tick_params(labelleft=stacked)
    entries = []
    for curve in curves:
        end = float(curve.mean("test_elbo")[-1])
        below = f"\n({number(end)}, below)" if end < bottom else ""
        entries.append(Entry(curve.style, end, curve.remark + below))
    key(panels[1], entries)
    return figure


def words(heading: str, rows: pd.DataFrame, summary: Summary, curves: Sequence[Curve], against: str) -> phrases.Words:
    """What the figure shows, with its interval, method and n, and what limits it."""
    counts = {curve.elbo["test_elbo"].shape[1] for curve in curves}
    many, few = ([n for n in counts if (n >= BAND_SEEDS) == banded] for banded in (True, False))
    bands = f"Bands: 95 % Student-t interval over {span(min(many), max(many))} seeds." if many else ""
    thin = ""
    if few:
        thin = f"Thin lines: single seeds, no band below {BAND_SEEDS} seeds (n = {span(min(few), max(few))})."
    gone = summary.frames.finals
    diverged = int(gone[gone["cell"].isin(rows["cell"]) & gone["seed"].notna()]["diverged"].sum())
    lost = f"{plural(diverged, 'diverged seed')} left out of mean and band, counted in the key." if diverged else ""
    clock, machines = "", rows["machine"].nunique()
    if against == "seconds":
        clock = "Seconds: training of all seeds stacked together, evaluation excluded."
        clock += f" Measured on {machines} machines, so that it compares machines too." if machines > 1 else ""
    return phrases.words(
        (
            f"ELBO against training {against} on {phrases.problem(heading, rows)}: training set dashed, test set "
            "solid, mean over seeds.",
            bands,
            thin,
            phrases.marked(rows, summary.styles),
        ),
        (
            rows_evaluated(rows),
            phrases.spent(rows),
            clock,
            lost,
            "Each estimator at its best learning rate by all seeds." if (rows["rates"] > 1).any() else "",
            phrases.absent(rows, summary.styles),
        ),
    )


def plots(summary: Summary) -> Iterator[Plot]:
    """Two plots a trained problem: against steps and against seconds."""
    for heading, rows in sections(summary.elbo):
        curves = _curves(rows, summary)
        started = any(curve.step[-1] > 0 for curve in curves)
        for against in ("steps", "seconds") if started else ():
            said, wide = words(heading, rows, summary, curves, against), (summary.width or PAGE) > COLUMN
            name, drawing = f"elbo-{against}-{slug(heading)}", partial(draw, curves, against, summary.width)
            yield Plot(name, heading, said.caption, drawing, wide, said.notes)
