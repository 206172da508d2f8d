"""Trainings that differ in the learning rate alone: which rate each estimator is reported at.

The best of several rates looks better than it is on the seeds that chose it. So the rate of each seed is chosen by the
other seeds, and the seed itself judges; what is reported is the mean over seeds so judged.

Where several rates are about equal, seeds so judged are not independent: two seeds at which a rate does well choose it
for each other. Student's interval of their mean then covers 80 to 88 % of the time. So intervals are joint ones of the
rates that any seed is judged at (`Sweep.choices`), which cover 94 % or more (simulated for 2 to 5 equal rates).
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from bench.report.tables.view import Row
from bench.report.text import count
from bench.statistics.sweep import best_rate, merit

UNKNOWN = math.nan
"""The rate of a record that does not hold it."""

Ended = dict[float, float]
"""Test ELBO of each seed that ended."""


class Sweep(NamedTuple):
    """The cells of one estimator in one section, by learning rate in ascending order."""

    cells: Mapping[float, Sequence[Row]]
    """The rows of each cell, one a seed; a cell that measured nothing has one without a seed."""

    @property
    def best(self) -> float:
        """The best rate by all seeds; the lowest that has seeds at all, where none of them ended."""
        best = best_rate({rate: _ends(rows) for rate, rows in self.cells.items()})
        if best is not None:
            return best
        with_seeds = [rate for rate, rows in self.cells.items() if known(rows)]
        return next(iter([*with_seeds, *self.cells]))

    @property
    def asked(self) -> str:
        """How many seeds were asked for, in words; none where a record does not hold it."""
        return count(next(iter(self.cells.values()))[0]["seeds_asked"])

    @property
    def swept(self) -> bool:
        """Whether there was a choice."""
        return len(self.cells) > 1

    @property
    def at_edge(self) -> bool:
        """Whether the best rate is the lowest or the highest that was run, so that a better one may lie beyond."""
        rates = list(self.cells)
        return self.swept and self.best in (rates[0], rates[-1])

    def judged(self) -> list[Row]:
        """The row of each seed at the rate that the other seeds choose; a single seed has to choose for itself.

        They choose among the rates at which the fewest of all seeds diverged: a person who has seen one diverge would
        not train with that rate. An estimator of which nothing was measured keeps one row.
        """
        shares = {rate: merit(_ends(rows))[0] for rate, rows in self.cells.items()}
        sound = [rate for rate, share in shares.items() if share == shares[self.best]]
        found = []
        for row in known(self.cells[self.best]):
            chosen = best_rate({rate: _ends(self.cells[rate], row["seed"]) for rate in sound})
            rows = self.cells[self.best if chosen is None else chosen]
            found.append(next((other for other in rows if other["seed"] == row["seed"]), row))
        return found or [self.cells[self.best][0]]

    def choices(self) -> list[list[Row]]:
        """The judged rows; where those are of several rates, after them the rows of each of these and of the best.

        The seeds do not settle which of these rates to take, so that what is said holds whichever it is.
        """
        judged = self.judged()
        cells = {str(row["cell"]) for row in (*judged, self.cells[self.best][0])}
        chosen = [known(rows) for rows in self.cells.values() if str(rows[0]["cell"]) in cells]
        return [judged, *chosen] if len(chosen) > 1 else [judged]

    def ended(self) -> list[Ended]:
        """The same as test ELBOs of the seeds that ended."""
        return [
            {seed["seed"]: seed["test_elbo"] for seed in known(rows) if not seed["diverged"]} for rows in self.choices()
        ]


def known(rows: Iterable[Row]) -> list[Row]:
    """Those that are of a seed."""
    return [row for row in rows if not math.isnan(row["seed"])]


def _ends(rows: Sequence[Row], without: float = math.nan) -> list[float | None]:
    """Final test ELBO of each seed but one; None where it diverged."""
    return [None if row["diverged"] else row["test_elbo"] for row in known(rows) if row["seed"] != without]


def sweeps(seeds: Sequence[Row]) -> Iterator[Sweep]:
    """The sweeps among the rows of seeds, those of a cell together: a choice lies among cells of as many seeds.

    A rate that was run twice, by runs that differ in what a section does not, begins another sweep.
    """
    groups: dict[tuple[object, ...], list[dict[float, list[Row]]]] = {}
    for _, members in groupby(seeds, key=lambda seed: str(seed["cell"])):
        rows = list(members)
        rate, asked = (UNKNOWN if math.isnan(x) else x for x in (rows[0]["learning_rate"], rows[0]["seeds_asked"]))
        same = groups.setdefault((rows[0]["section"], rows[0]["label"], asked), [])
        room = next((cells for cells in same if rate not in cells), None)
        if room is None:
            same.append(room := {})
        room[rate] = rows
    for same in groups.values():
        for cells in same:
            yield Sweep(dict(sorted(cells.items())))
