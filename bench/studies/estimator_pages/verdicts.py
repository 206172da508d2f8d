"""Conditions for and against an estimator that its tags and records say by themselves."""

import inspect
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from bench.report.text import number, percent, plural
from bench.studies import estimators_page
from bench.studies.atlas.problems import SHOWN
from bench.studies.atlas.ranks import FLOOR
from bench.studies.estimator_pages.certificates import Worst
from bench.studies.estimator_pages.moments import LEVELS, Beside
from estimators.distributions import again, parameters
from estimators.entry import MAX_STATES_AT_ONCE, Entry
from estimators.families import family_named

BETTER, WORSE = 0.8, 1.25
"""Ratios of mean squared errors that are worth a line."""
ENDS = (LEVELS[0], LEVELS[-1])


def learns(entry: Entry) -> bool:
    """Whether it has parameters of its own, with its defaults."""
    return bool(list(entry.create().parameters()))


def shifted(entry: Entry) -> bool:
    """Whether its noise depends on the mean of f, as where no baseline is taken: a constant added to f changes it."""
    family = family_named(entry.families[0])
    q, gradients = family.toy(1.0, family.event(latents=2, categories=3)), []
    for constant in (0.0, 1.0):

        def f(z: Tensor, q: object, constant: float = constant) -> Tensor:
            return z.flatten(2).sin().sum(-1) + constant

        leaves = [p.detach().clone().requires_grad_() for p in parameters(q)]
        estimate = entry.create()(again(q, *leaves), f, generator=torch.Generator().manual_seed(0))
        gradients.append(torch.autograd.grad(estimate.surrogate.sum(), leaves))
    return any((one - other).abs().max() > 1e-9 for one, other in zip(*gradients, strict=True))


def _representative(entry: Entry, found: Sequence[Beside]) -> list[Beside]:
    """Those whose numbers hold elsewhere: nothing was to be learned or settled first."""
    if learns(entry):
        return []
    return [beside for beside in found if not any(average.of.settled for average in beside.own.values())]


def use(entry: Entry, found: Sequence[Beside]) -> Iterator[str]:
    """What speaks for it; of one that takes no baseline, not how it does where f's mean is 0."""
    if not shifted(entry):
        yield from _errors(_representative(entry, found), lambda ratio: ratio < BETTER)


def avoid(entry: Entry, found: Sequence[Beside], worst: Sequence[Worst]) -> Iterator[str]:
    """What speaks against it."""
    if shifted(entry):
        yield "f's mean is far from 0: with its defaults, a constant added to f adds noise."
    if entry.needs == "gradient of f":
        yield "f gives values only: its gradient in z is asked for."
    if entry.needs == "relaxed f":
        yield "f cannot be evaluated and differentiated between the values of z."
    if not entry.unbiased:
        shown = max((one.bias for one in worst if one.objective == SHOWN), default=None)
        size = "" if shown is None else f", by up to {_size(shown)} the gradient's length on the certificate's network"
        yield f"the mean must be the exact gradient: it is biased{size}."
    if learns(entry):
        yield "a single estimate is wanted, without a training loop: it learns parameters of its own."
    if entry.enumerates:
        yield f"there are more than {MAX_STATES_AT_ONCE} joint states: it refuses them."
    elif entry.f_evals is not None and len(inspect.signature(entry.f_evals).parameters) > 1:
        small, large = (_cost(entry, latents) for latents in (10, 20))
        if small != large:
            yield f"latents are many and f is dear: it takes {estimators_page.evaluations(entry)} evaluations a row."
    yield from _errors(_representative(entry, found), lambda ratio: ratio > WORSE)


def _cost(entry: Entry, latents: int) -> list[int | None]:
    events = (family_named(family).event(latents=latents, categories=10) for family in entry.families)
    return [entry.evaluations(entry.samples.default, event) for event in events]


def _size(bias: float) -> str:
    return f"{number(bias, 2)} times" if bias > 10 else f"{percent(bias)} of"


def _errors(found: Sequence[Beside], told: Callable[[float], bool]) -> Iterator[str]:
    for beside in found:
        known = {level: beside.ratio(level) for level in ENDS}
        ratios = {level: ratio for level, ratio in known.items() if ratio is not None and ratio > FLOOR and told(ratio)}
        if ratios:
            biased = any(not average.of.unbiased for average in beside.own.values())
            what = "mean squared error" if biased else "variance"
            parts = [
                f"{number(r, 3)} at {family_named(beside.family).level_words(at)}{_bias(beside, at)}"
                for at, r in ratios.items()
            ]
            yield (
                f"{beside.family} latents: on the atlas's network its exact {what}, as a ratio to that of "
                f"`{beside.reference[0]}`, is {' and '.join(parts)}, each at "
                f"{plural(beside.f_evals, 'evaluation')} of f."
            )


def _bias(beside: Beside, level: float) -> str:
    one = beside.own[level].of
    return "" if one.unbiased or one.bias <= FLOOR else f" (bias {percent(one.bias)})"
