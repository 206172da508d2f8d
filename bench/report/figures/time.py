"""Time of a training step by estimator, with its floor."""

from collections.abc import Iterator, Mapping
from functools import partial

import pandas as pd
from matplotlib.figure import Figure

from bench.report.figures import phrases
from bench.report.figures.canvas import Plot, log_axis, log_limits, sections
from bench.report.figures.dots import Rows
from bench.report.style import Style
from bench.report.summary import Summary
from bench.report.text import slug, span


def _drawable(rows: pd.DataFrame) -> pd.DataFrame:
    """Timed cells, fastest first, with the floor in the same unit as the cost, NaN where it is not one."""
    timed = rows[rows["measured"] & (rows["cost_seconds"] > 0) & (rows["time_ratio"] > 0)]
    floors = (timed["cost_seconds"] / timed["time_ratio"]).where(~timed["below_floor"])
    return timed.assign(floor_cost=floors).sort_values("cost_seconds")


def caption(heading: str, rows: pd.DataFrame, summary: Summary) -> str:
    """What the figure shows, with its interval, method and n."""
    drawn = _drawable(rows)
    beaten = ", ".join(summary.styles[str(label)].label for label in drawn[drawn["below_floor"]]["label"])
    threads = span(drawn["threads"].min(), drawn["threads"].max())
    noun = "thread" if threads == "1" else "threads"
    return phrases.join(
        f"Time of one training step on {phrases.problem(heading, rows)}, {threads} {noun}"
        f"{phrases.batch(drawn)}; each estimator takes as many evaluations of f as its number of samples asks for.",
        "The time is the ratio to a plain step timed beside it, times the median plain step of all estimators. "
        f"Bars: interquartile range of {span(drawn['step_n'].min(), drawn['step_n'].max())} rounds.",
        "Grey bar: the floor, a step that makes the same passes over f with all that is drawn and learned given.",
        f"Without one, since their step was below it, so that it is no floor: {beaten}." if beaten else "",
        _captured(drawn, summary),
        phrases.busy(drawn, summary.styles),
        phrases.BIASED if not drawn["unbiased"].all() else "",
        phrases.bare(rows, summary.styles),
        phrases.absent(rows, summary.styles),
    )


def _captured(drawn: pd.DataFrame, summary: Summary) -> str:
    """How steps run on a GPU, where a kernel's launch may cost more than the kernel; empty where none was captured."""
    if not drawn["captured"].any():
        return ""
    eager = ", ".join(summary.styles[str(label)].label for label in drawn[~drawn["captured"]]["label"])
    return f"Steps are captured, each replayed as one CUDA graph{f', but those of {eager}' if eager else ''}."


def draw(rows: pd.DataFrame, looks: Mapping[str, Style]) -> Figure:
    """The figure."""
    styles = [looks[str(label)] for label in rows["label"]]
    plot = Rows(styles, ["step"], "time of a training step, ms", "floor")
    columns = ("cost_seconds", "cost_seconds_low", "cost_seconds_high", "floor_cost")
    milliseconds = [1e3 * rows[name] for name in columns]
    log_axis(plot.axes, "x", *log_limits([value for values in milliseconds for value in values], pad=0.08))
    for row, (style, *values) in enumerate(zip(styles, *milliseconds, strict=True)):
        *estimate, floor = values
        plot.dot(row, 0, style, *estimate)
        plot.tick(row, 0, floor)
    return plot.finished()


def plots(summary: Summary) -> Iterator[Plot]:
    """One plot a problem with at least two estimators timed."""
    for heading, rows in sections(summary.time):
        drawn = _drawable(rows)
        if len(drawn) > 1:
            words = caption(heading, rows, summary)
            yield Plot(
                f"time-{slug(heading)}", heading, words, partial(draw, drawn, phrases.looks(rows, summary.styles))
            )
