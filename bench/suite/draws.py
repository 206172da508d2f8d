"""How many draws of z an estimator takes in a suite: as many as it says, or as each of the suite's budgets asks for."""

from bisect import bisect_left
from collections.abc import Iterator
from typing import NamedTuple

from bench.config import EstimatorConfig
from bench.problems.base import Problem
from estimators import registry
from estimators.entry import Entry

MOST_EVALUATIONS = 100_000
"""The largest number of evaluations of f a row that may be asked for: a call of an estimator holds all its draws."""
SCANNED = 100
"""Numbers of draws that are tried one by one."""


def draws_for(evaluations: int, config: EstimatorConfig, entry: Entry, event: tuple[int, ...]) -> int | None:
    """Draws with which an estimator evaluates f so often, or None where there is no such number."""
    spent = _Spent(config, entry, event)
    tried = spent.tried(evaluations) if config.samples is None else (config.samples,)
    return next((samples for samples in tried if spent.by(samples) == evaluations), None)


def why_not(evaluations: int, config: EstimatorConfig, entry: Entry, event: tuple[int, ...]) -> str:
    """Why there is no such number of draws, in half a sentence with the nearest numbers of evaluations."""
    reason = f"cannot spend exactly {evaluations} evaluations of f a row"
    if entry.enumerates:
        return f"{reason}: it evaluates all joint states"
    if entry.f_evals is None:
        return f"{reason}: it does not say how many it takes; give @register(...) f_evals, a function of samples"
    spent = _Spent(config, entry, event)
    tried = spent.tried(evaluations) if config.samples is None else (config.samples,)
    possible = sorted({spent.by(samples) or 0 for samples in tried if entry.samples.allow(samples)})
    near = [*[n for n in possible if n < evaluations][-1:], *[n for n in possible if n > evaluations][:1]]
    return f"{reason}; the nearest {'are' if near[1:] else 'is'} {' and '.join(map(str, near))}"


class _Spent:
    """How many evaluations of f a row an estimator takes for its draws, event and options."""

    def __init__(self, config: EstimatorConfig, entry: Entry, event: tuple[int, ...]) -> None:
        self.config, self.entry, self.event = config, entry, event

    def by(self, samples: int) -> int | None:
        """So many draws; None where it does not say, or cannot draw so many."""
        if not self.entry.samples.allow(samples):
            return None
        return self.entry.evaluations(samples, self.event, self.config.options)

    def tried(self, evaluations: int) -> Iterator[int]:
        """Numbers of draws among which are those that come nearest to so many evaluations, in ascending order.

        The first are all tried, whatever the function. Above them it is taken to grow with the draws, as that of every
        estimator does, and the place is found by bisection: a function of Python called 100,000 times takes longer
        than the cells of a small suite.
        """
        first, every = self.entry.samples.min, 2 if self.entry.samples.even else 1
        first += first % every
        yield from range(first, first + every * SCANNED, every)
        places = range(first + every * SCANNED, max(first, evaluations) + every + 1, every)
        place = bisect_left(places, evaluations, key=lambda samples: self.by(samples) or 0)
        yield from places[max(0, place - 1) : place + 2]


def fitted(
    config: EstimatorConfig, problem: Problem, *, samples: int | None, f_evals: int | None
) -> EstimatorConfig | str:
    """The estimator with its number of draws on a problem; or why the two do not go together, in half a sentence.

    Args:
        config: the estimator as the suite has it.
        problem: decides the draws where its bound has K of them.
        samples: the suite's preferred number of draws.
        f_evals: the suite's number of evaluations of f, which decides the draws instead.

    Raises:
        BadInput: no such estimator, or options that it does not take.
    """
    entry, count = registry.get(config.name), problem.importance_samples
    if reason := entry.reason_against(family=problem.family, bound=problem.bound, states=problem.states()):
        return reason
    if count:
        if config.samples not in (None, count):
            return f"draws {config.samples} samples, where the bound has {count}"
        if not entry.samples.allow(count):
            return f"cannot draw the {count} samples of the bound: it takes {entry.samples.words()}"
        return config.resolved(count)
    if f_evals is None:
        return config.resolved(samples)
    draws = draws_for(f_evals, config, entry, problem.event)
    return why_not(f_evals, config, entry, problem.event) if draws is None else config.resolved(draws)


class Fits(NamedTuple):
    """What comes of an estimator on a problem, budget by budget."""

    configs: list[EstimatorConfig]
    """With its number of draws, once each."""
    reasons: list[str]
    """Why the two do not go together, of the budgets at which they do not, in half a sentence each."""


def fits(config: EstimatorConfig, problem: Problem, *, samples: int | None, budgets: tuple[int, ...]) -> Fits:
    """The estimator with the draws that it takes on a problem for each budget that it can spend; see `fitted`.

    On a K-sample bound K decides, whatever the budget, and so there is one of it.

    Args:
        config: the estimator as the suite has it.
        problem: decides the draws where its bound has K of them.
        samples: the suite's preferred number of draws.
        budgets: the suite's numbers of evaluations of f, which decide the draws instead; none where it has none.

    Raises:
        BadInput: no such estimator, or options that it does not take.
    """
    found = dict.fromkeys(fitted(config, problem, samples=samples, f_evals=budget) for budget in budgets or (None,))
    configs = [one for one in found if isinstance(one, EstimatorConfig)]
    return Fits(configs, [one for one in found if isinstance(one, str)])
