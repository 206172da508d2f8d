"""What limits a training's numbers whoever wins: too few seeds, and runs that end while the ELBO still rises."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from bench.report.frames import Frames
from bench.report.lowest import named
from bench.report.tables.view import Row, rows_of
from bench.report.text import count, interval, plural, span
from bench.statistics import Interval, mean_interval

ENOUGH_SEEDS = 10
"""Of a table to publish: fewer leave intervals wide, and half of them choose whose margin the others judge."""
LAST = 0.2
"""Share of a training's steps over which its end is held against a rise."""


def few_seeds(elbo: pd.DataFrame) -> Iterator[str]:
    """A sentence on the problems that were trained with few seeds."""
    few = elbo[elbo["measured"] & (elbo["seeds"] < ENOUGH_SEEDS)]
    if len(few):
        sections = ", ".join(map(str, few["section"].drop_duplicates()))
        seeds = span(few["seeds"].min(), few["seeds"].max())
        yield (
            f"ELBOs of {seeds} seeds on {sections}: a table to publish wants {ENOUGH_SEEDS} or more, and what differs "
            "by less than the detectable difference of the ELBO table is not told apart."
        )


def still_rising(elbo: pd.DataFrame, frames: Frames) -> Iterator[str]:
    """A sentence a problem on trainings whose test ELBO still rises at their end, so that a longer one may rank others.

    A rise is the gain over the last fifth of the steps, paired by seed, whose 95 % interval lies above 0.
    """
    by_cell = dict(iter(frames.curves.groupby("cell")))
    for heading, rows in elbo[elbo["measured"]].groupby("section", sort=False):
        gains = [(row, gain) for row in rows_of(rows) if (gain := _gain(by_cell.get(row["cell"]))) is not None]
        rising = [(row, gain) for row, gain in gains if gain.low > 0]
        if rising:
            yield _sentence(str(heading), rising, len(gains))


def _sentence(heading: str, rising: list[tuple[Row, Interval]], of: int) -> str:
    row, most = max(rising, key=lambda one: one[1].estimate)
    steps = f"its {plural(int(row['steps']), 'step')}" if row["steps"] > 0 else "its steps"
    return (
        f"Training on {heading} ends while the test ELBO still rises, for {count(len(rising))} of "
        f"{plural(of, 'estimator')}: by {interval(*most)} nats over the last fifth of {steps} for {named(row)}, the "
        "most. Longer runs may rank them otherwise."
    )


def _gain(curve: pd.DataFrame | None) -> Interval | None:
    """Of the test ELBO over the last part of a training, over its seeds; None where there is nothing to tell it by."""
    if curve is None:
        return None
    grid = curve.pivot(index="step", columns="seed", values="test_elbo").dropna(axis="columns")
    steps = grid.index.to_numpy(dtype=np.float64)
    if grid.shape[1] < 2 or len(steps) < 3:
        return None
    early = steps <= steps[-1] - LAST * (steps[-1] - steps[0])
    return mean_interval(grid.iloc[-1].to_numpy() - grid.iloc[int(early.sum()) - 1].to_numpy())
