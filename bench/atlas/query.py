"""A question to the atlas: which estimators are best on one problem, for so many evaluations of f."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from bench.atlas.table import EVALUATIONS, Averaged, Integral, at_equal_evaluations
from estimators.errors import BadInput, unknown

REFERENCE = "rloo"
"""The estimator to whose deviation the others' are related."""


class Question(NamedTuple):
    """One problem, and what may be spent on it."""

    sharpness: float
    latents: str
    f_evals: int
    objective: str
    family: str
    unbiased: bool = False
    """Whether only estimators without a bias are wanted."""


class Ranking(NamedTuple):
    """An answer."""

    rows: list[dict[str, Any]]
    """Estimators, that with the least error first."""
    missing: dict[str, str]
    """Estimators for which no number was found, each with the reason."""


def ranked(table: Iterable[Integral], asked: Question) -> Ranking:
    """Estimators on one problem, by the root of their mean squared error.

    Raises:
        BadInput: something that is asked for is not in the table; the message names the nearest that is.
    """
    integrals = _chosen(list(table), asked)
    averages = list(at_equal_evaluations(integrals, [asked.f_evals]))
    wanted = [average for average in averages if average.of.unbiased or not asked.unbiased]
    reference = [a.deviation for a in averages if a.of.label == REFERENCE and not a.of.reason]
    found = sorted((a for a in wanted if not a.of.reason), key=lambda a: (round_off(a.error), a.of.label))
    rows = [_row(average, reference[0] if reference else math.nan) for average in found]
    return Ranking(rows, {a.of.label: a.of.reason for a in wanted if a.of.reason})


def round_off(error: float) -> float:
    """To six digits, in which ties are told."""
    return float(f"{error:.5e}")


def _row(average: Averaged, reference: float) -> dict[str, Any]:
    return {
        "name": average.of.label,
        "relative sd": average.deviation,
        "relative bias": average.of.bias,
        "samples x repeats": f"{average.of.samples} x {average.repeats}",
        f"sd / {REFERENCE}'s": average.deviation / reference if reference else math.nan,
        "unbiased": average.of.unbiased,
        "settled": average.of.settled,
    }


def _chosen(table: Sequence[Integral], asked: Question) -> list[Integral]:
    """The rows of a problem, one part of it after another, so that a fault names what there is beside the others."""
    families = list(dict.fromkeys(one.family for one in table))
    if asked.family not in families:
        raise BadInput(unknown("family", asked.family, families))
    own = [one for one in table if one.family == asked.family]
    objectives = list(dict.fromkeys(one.objective for one in own))
    if asked.objective not in objectives:
        raise BadInput(unknown("objective", asked.objective, objectives))
    own = [one for one in own if one.objective == asked.objective]
    latents = sorted({one.latents for one in own}, key=by_size)
    if asked.latents not in latents:
        raise BadInput(f"the atlas has no --latents {asked.latents} of {asked.family}. It has: {', '.join(latents)}")
    own = [one for one in own if one.latents == asked.latents]
    _numbered("--logit", asked.sharpness, sorted({one.sharpness for one in own}))
    _numbered("--f-evals", asked.f_evals, EVALUATIONS)
    return [one for one in own if one.sharpness == asked.sharpness]


def by_size(latents: str) -> tuple[int, ...]:
    """What sorts shapes such as `4` or `2x3`: their numbers, then their latents."""
    shape = [int(size) for size in latents.split("x")]
    return math.prod(shape), *shape


def _numbered(what: str, typed: float, known: Sequence[float]) -> None:
    """Refuse a number that is not in the table, and name its neighbours.

    Raises:
        BadInput: it is not.
    """
    if typed in known:
        return
    below, above = [x for x in known if x < typed], [x for x in known if x > typed]
    near = " and ".join(f"{x:g}" for x in [*below[-1:], *above[:1]])
    listed = ", ".join(f"{x:g}" for x in known)
    raise BadInput(f"the atlas has no {what} {typed:g}; nearest: {near}. It has: {listed}")
