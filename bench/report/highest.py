"""Which estimators have the highest test ELBO: as a set, since the seeds may not tell the first ones apart."""

from collections.abc import Mapping, Sequence

import numpy as np

from bench.report.lowest import named
from bench.report.sweeps import Sweep, known
from bench.report.tables.view import Row, ends
from bench.report.text import interval, plural
from bench.statistics import lowest_paired, mean_interval


def listed(rows: Sequence[Row]) -> str:
    """`a`, `b` and `c`."""
    names = [named(row) for row in rows]
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _ended(sweep: Sweep) -> dict[float, float]:
    """Test ELBO of each seed that ended, at the rate that the others choose."""
    return {seed["seed"]: seed["test_elbo"] for seed in known(sweep.judged()) if not seed["diverged"]}


def _ahead(best: Mapping[float, float], other: Mapping[float, float]) -> str:
    """By how much one is lower than the best, over the seeds that both ended."""
    differences = [value - other[seed] for seed, value in best.items() if seed in other]
    return f"{interval(*mean_interval(differences))} lower, paired over {plural(len(differences), 'seed')}"


def sentence(rows: Sequence[Row], sweeps: Sequence[Sweep]) -> str:
    """The estimators that no other is told apart from as better, and the next one.

    One with diverged seeds comes first only where all have some, since the seeds that are left favour it. Compared are
    those that have all seeds of the first.

    Args:
        rows: of the table of ELBOs, of one section, with a test ELBO each.
        sweeps: of that section.
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
        following = compared[worse[0]]
        text += f"; next {named(following)}, {_ahead(ended[first['cell']], ended[following['cell']])}"
    by_train = max(compared, key=lambda row: float(row["train_elbo"]))
    if by_train["cell"] not in (row["cell"] for row in (first, *ties)):
        text += f"; the training ELBO alone would have named {named(by_train)}"
    if left := [row for row in rows if row["cell"] not in {other["cell"] for other in compared}]:
        text += f"; not compared, as seeds of the first diverged or are missing: {listed(left)}"
    return text
