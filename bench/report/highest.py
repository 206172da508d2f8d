"""Which estimators have the highest test ELBO: as a set, since the seeds may not tell the first ones apart."""

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.report.lowest import named
from bench.report.sweeps import Ended, Sweep
from bench.report.tables.view import Row, ends
from bench.report.text import interval, plural
from bench.statistics import joint, lowest_paired, margin_paired, mean_interval

LEAST_SEEDS = 4
"""Of which two choose the highest and two judge it; fewer seeds do both."""


def listed(rows: Sequence[Row]) -> str:
    """`a`, `b` and `c`."""
    names = [named(row) for row in rows]
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _behind(compared: Sequence[Row], elbos: Sequence[NDArray[np.float64]], first: int, following: int) -> str:
    """By how much one is lower than the highest, by seeds that did not choose the highest where there are enough.

    Args:
        compared: rows of the table.
        elbos: of each row [choices, n], its test ELBO at each seed, the first n // 2 of which choose the highest.
        first, following: the highest of all, and who is told.
    """
    seeds = elbos[0].shape[1]
    half = 0 if seeds < LEAST_SEEDS else seeds // 2
    chosen = first
    if half:
        chosen = margin_paired(np.array([-own[0] for own in elbos]), following).chosen
        if chosen == following:
            return f"which {half} of {seeds} seeds alone would have chosen"
    pairs = product(elbos[chosen], elbos[following])
    ahead = interval(*joint(mean_interval(one[half:] - other[half:]) for one, other in pairs))
    if not half:
        return f"{ahead} lower, paired over the {seeds} seeds that chose {named(compared[first])}"
    winner = named(compared[chosen])
    return f"{ahead} lower than {winner}, which {half} seeds chose and the {seeds - half} others judge"


def _at(seeds: Sequence[float], choices: Sequence[Ended]) -> NDArray[np.float64]:
    """[choices, n] test ELBOs at some seeds, of the choices at which all of them ended."""
    return np.array([[ended[seed] for seed in seeds] for ended in choices if all(seed in ended for seed in seeds)])


class Comparison(NamedTuple):
    """Estimators held against each other by the seeds of the highest."""

    seeds: list[float]
    rows: list[Row]
    """Those that have all of these seeds, the highest first."""
    elbos: list[NDArray[np.float64]]
    """Of each row [choices, n], its test ELBO at each seed."""
    best: tuple[int, ...]
    """Places in `rows` of those that may be the highest, the first of them first."""
    worse: tuple[int, ...]


def compare(rows: Sequence[Row], sweeps: Sequence[Sweep]) -> Comparison:
    """Which estimators no other is told apart from as better.

    One with diverged seeds comes first only where all have some, since the seeds that are left favour it. Compared are
    those that have all seeds of the first.

    Args:
        rows: of the table of ELBOs, of one section and number of evaluations of f, with a test ELBO each.
        sweeps: of that section, of these rows at least.
    """
    ended = {sweep.cells[sweep.best][0]["cell"]: sweep.ended() for sweep in sweeps}
    whole = [row for row in rows if not row["diverged"]]
    highest = max(whole or rows, key=lambda row: float(row["test_elbo"]))
    seeds = list(ended[highest["cell"]][0])
    by_elbo = sorted(rows, key=lambda row: -float(row["test_elbo"]))
    compared = [row for row in by_elbo if all(seed in ended[row["cell"]][0] for seed in seeds)]
    best, worse = tuple(range(len(compared))), tuple[int, ...]()
    elbos = [_at(seeds, ended[row["cell"]]) for row in compared]
    if len(seeds) > 1:
        of = np.repeat(range(len(elbos)), [len(own) for own in elbos])
        best, worse, *_ = lowest_paired(-np.concatenate(elbos), of=of.tolist())
    return Comparison(seeds, compared, elbos, best, worse)


def sentence(rows: Sequence[Row], sweeps: Sequence[Sweep]) -> str:
    """The estimators that no other is told apart from as better, and the next one; arguments as of `compare`."""
    seeds, compared, elbos, best, worse = compare(rows, sweeps)
    first, *ties = (compared[i] for i in best)
    text = f"{named(first)}, {interval(*(first[column] for column in ends('test_elbo')))}"
    text += f" ({first['diverged']} of {first['seeds']} seeds diverged)" if first["diverged"] else ""
    if ties:
        text += f", not told apart from {listed(ties)} by {plural(len(seeds), 'seed')}"
    if worse:
        text += f"; next {named(compared[worse[0]])}, {_behind(compared, elbos, best[0], worse[0])}"
    by_train = max(compared, key=lambda row: float(row["train_elbo"]))
    if by_train["cell"] not in (row["cell"] for row in (first, *ties)):
        text += f"; the training ELBO alone would have named {named(by_train)}"
    if left := [row for row in rows if row["cell"] not in {other["cell"] for other in compared}]:
        text += f"; not compared, as seeds of the first diverged or are missing: {listed(left)}"
    return text
