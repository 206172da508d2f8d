"""The noise of each estimator over a toy's sweep of |logit| (or scale): rankings reverse as q converges."""

from collections.abc import Iterator, Mapping
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bench.report.figures import lines, phrases
from bench.report.figures.canvas import Plot, sections
from bench.report.style import Style
from bench.report.summary import Summary
from bench.report.text import plural, slug

_DASHES = "Solid lines join exact points, dashed ones lead to sampled points."


def _drawable(rows: pd.DataFrame) -> pd.DataFrame:
    """Points with noise and with a gradient to compare it to."""
    return rows[rows["measured"] & ~rows["at_rounding"] & (rows["gradient_norm"] > 0)]


def words(heading: str, rows: pd.DataFrame, summary: Summary) -> phrases.Words:
    """What the figure shows, with its interval, method and n, and what limits it."""
    drawn = _drawable(rows)
    swept = "|logit| of q" if drawn["logit"].notna().any() else "scale of q"
    still = rows[rows["measured"] & rows["noiseless"]]["label"].unique()
    names = phrases.names(still, summary.styles)
    zero = int((rows["measured"] & ~(rows["gradient_norm"] > 0)).sum())
    return phrases.words(
        (
            f"Standard deviation of the gradient over the norm of the exact gradient, against the {swept}, on "
            f"{phrases.problem(heading, rows)}.",
            phrases.spread(drawn, "Bands", "95 % jackknife interval on log variance"),
            phrases.marked(drawn, summary.styles),
        ),
        (
            phrases.fixed(drawn),
            phrases.spent(rows),
            phrases.exactly(drawn),
            _DASHES if drawn["exact"].any() and not drawn["exact"].all() else "",
            f"Not shown, no noise but rounding: {names}." if names else "",
            f"Not shown, gradient 0: {plural(zero, 'point')}." if zero else "",
            phrases.heavy(drawn, summary.styles),
            phrases.rare(rows[rows["measured"]], summary.styles),
            phrases.absent(rows, summary.styles),
        ),
    )


def draw(rows: pd.DataFrame, looks: Mapping[str, Style], width: float | None = None) -> Figure:
    """The figure."""
    of_logits = bool(rows["logit"].notna().any())
    series = []
    for label, group in rows.groupby("label", sort=False):
        line = group.sort_values("position")
        norm, variance, low, high = (
            line[name].to_numpy(dtype=np.float64)
            for name in ("gradient_norm", "variance", "variance_low", "variance_high")
        )
        x = line["position"].to_numpy(dtype=np.float64)
        deviation, least, most = (np.sqrt(values) / norm for values in (variance, low, high))
        exact = line["exact"].to_numpy(dtype=np.bool_)
        series.append(lines.Series(looks[str(label)], x, deviation, least, most, exact))
    xlabel, spacing = ("|logit| of q", "linear") if of_logits else ("scale of q", "log")
    return lines.draw(series, xlabel, "standard deviation / gradient norm", spacing, width=width)


def plots(summary: Summary) -> Iterator[Plot]:
    """One plot a swept problem."""
    for heading, rows in sections(summary.variance):
        drawn = _drawable(rows)
        if drawn["step"].isna().all() and drawn["position"].nunique() > 1:
            said, looks = words(heading, rows, summary), phrases.looks(rows, summary.styles)
            drawing = partial(draw, drawn, looks, summary.width)
            wide = lines.wide([looks[str(label)] for label in drawn["label"].unique()], summary.width)
            yield Plot(f"logit-{slug(heading)}", heading, said.caption, drawing, wide, said.notes)
