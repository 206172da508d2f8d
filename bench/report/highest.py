"""Which estimators have the highest test ELBO: as a set, since the seeds may not tell the first ones apart."""

from collections.abc import Sequence

import numpy as np

from bench.report.lowest import named
from bench.report.sweeps import Sweep, known
from bench.report.tables.view import Row, ends
from bench.report.text import interval, plural
from bench.statistics import lowest_paired


def listed(rows: Sequence[Row]) -> str:
    """`a`, `b` and `c`."""
    names = [named(row) for row in rows]
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _ended(sweep: Sweep) -> dict[float, float]:
    """Test ELBO of each seed that ended, at the rate that the others choose."""
    return {seed["seed"]: seed["test_elbo"] for seed in known(sweep.judged()) if not seed["diverged"]}


def sentence(rows: Sequence[Row], sweeps: Sequence[Sweep]) -> str:
    """The estimators that no other is told apart from as better, and the next one.

    One with diverged seeds comes first only where all have some, since the seeds that are left favour it. Compared are
    those that have all seeds of the first. The interval of the next one's distance is that of all comparisons at once,
    since the seeds that it is made of chose both.

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
    elbos = np.array([[ended[row["cell"]][seed] for seed in seeds] for row in compared])
    found = lowest_paired(-elbos) if len(seeds) > 1 else None
    first, *ties = (compared[i] for i in (found.best if found else range(len(compared))))
    text = f"{named(first)}, {interval(*(first[column] for column in ends('test_elbo')))}"
    text += f" ({first['diverged']} of {first['seeds']} seeds diverged)" if first["diverged"] else ""
    if ties:
        text += f", not told apart from {listed(ties)} by {plural(len(seeds), 'seed')}"
    if found and found.worse:
        following, gap = found.worse[0], float((elbos[found.best[0]] - elbos[found.worse[0]]).mean())
        ahead = interval(gap, found.low[following], found.high[following])
        text += f"; next {named(compared[following])}, {ahead} lower, paired over {plural(len(seeds), 'seed')}"
    by_train = max(compared, key=lambda row: float(row["train_elbo"]))
    if by_train["cell"] not in (row["cell"] for row in (first, *ties)):
        text += f"; the training ELBO alone would have named {named(by_train)}"
    if left := [row for row in rows if row["cell"] not in {other["cell"] for other in compared}]:
        text += f"; not compared, as seeds of the first diverged or are missing: {listed(left)}"
    return text
