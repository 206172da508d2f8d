"""A question to the atlas: which estimators are best on one problem, for so many evaluations of f."""

import math
import re
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
    _shaped(asked, sorted({one.latents for one in own}, key=by_size))
    own = [one for one in own if one.latents == asked.latents]
    sharpness = sorted({one.sharpness for one in own})
    _sized("--logit", asked.sharpness, sharpness, "a size, |logit| or a Gaussian's s,", abs(asked.sharpness))
    _sized("--f-evals", asked.f_evals, EVALUATIONS, "a number of at least 1", 1)
    return [one for one in own if one.sharpness == asked.sharpness]


def by_size(latents: str) -> tuple[int, ...]:
    """What sorts shapes such as `4` or `2x3`: their numbers, then their latents."""
    shape = [int(size) for size in latents.split("x")]
    return math.prod(shape), *shape


def _shaped(asked: Question, known: Sequence[str]) -> None:
    """Refuse latents that are not in the table, and name the nearest that are.

    Raises:
        BadInput: they are not.
    """
    typed, listed = asked.latents, f"It has: {', '.join(known)}"
    if typed in known:
        return
    pattern, expected = (r"\d{1,9}x\d{1,9}", "latents x classes") if "x" in known[0] else (r"\d{1,9}", "a whole number")
    if not re.fullmatch(pattern, typed, re.ASCII):
        wanted = f"{expected} is expected, such as {known[-1]}"
        raise BadInput(f"the atlas has no --latents {typed} of {asked.family}: {wanted}. {listed}")
    apart = {one: math.dist(by_size(one)[1:], by_size(typed)[1:]) for one in known}
    near = " and ".join(one for one in known if apart[one] == min(apart.values()))
    raise BadInput(f"the atlas has no --latents {typed} of {asked.family}. {listed}; nearest: {near}")


def _sized(what: str, typed: float, known: Sequence[float], expected: str, size: float) -> None:
    """Refuse a number that is of another kind than is expected, or not in the table, and name its neighbours.

    Args:
        what: the option.
        typed: its number.
        known: what is in the table, from the least on.
        expected: what the option takes, in words.
        size: the size that was meant, if `typed` is below all that the option takes.

    Raises:
        BadInput: it is.
    """
    if typed in known:
        return
    text = f"{typed:g}" if isinstance(typed, float) else str(typed)
    wrong = "" if typed >= known[0] else f": {expected} is expected"
    meant = size if typed < known[0] else typed
    below, above = [x for x in known if x <= meant], [x for x in known if x >= meant]
    near = " and ".join(f"{x:g}" for x in dict.fromkeys([*below[-1:], *above[:1]]))
    nearest = f"; nearest: {near}" if near else ""
    raise BadInput(f"the atlas has no {what} {text}{wrong}{nearest}. It has: {', '.join(f'{x:g}' for x in known)}")
