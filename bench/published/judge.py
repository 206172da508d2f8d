"""One rule for all verdicts: agrees, differs, or cannot tell at this budget.

Either number, the published one and ours, has two kinds of uncertainty. Its *error* is a bound: half a unit of the last
printed digit, the resolution at which a figure was read, the tolerance of an integral. Its *standard error* is that of
a number that was sampled, over draws or seeds. With e the sum of the errors, s the root of the summed squares of the
standard errors and t the two-sided quantile of Student's law with Welch's degrees of freedom,

    reach = e + t s

is what the two may be apart where they mean the same. They **differ** where they are further apart: chance does that in
at most `level` of the comparisons of equal numbers. Else they **agree** where the reach is at most the difference that
would matter, which the table states. Else nobody can **tell at this budget**: they are compatible, and might be so had
they been different by as much as matters.
"""

import math
from typing import NamedTuple

AGREES = "agrees"
DIFFERS = "differs"
CANNOT_TELL = "cannot tell at this budget"
LEVEL = 0.01
"""How often chance alone makes two equal numbers differ, at most."""


class Number(NamedTuple):
    """A number, and how far it is known."""

    value: float
    error: float = 0.0
    """A bound: of rounding, of reading a figure, of integration."""
    standard_error: float | None = 0.0
    """Of a sampled number; 0 where nothing was sampled, None where it was and nobody knows how large it is."""
    n: float = math.inf
    """Draws or seeds behind the standard error; infinite where it is known and not estimated."""


class Judged(NamedTuple):
    """What was made of two numbers."""

    verdict: str
    difference: float
    """Ours minus the published one."""
    reach: float
    """How far apart they may be where they mean the same."""


def judge(published: Number, ours: Number, matters: float, level: float = LEVEL) -> Judged:
    """Compare a number of ours with a published one.

    Args:
        published: as it was printed, with what the source lets one say of its errors.
        ours: as it was measured.
        matters: the smallest difference that would matter, in the units of the numbers.
        level: how often chance may call equal numbers different.

    Raises:
        ValueError: a number is not finite, an error is negative, or a standard error rests on fewer than two.
    """
    for whose, number in (("the published", published), ("our", ours)):
        _check(whose, number)
    if not (matters > 0 and 0 < level < 1):
        raise ValueError(f"matters must be above 0 and level between 0 and 1, got {matters:g} and {level:g}")
    difference = ours.value - published.value
    if published.standard_error is None or ours.standard_error is None:
        return Judged(CANNOT_TELL, difference, math.inf)
    reach = published.error + ours.error + _sampled(published, ours, level)
    if abs(difference) > reach:
        return Judged(DIFFERS, difference, reach)
    return Judged(AGREES if reach <= matters else CANNOT_TELL, difference, reach)


def _sampled(one: Number, other: Number, level: float) -> float:
    """What chance may set two equal numbers apart: t s."""
    squares = [(number.standard_error or 0.0) ** 2 for number in (one, other)]
    total = sum(squares)
    if total == 0:
        return 0.0
    from scipy.stats import norm, t

    # B. L. Welch 1947; the squares as shares of the total, lest their own squares vanish.
    inverse = sum((square / total) ** 2 / (number.n - 1) for square, number in zip(squares, (one, other), strict=True))
    quantile = t.ppf(1 - level / 2, 1 / inverse) if inverse > 0 else norm.ppf(1 - level / 2)
    return float(quantile) * math.sqrt(total)


def _check(whose: str, number: Number) -> None:
    """Refuse what no number can be."""
    error, standard = number.error, number.standard_error or 0.0
    if not math.isfinite(number.value):
        raise ValueError(f"{whose} number is {number.value}: give one that is finite")
    if not (0 <= error < math.inf and 0 <= standard < math.inf):
        raise ValueError(f"{whose} errors must be finite and not negative, got {error:g} and {standard:g}")
    if standard and not number.n >= 2:
        raise ValueError(f"{whose} standard error rests on n = {number.n:g}: one draw or seed shows no spread")
