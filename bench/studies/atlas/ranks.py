"""Who wins where, and where two estimators change places between a q as at the start and a converged one."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

from bench.atlas.query import by_size
from bench.atlas.table import Averaged
from bench.studies.atlas.problems import SHOWN

BUDGETS = (2, 4)
"""Evaluations of f in tables and figures."""
FLAT, SHARP = 0.0, 6.0
"""Where ranks are compared: a q as at the start of training, and a converged one."""
FLOOR = 1e-7
"""A deviation or bias below it is rounding."""
SEVERAL = "several, without noise"
"""Stands for a winner where more than one estimator has no deviation at all."""
CLEAR = 1.1
"""A deviation is larger than another if it is so by this factor."""

Problem = tuple[str, str, str, float]
Cells = dict[tuple[Problem, int], list[Averaged]]
"""By problem and evaluations: all averages that were found, that with the least deviation first."""


def unbiased(averages: Iterable[Averaged]) -> Cells:
    """Averages of the estimators declared unbiased that have a number, and all of whose evaluations are counted."""
    cells: Cells = {}
    for average in averages:
        if average.of.unbiased and not average.of.settled and not average.of.reason:
            cells.setdefault((average.of.problem, average.f_evals), []).append(average)
    return {cell: sorted(own, key=_place) for cell, own in cells.items()}


def _place(average: Averaged) -> tuple[float, bool, str]:
    """Ties are told in five digits; of them, defaults come first, then names."""
    deviation = float(f"{average.deviation:.4e}") if average.deviation > FLOOR else 0.0
    return deviation, bool(average.of.options), average.of.label


def winner(found: Sequence[Averaged]) -> tuple[str, float]:
    """The best of a cell and its deviation."""
    still = sum(average.deviation <= FLOOR for average in found)
    return (SEVERAL, 0.0) if still > 1 else (found[0].of.label, found[0].deviation if not still else 0.0)


class Reversal(NamedTuple):
    """Two estimators, the first better at a flat q, the second at a sharp one."""

    first: str
    second: str
    flat: float
    """Deviation of the second over that of the first."""
    sharp: float
    """Deviation of the first over that of the second."""

    @property
    def size(self) -> float:
        """The smaller of both factors: what is lost at least by a choice made at the other end."""
        return min(self.flat, self.sharp)


class Compared(NamedTuple):
    """All pairs of estimators of one family, shape, objective and number of evaluations."""

    pairs: int
    """How many differ clearly at both ends."""
    reversed: list[Reversal]
    """Those that change places, the largest first."""


def compared(cells: Cells, family: str, latents: str, objective: str, f_evals: int) -> Compared:
    """Ranks at both ends of sharpness, of estimators with their defaults."""
    flat, sharp = (
        {
            a.of.label: a.deviation
            for a in cells.get(((family, latents, objective, level), f_evals), ())
            if not a.of.options
        }
        for level in (FLAT, SHARP)
    )
    pairs, found = 0, []
    for one, other in combinations(sorted(flat.keys() & sharp.keys()), 2):
        for a, b in ((one, other), (other, one)):
            if min(flat[a], flat[b], sharp[a], sharp[b]) <= FLOOR:
                continue  # no factor leads from or to a deviation of 0
            start, end = flat[b] / flat[a], sharp[b] / sharp[a]
            if start >= CLEAR and (end >= CLEAR or end <= 1 / CLEAR):
                pairs += 1
                found += [Reversal(a, b, start, 1 / end)] if end < 1 else []
    return Compared(pairs, sorted(found, key=lambda reversal: -reversal.size))


def groups(cells: Cells) -> Iterator[tuple[str, str, str, int]]:
    """Family, shape, objective and evaluations of all cells, each once."""
    yield from dict.fromkeys((*problem[:3], f_evals) for problem, f_evals in cells)


def levels(cells: Cells, family: str) -> tuple[list[str], list[float]]:
    """Shapes and levels of sharpness of a family, the smallest first."""
    problems = [problem for problem, _ in cells if problem[0] == family]
    return sorted({p[1] for p in problems}, key=by_size), sorted({p[3] for p in problems})


def typical(averages: Sequence[Averaged], family: str, latents: str, most: int) -> list[str]:
    """At most so many estimators for a figure: unbiased, with their defaults, best on average over sharpness."""
    places: dict[str, list[int]] = {}
    cells = unbiased(averages)
    _, sharpness = levels(cells, family)
    for level in sharpness:
        own = [a.of for a in cells.get(((family, latents, SHOWN, level), max(BUDGETS)), ())]
        for place, one in enumerate([one for one in own if not one.options]):
            places.setdefault(one.label, []).append(place)
    whole = {label: sum(own) for label, own in places.items() if len(own) == len(sharpness)}
    return sorted(sorted(whole, key=lambda label: whole[label])[:most])
