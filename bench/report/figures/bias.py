"""Relative bias by estimator, with its interval and the smallest bias that would have shown."""

import math
from collections.abc import Iterator, Mapping
from functools import partial

import pandas as pd
from matplotlib.figure import Figure

from bench.report.figures import phrases
from bench.report.figures.canvas import Plot, sections
from bench.report.figures.dots import Rows, layout, spreads
from bench.report.style import Style
from bench.report.summary import Summary
from bench.report.text import plural, slug
from bench.report.verdicts import ROUNDING


def _testable(rows: pd.DataFrame) -> pd.DataFrame:
    """Points with enough draws of rare outcomes: elsewhere an outcome that was never drawn looks like a large bias."""
    return rows[rows["p_value"].notna() | ~rows["rare"]]


def _drawable(rows: pd.DataFrame) -> pd.DataFrame:
    """Points with a relative bias; of a long sweep the first, middle and last that most estimators have."""
    known = _testable(rows[rows["measured"] & rows["relative_bias"].notna()])
    for end in ("relative_bias_low", "relative_bias_high"):  # what is exact is drawn as a dot alone
        known = known.assign(**{end: known[end].where(~known["exact"], known["relative_bias"])})
    labels = known.groupby("position")["label"].nunique()
    positions = sorted(
        labels[2 * labels >= labels.max()].index
    )  # not points at which only a few coordinates can be tested
    if len(positions) > 3:
        positions = [positions[0], positions[len(positions) // 2], positions[-1]]
    return known[known["position"].isin(positions)]


def _has_zeros(rows: pd.DataFrame) -> bool:
    """Whether some exact point has no bias that a log axis could show."""
    return bool((rows["exact"] & (rows["relative_bias"] <= ROUNDING)).any())


def words(heading: str, rows: pd.DataFrame, summary: Summary) -> phrases.Words:
    """What the figure shows, with its interval, method and n, and what limits it."""
    drawn = _drawable(rows)
    count = rows[rows["measured"]]["position"].nunique()
    kept = drawn["position"].nunique()
    chosen = (
        f"{kept} of its {count} points (first, middle and last that most estimators have); the table has all"
        if kept < count
        else ""
    )
    untested = int(rows["measured"].sum()) - len(_testable(rows[rows["measured"]]))
    references = " or ".join(sorted({str(r) for r in drawn["reference"].dropna()}))
    noise = "; the noise of a long run is part of the interval" if "long run" in references else ""
    return phrases.words(
        (
            f"Norm of the bias over the norm of the gradient on {phrases.problem(heading, rows)}.",
            phrases.spread(drawn, "Bars", "95 % score interval of the squared bias carried to its root"),
            phrases.marked(drawn, summary.styles),
        ),
        (
            f"Shown: {chosen}." if chosen else "",
            f"Reference: {references}{noise}." if references else "",
            phrases.fixed(drawn),
            phrases.spent(rows),
            phrases.exactly(drawn),
            f"0 at the left edge: at most {ROUNDING:g} of the gradient." if _has_zeros(drawn) else "",
            phrases.heavy(drawn, summary.styles),
            f"Not shown, outcomes too rare for the draws: {plural(untested, 'point')}." if untested else "",
            phrases.absent(rows, summary.styles),
        ),
    )


def draw(rows: pd.DataFrame, looks: Mapping[str, Style], width: float | None = None) -> Figure:
    """The figure."""
    places = layout(rows, looks)
    plot = Rows(places.styles, places.points, "norm of bias / norm of gradient", "smallest visible", width)
    ends = ("relative_bias_low", "relative_bias_high", "bias_floor")
    values = [v for name in ("relative_bias", *ends) for v in rows[name] if v > ROUNDING and math.isfinite(v)]
    plot.log_axis(values, pad=0.08)
    columns = zip(*(rows[name] for name in ("label", "position", "relative_bias", *ends)), strict=True)
    for label, position, estimate, low, high, floor in columns:
        row, point = places.row[label], places.point[position]
        if low > ROUNDING:
            plot.dot(row, point, places.styles[row], estimate, low, high)
        else:
            plot.below(row, point, places.styles[row], high, "0" if max(high, floor) < ROUNDING else "")
        plot.tick(row, point, places.styles[row], floor)
    return plot.finished()


def plots(summary: Summary) -> Iterator[Plot]:
    """One plot a problem with a reference to compare to."""
    for heading, rows in sections(summary.bias):
        drawn = _drawable(rows)
        if (drawn["relative_bias_high"] > ROUNDING).any():
            said = words(heading, rows, summary)
            drawing = partial(draw, drawn, phrases.looks(rows, summary.styles), summary.width)
            wide = spreads(drawn["label"].nunique(), summary.width)
            yield Plot(f"bias-{slug(heading)}", heading, said.caption, drawing, wide, said.notes)
