"""Gradient variance along the reference trajectory: a line an estimator."""

from collections.abc import Iterator, Mapping
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bench.report.figures import lines, phrases
from bench.report.figures.canvas import Plot, sections
from bench.report.style import Style
from bench.report.summary import Summary
from bench.report.text import slug


def words(heading: str, rows: pd.DataFrame, summary: Summary) -> phrases.Words:
    """What the figure shows, with its interval, method and n, and what limits it."""
    measured = rows[rows["measured"]]
    by_step = measured.dropna(subset=["trajectory_elbo"]).drop_duplicates("position").sort_values("position")
    pairs = zip(by_step["point"], by_step["trajectory_elbo"], strict=True)
    over = measured["trajectories"].max()
    elbos = ", ".join(f"{f'{elbo:.1f}' if abs(elbo) >= 10 else f'{elbo:.3g}'} at {point}" for point, elbo in pairs)
    return phrases.words(
        (
            "Variance of the gradient with respect to q's parameters along training, on "
            f"{phrases.problem(heading, rows)}.",
            f"Bands: {phrases.method(measured, '95 % jackknife interval on log variance')}, {phrases.draws(measured)}.",
            phrases.marked(measured, summary.styles),
        ),
        (
            phrases.fixed(measured),
            phrases.spent(rows),
            f"{'Mean ELBO of the trajectories' if over > 1 else 'ELBO of the trajectory'}: {elbos}." if elbos else "",
            phrases.heavy(measured, summary.styles),
            phrases.rare(measured, summary.styles),
            phrases.absent(rows, summary.styles),
        ),
    )


def draw(rows: pd.DataFrame, looks: Mapping[str, Style], width: float | None = None) -> Figure:
    """The figure."""
    series = []
    for label, group in rows[~rows["at_rounding"]].groupby("label", sort=False):
        line = group.sort_values("position")
        x, y, low, high = (
            line[name].to_numpy(dtype=np.float64) for name in ("step", "variance", "variance_low", "variance_high")
        )
        series.append(lines.Series(looks[str(label)], x, y, low, high))
    return lines.draw(series, "step of the reference trajectory", "gradient variance w.r.t. q", "steps", width=width)


def plots(summary: Summary) -> Iterator[Plot]:
    """One plot a problem with at least two checkpoints."""
    for heading, rows in sections(summary.variance):
        measured = rows[rows["measured"]]
        if measured["step"].nunique() > 1 and not measured["at_rounding"].all():
            said, looks = words(heading, rows, summary), phrases.looks(rows, summary.styles)
            drawing = partial(draw, measured, looks, summary.width)
            wide = lines.wide([looks[str(label)] for label in measured["label"].unique()], summary.width)
            yield Plot(f"trajectory-{slug(heading)}", heading, said.caption, drawing, wide, said.notes)
