"""Final test ELBO against learning rate: a line an estimator, its best rate marked."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
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
    log_limits,
    sections,
)
from bench.report.figures.elbo import BAND_SEEDS
from bench.report.style import FAINT, Style
from bench.report.summary import Summary
from bench.report.tables.elbo import rate_words, rows_evaluated
from bench.report.tables.view import ends
from bench.report.text import slug, span

Values = NDArray[np.float64]
ROOM = 8
"""Multiples of the usual distance from the best estimator to the others that a panel shows of what lies below."""


class Line(NamedTuple):
    """One estimator; all arrays `[rates]`, ascending in the rate."""

    style: Style
    rate: Values
    elbo: Values
    low: Values
    high: Values
    """Ends of the intervals; NaN where there are too few seeds for a band."""
    best: int
    """Place of the best rate."""


def _lines(rows: pd.DataFrame, summary: Summary) -> list[Line]:
    """The lines of a section, in the order of the table; what has no ELBO at its best rate has none."""
    found = []
    for label, group in rows[rows["measured"]].groupby("label", sort=False):
        line = group.sort_values("learning_rate")
        if not line["best"].any():
            continue
        rate, elbo, low, high = (line[n].to_numpy(dtype=np.float64) for n in ("learning_rate", *ends("test_elbo")))
        few = (line["seeds"] - line["diverged"]).to_numpy() < BAND_SEEDS
        low, high = (np.where(few, np.nan, end) for end in (low, high))
        best = int(np.flatnonzero(line["best"])[0])
        found.append(Line(summary.styles[str(label)], rate, elbo, low, high, best))
    return found


def _limits(lines: Sequence[Line]) -> tuple[float, float]:
    """Height of the panel: all best rates with their bands, and what lies not so far below that lines look alike."""
    bests = np.array([line.elbo[line.best] for line in lines])
    top, lowest = float(bests.max()), min(float(np.nanmin(line.elbo)) for line in lines)
    usual = max(top - float(np.median(bests)), 1e-3)
    # Half of the lines show what their second best rate costs.
    second = float(np.median([np.sort(line.elbo)[-2:][0] for line in lines]))
    bottom = max(lowest, min(float(bests.min()), top - ROOM * usual, second))
    half = (top - bottom) / 2  # of a wide band no more: it would press the lines together
    ends = np.array([(line.low[line.best], line.high[line.best]) for line in lines]).clip(bottom - half, top + half)
    bottom, top = float(np.nanmin([bottom, *ends[:, 0]])), float(np.nanmax([top, *ends[:, 1]]))
    pad = 0.06 * max(top - bottom, 1e-3)
    return bottom - pad, top + pad


def draw(lines: Sequence[Line], width: float | None = None) -> Figure:
    """The figure, with a key to its right."""
    lines = backmost_first(lines, lambda line: line.style)
    styles = [line.style for line in lines]
    figure, (axes,) = blank(width or PAGE, max(2.3, key_height(styles) + 0.5), 0.6, key_width(styles))
    bottom, top = _limits(lines)
    rates = sorted({float(rate) for line in lines for rate in line.rate})
    axes.set(xscale="log", xlim=log_limits(rates), ylim=(bottom, top))
    axes.set_xticks(rates, labels=[rate_words(rate) for rate in rates])
    axes.minorticks_off()
    axes.grid(axis="y", color=FAINT, linewidth=0.3, alpha=0.6)
    colours = [line.style.colour for line in lines]
    front = [line for line in lines if not line.style.behind]
    marks.bands(axes, [(line.rate, line.low, line.high) for line in front], [line.style.colour for line in front])
    marks.strokes(axes, [np.column_stack([line.rate, line.elbo]) for line in lines], colours, 0.9)
    for line in front:
        sizes = np.where(np.arange(len(line.rate)) == line.best, 5.0, 2.2)
        places = zip(line.rate, line.elbo, sizes, strict=True)
        marks.glyphs(axes, [marks.Glyph(x, y, line.style, size) for x, y, size in places if bottom <= y <= top])
    axes.set(xlabel="learning rate", ylabel="test ELBO at the end, nats")
    key(axes, [Entry(line.style, float(line.elbo[line.best])) for line in lines], tied=False)
    return figure


def words(heading: str, rows: pd.DataFrame, summary: Summary, lines: Sequence[Line]) -> phrases.Words:
    """What the figure shows, with its interval, method and n, and what limits it."""
    n = rows[rows["measured"]]["seeds"] - rows[rows["measured"]]["diverged"]
    many = n[n >= BAND_SEEDS]
    bands = f"Bands: 95 % Student-t interval over {span(many.min(), many.max())} seeds." if len(many) else ""
    thin = f"No band below {BAND_SEEDS} seeds." if (n < BAND_SEEDS).any() else ""
    lost = int(rows["diverged"].sum())
    at_edge = [line for line in lines if line.best in (0, len(line.rate) - 1) and not line.style.behind]
    edge = ", ".join(line.style.label for line in at_edge)
    return phrases.words(
        (
            "Test ELBO at the end of training against the learning rate, on "
            f"{phrases.problem(heading, rows)}: mean over seeds. Large markers: best rates.",
            bands,
            thin,
            phrases.marked(rows.assign(budget=0), summary.styles),
        ),
        (
            "What lies far below the best rates is cut off.",
            rows_evaluated(rows),
            phrases.spent(rows),
            f"Diverged seeds ({lost}) are left out of mean and band; a rate at which fewer diverged is better."
            if lost
            else "",
            f"At the edge of its grid, so that a better rate may lie beyond: {edge}." if edge else "",
        ),
    )


def plots(summary: Summary) -> Iterator[Plot]:
    """One plot a problem of which learning rates were swept."""
    for heading, rows in sections(summary.rates) if len(summary.rates) else ():
        if lines := _lines(rows, summary):
            said, wide = words(heading, rows, summary, lines), (summary.width or PAGE) > COLUMN
            drawing = partial(draw, lines, summary.width)
            yield Plot(f"rates-{slug(heading)}", heading, said.caption, drawing, wide, said.notes)
