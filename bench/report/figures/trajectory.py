"""Gradient variance along the reference trajectory: a line an estimator."""

from collections.abc import Iterator, Mapping
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bench.report.figures import lines, phrases
from bench.report.figures.canvas import Plot, crowded, sections
from bench.report.style import Style
from bench.report.summary import Summary
from bench.report.text import slug


def caption(heading: str, rows: pd.DataFrame, summary: Summary) -> str:
    """What the figure shows, with its interval, method and n."""
    measured = rows[rows["measured"]]
    by_step = measured.dropna(subset=["trajectory_elbo"]).drop_duplicates("position").sort_values("position")
    pairs = zip(by_step["point"], by_step["trajectory_elbo"], strict=True)
    over = measured["trajectories"].max()
    elbos = ", ".join(f"{elbo:.1f} at {point}" for point, elbo in pairs)
    return phrases.join(
        "Variance (trace of the covariance) of the gradient with respect to q's parameters along "
        f"training, on {phrases.problem(heading, rows)}.",
        phrases.fixed(measured),
        f"{'Mean ELBO of the trajectories' if over > 1 else 'ELBO of the trajectory'}: {elbos}." if elbos else "",
        f"Bands: {phrases.method(measured, '95 % jackknife interval on log variance')}, {phrases.draws(measured)}.",
        phrases.BIASED if not measured["unbiased"].all() else "",
        phrases.heavy(measured, summary.styles),
        phrases.rare(measured, summary.styles),
        phrases.absent(rows, summary.styles),
    )


def draw(rows: pd.DataFrame, looks: Mapping[str, Style]) -> Figure:
    """The figure."""
    series = []
    for label, group in rows[~rows["at_rounding"]].groupby("label", sort=False):
        line = group.sort_values("position")
        x, y, low, high = (
            line[name].to_numpy(dtype=np.float64) for name in ("step", "variance", "variance_low", "variance_high")
        )
        series.append(lines.Series(looks[str(label)], x, y, low, high))
    return lines.draw(series, "step of the reference trajectory", "gradient variance w.r.t. q", "steps")


def plots(summary: Summary) -> Iterator[Plot]:
    """One plot a problem with at least two checkpoints."""
    for heading, rows in sections(summary.variance):
        measured = rows[rows["measured"]]
        if measured["step"].nunique() > 1 and not measured["at_rounding"].all():
            words = caption(heading, rows, summary)
            yield Plot(
                f"trajectory-{slug(heading)}",
                heading,
                words,
                partial(draw, measured, phrases.looks(rows, summary.styles)),
                crowded(measured["label"].unique()),
            )
