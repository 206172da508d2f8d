"""What the atlas has of an estimator: exact variance and bias over sharpness, beside its family's reference."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from bench.atlas.query import by_size
from bench.atlas.table import EVALUATIONS, Averaged, Integral, at_equal_evaluations
from bench.studies.atlas.problems import EVENTS, SHOWN
from bench.studies.atlas.ranks import FLOOR
from estimators.entry import Entry
from estimators.registry import available

LEVELS = (0.0, 3.0, 6.0)
"""Of sharpness, in tables."""
REFERENCES = {"elbo": ("rloo", "reparameterization"), "iwae": ("vimco", "iwae-reparameterization")}
"""By bound: what an estimator is held beside, in the families that it is for; the last one is the family's usual."""
OBJECTIVES = {"elbo": SHOWN, "iwae": f"{SHOWN}-iwae-2"}
"""By bound: the frozen network, of which a bound takes two draws."""
Index = Mapping[tuple[str, str, str], list[Integral]]
"""Integrals of estimators with their defaults, by estimator, family and objective."""


class Beside(NamedTuple):
    """An estimator and its references on one problem over sharpness, at equal evaluations of f."""

    family: str
    latents: str
    f_evals: int
    """The fewest that pay for all of them."""
    own: dict[float, Averaged]
    references: dict[str, dict[float, Averaged]]
    """By name, that of the family last; none where there is no other, or none was integrated."""

    @property
    def reference(self) -> tuple[str, dict[float, Averaged]]:
        """The last of the references; no name where there is none."""
        return next(reversed(self.references.items())) if self.references else ("", {})

    def ratio(self, level: float) -> float | None:
        """Mean squared error over the reference's; None where one is not known, or is without noise."""
        own, other = self.own.get(level), self.reference[1].get(level)
        return None if own is None or other is None or other.error <= FLOOR else (own.error / other.error) ** 2

    @property
    def tolerance(self) -> float:
        """The largest of all that is shown."""
        return max(a.of.tolerance for found in (self.own, *self.references.values()) for a in found.values())


def index(table: Iterable[Integral]) -> Index:
    """The integrals of estimators with their defaults on the objectives that pages show."""
    found: dict[tuple[str, str, str], list[Integral]] = {}
    for one in table:
        if not one.options and one.objective in OBJECTIVES.values():
            found.setdefault((one.estimator, one.family, one.objective), []).append(one)
    return found


def beside(entry: Entry, table: Index) -> Iterator[Beside]:
    """One problem for each family of the atlas: the largest on which the estimator is known at all `LEVELS`."""
    objective = OBJECTIVES[entry.bound]
    for family in EVENTS:
        names = [e.name for e in available(family=family) if e.name in REFERENCES[entry.bound] and e is not entry]
        names.sort(key=REFERENCES[entry.bound].index)
        own = table.get((entry.name, family, objective), [])
        shapes = sorted({one.latents for one in own if not one.reason}, key=by_size)
        found = [
            _on(own, {name: table.get((name, family, objective), []) for name in names}, family, latents)
            for latents in shapes
        ]
        if found:
            yield max(found, key=_told)


def _told(found: Beside) -> tuple[int, int, int]:
    """How much of a problem is known, before its size."""
    known = [{*own} for own in (found.own, found.reference[1])]
    return sum(len(known_of & {*LEVELS}) for known_of in known), len(known[0]), by_size(found.latents)[0]


def _on(own: Sequence[Integral], others: Mapping[str, Sequence[Integral]], family: str, latents: str) -> Beside:
    def here(integrals: Iterable[Integral]) -> list[Integral]:
        return [one for one in integrals if one.latents == latents and not one.reason]

    kept = {name: rows for name, all_of in others.items() if (rows := here(all_of))}
    least = max(min(one.cost for one in rows) for rows in (here(own), *kept.values()))
    budget = next(number for number in EVALUATIONS if number >= least)

    def over(integrals: Iterable[Integral]) -> dict[float, Averaged]:
        return {average.of.sharpness: average for average in at_equal_evaluations(integrals, [budget])}

    return Beside(family, latents, budget, over(here(own)), {name: over(rows) for name, rows in kept.items()})


def missing(entry: Entry, table: Index) -> dict[str, str]:
    """The estimator's families of which nothing is known, each with the reason."""
    reasons = {}
    for family in entry.families:
        own = table.get((entry.name, family, OBJECTIVES[entry.bound]), [])
        if all(one.reason for one in own):
            smallest = min(own, key=lambda one: by_size(one.latents), default=None)
            reasons[family] = smallest.reason if smallest else "the atlas has no problem of this family"
            if smallest is None and family in EVENTS:
                most = max(EVALUATIONS)
                reasons[family] = f"none that takes {most} evaluations of f or fewer was integrated"
    return reasons
