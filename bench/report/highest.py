"""Which estimators have the highest test ELBO: as a set, since the seeds may not tell the first ones apart."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bench.report.lowest import named
from bench.report.sweeps import Sweep, known
from bench.report.tables.view import Row, ends
from bench.report.text import interval, plural
from bench.statistics import lowest_paired, margin_paired, mean_interval

LEAST_SEEDS = 4
"""Of which two choose the highest and two judge it; fewer seeds do both."""


def listed(rows: Sequence[Row]) -> str:
    """`a`, `b` and `c`."""
    names = [named(row) for row in rows]
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _ended(sweep: Sweep) -> dict[float, float]:
    """Test ELBO of each seed that ended, at the rate that the others choose."""
    return {seed["seed"]: seed["test_elbo"] for seed in known(sweep.judged()) if not seed["diverged"]}


def _behind(compared: Sequence[Row], elbos: NDArray[np.float64], first: int, following: int) -> str:
    """By how much one is lower than the highest, by seeds that did not choose the highest where there are enough.

    Args:
        compared: rows of the table.
        elbos: [k, n] test ELBO of each row at each seed, the first n // 2 of which choose.
        first, following: the highest of all, and who is told.
    """
    seeds = elbos.shape[1]
    if seeds < LEAST_SEEDS:
        ahead = interval(*mean_interval(elbos[first] - elbos[following]))
        return f"{ahead} lower, paired over the {seeds} seeds that chose {named(compared[first])}"
    found = margin_paired(-elbos, following)
    if found.chosen == following:
        return f"which {seeds // 2} of {seeds} seeds alone would have chosen"
    (estimate, low, high), winner = found.interval, named(compared[found.chosen])
    ahead = interval(-estimate, -high, -low)
    return f"{ahead} lower than {winner}, which {seeds // 2} seeds chose and the {seeds - seeds // 2} others judge"


def sentence(rows: Sequence[Row], sweeps: Sequence[Sweep]) -> str:
    """The estimators that no other is told apart from as better, and the next one.

    One with diverged seeds comes first only where all have some, since the seeds that are left favour it. Compared are
    those that have all seeds of the first.

    Args:
        rows: of the table of ELBOs, of one section and number of evaluations of f, with a test ELBO each.
        sweeps: of that section, of these rows at least.
    """
    ended = {sweep.cells[sweep.best][0]["cell"]: _ended(sweep) for sweep in sweeps}
    whole = [row for row in rows if not row["diverged"]]
    highest = max(whole or rows, key=lambda row: float(row["test_elbo"]))
    seeds = list(ended[highest["cell"]])
    by_elbo = sorted(rows, key=lambda row: -float(row["test_elbo"]))
    compared = [row for row in by_elbo if all(seed in ended[row["cell"]] for seed in seeds)]
    best, worse = tuple(range(len(compared))), tuple[int, ...]()
    if len(seeds) > 1:
        elbos = np.array([[ended[row["cell"]][seed] for seed in seeds] for row in compared])
        best, worse, *_ = lowest_paired(-elbos)
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
