"""What limits a training's numbers whoever wins: too few seeds, and runs that end while the ELBO still rises."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

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

    A rise is the gain over the last fifth of the steps, or since the evaluation before that, paired by seed, whose
    interval lies above 0. The intervals of a problem hold together at 95 % (Bonferroni), as of twenty trainings that
    have come to their end some rises by chance.
    """
    by_cell = dict(iter(frames.curves.groupby("cell")))
    for heading, rows in elbo[elbo["measured"]].groupby("section", sort=False):
        found = [(row, gain) for row in rows_of(rows) if (gain := _gain(by_cell.get(row["cell"]))) is not None]
        level = 1 - 0.05 / max(1, len(found))
        gains = [(row, mean_interval(gain.by_seed, level), gain) for row, gain in found]
        rising = [one for one in gains if one[1].low > 0]
        if rising:
            yield _sentence(str(heading), rising, len(gains))


class _Gain(NamedTuple):
    """Of the test ELBO over the last part of a training."""

    by_seed: NDArray[np.float64]
    since: float
    """The step from which it is counted."""
    to: float


def _sentence(heading: str, rising: list[tuple[Row, Interval, _Gain]], of: int) -> str:
    row, most, gain = max(rising, key=lambda one: one[1].estimate)
    return (
        f"Training on {heading} ends while the test ELBO still rises, for {count(len(rising))} of "
        f"{plural(of, 'estimator')}: by {interval(*most)} nats over the last {count(gain.to - gain.since)} of its "
        f"{plural(int(gain.to), 'step')} for {named(row)}, the most. Longer runs may rank them otherwise."
    )


def _gain(curve: pd.DataFrame | None) -> _Gain | None:
    """Of each seed that is left; None where there is nothing to tell it by."""
    if curve is None:
        return None
    grid = curve.pivot(index="step", columns="seed", values="test_elbo").dropna(axis="columns")
    steps = grid.index.to_numpy(dtype=np.float64)
    if grid.shape[1] < 2 or len(steps) < 3:
        return None
    early = steps <= steps[-1] - LAST * (steps[-1] - steps[0])
    since = int(early.sum()) - 1
    return _Gain(grid.iloc[-1].to_numpy() - grid.iloc[since].to_numpy(), float(steps[since]), float(steps[-1]))
