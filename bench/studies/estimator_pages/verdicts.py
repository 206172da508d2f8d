"""Conditions for and against an estimator that its tags and records say by themselves."""

import inspect
from collections.abc import Callable, Iterator, Sequence

from bench.report.text import number, percent, plural
from bench.studies import estimators_page
from bench.studies.atlas.problems import SHOWN
from bench.studies.estimator_pages.certificates import Worst
from bench.studies.estimator_pages.moments import LEVELS, Beside
from estimators.entry import MAX_STATES_AT_ONCE, Entry
from estimators.families import family_named

BETTER, WORSE = 0.8, 1.25
"""Ratios of mean squared errors that are worth a line."""
ENDS = (LEVELS[0], LEVELS[-1])


def use(entry: Entry, found: Sequence[Beside]) -> Iterator[str]:
    """What speaks for it."""
    yield from _errors(found, lambda ratio: ratio < BETTER)


def avoid(entry: Entry, found: Sequence[Beside], worst: Sequence[Worst]) -> Iterator[str]:
    """What speaks against it."""
    if entry.needs == "gradient of f":
        yield "f gives values only: its gradient in z is asked for."
    if entry.needs == "relaxed f":
        yield "f cannot be evaluated and differentiated between the values of z."
    if not entry.unbiased:
        shown = max((one.bias for one in worst if one.objective == SHOWN), default=None)
        size = "" if shown is None else f", by up to {_size(shown)} the gradient's length on the certificate's network"
        yield f"the mean must be the exact gradient: it is biased{size}."
    if list(entry.create().parameters()):
        yield "a single estimate is wanted, without a training loop: it learns parameters of its own."
    if entry.enumerates:
        yield f"there are more than {MAX_STATES_AT_ONCE} joint states: it refuses them."
    elif entry.f_evals is not None and len(inspect.signature(entry.f_evals).parameters) > 1:
        small, large = (_cost(entry, latents) for latents in (10, 20))
        if small != large:
            yield f"latents are many and f is dear: it takes {estimators_page.evaluations(entry)} evaluations a row."
    yield from _errors(found, lambda ratio: ratio > WORSE)


def _cost(entry: Entry, latents: int) -> list[int | None]:
    events = (family_named(family).event(latents=latents, categories=10) for family in entry.families)
    return [entry.evaluations(entry.samples.default, event) for event in events]


def _size(bias: float) -> str:
    return f"{number(bias, 2)} times" if bias > 10 else f"{percent(bias)} of"


def _errors(found: Sequence[Beside], told: Callable[[float], bool]) -> Iterator[str]:
    for beside in found:
        ratios = {level: ratio for level in ENDS if (ratio := beside.ratio(level)) is not None and told(ratio)}
        if ratios:
            biased = any(not average.of.unbiased for average in beside.own.values())
            what = "mean squared error" if biased else "variance"
            parts = [f"{_ratio(ratio)} at {_where(beside.family, level)}" for level, ratio in ratios.items()]
            yield (
                f"{beside.family} latents: on the atlas's network its exact {what}, as a ratio to that of "
                f"`{beside.reference[0]}`, is {' and '.join(parts)}, both at "
                f"{plural(beside.f_evals, 'evaluation')} of f."
            )


def _ratio(ratio: float) -> str:
    return "0" if ratio < 1e-12 else number(ratio, 3)


def _where(family: str, level: float) -> str:
    return f"|logit| {level:g}" if family_named(family).discrete else f"s = {level:g}"
