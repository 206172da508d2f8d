"""Time of a training step by estimator, with its floor."""

from collections.abc import Iterator, Mapping
from functools import partial

import pandas as pd
from matplotlib.figure import Figure

from bench.report.figures import phrases
from bench.report.figures.canvas import Plot, sections
from bench.report.figures.dots import Rows, in_rows, spreads
from bench.report.style import Style
from bench.report.summary import Summary
from bench.report.text import slug, span


def _drawable(rows: pd.DataFrame) -> pd.DataFrame:
    """Timed cells, fastest first, with the floor in the same unit as the cost, NaN where it is not one."""
    timed = rows[rows["measured"] & (rows["cost_seconds"] > 0) & (rows["time_ratio"] > 0)]
    floors = (timed["cost_seconds"] / timed["time_ratio"]).where(~timed["below_floor"])
    return timed.assign(floor_cost=floors).sort_values("cost_seconds")


def words(heading: str, rows: pd.DataFrame, summary: Summary) -> phrases.Words:
    """What the figure shows, with its interval, method and n, and what limits it."""
    drawn = _drawable(rows)
    beaten = phrases.names(drawn[drawn["below_floor"]]["label"], summary.styles)
    threads = span(drawn["threads"].min(), drawn["threads"].max())
    noun = "thread" if threads == "1" else "threads"
    return phrases.words(
        (
            f"Time of one training step on {phrases.problem(heading, rows)}, {threads} {noun}{phrases.batch(drawn)}.",
            f"Bars: interquartile range of {span(drawn['step_n'].min(), drawn['step_n'].max())} rounds. "
            "Grey bar: floor.",
            phrases.marked(drawn, summary.styles),
        ),
        (
            phrases.spent(rows),
            f"Without a floor, since their step was below it, so that it is none: {beaten}." if beaten else "",
            _captured(drawn, summary),
            phrases.busy(drawn, summary.styles),
            phrases.bare(rows, summary.styles),
            phrases.absent(rows, summary.styles),
        ),
    )


def _captured(drawn: pd.DataFrame, summary: Summary) -> str:
    """How steps run on a GPU, where a kernel's launch may cost more than the kernel; empty where none was captured."""
    if not drawn["captured"].any():
        return ""
    eager = phrases.names(drawn[~drawn["captured"]]["label"], summary.styles)
    return f"Steps are captured, each replayed as one CUDA graph{f', but those of {eager}' if eager else ''}."


def draw(rows: pd.DataFrame, looks: Mapping[str, Style], width: float | None = None) -> Figure:
    """The figure."""
    styles, place = in_rows(map(str, rows["label"]), looks)
    plot = Rows(styles, ["step"], "time of a training step, ms", "floor", width)
    columns = ("cost_seconds", "cost_seconds_low", "cost_seconds_high", "floor_cost")
    milliseconds = [1e3 * rows[name] for name in columns]
    plot.log_axis([value for values in milliseconds for value in values], pad=0.08)
    for label, *estimate, floor in zip(rows["label"], *milliseconds, strict=True):
        row = place[str(label)]
        plot.dot(row, 0, styles[row], *estimate)
        plot.tick(row, 0, styles[row], floor)
    return plot.finished()


def plots(summary: Summary) -> Iterator[Plot]:
    """One plot a problem with at least two estimators timed."""
    for heading, rows in sections(summary.time):
        drawn = _drawable(rows)
        if len(drawn) > 1:
            said = words(heading, rows, summary)
            drawing = partial(draw, drawn, phrases.looks(rows, summary.styles), summary.width)
            wide = spreads(len(drawn), summary.width)
            yield Plot(f"time-{slug(heading)}", heading, said.caption, drawing, wide, said.notes)
