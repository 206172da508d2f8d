"""What every planted fault is made of."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch

from estimators import Entry, Estimate, Estimator
from estimators.checks import subjects
from estimators.checks.sampling import LOOKS
from estimators.checks.subject import Subject
from estimators.distributions import live, log_prob, parameters, sample, stopped
from estimators.entry import entry_of
from tests.estimators.drawing import uniform

MEANS = ("unbiased", "theta", "value", "constant")
"""The checks that sample or integrate the problems of a grid."""


class Fault(NamedTuple):
    """A wrong estimator, and how it must be found out."""

    entry: Entry
    check: str
    """The check that must fail."""
    says: str
    """Words of its message."""
    options: Mapping[str, Any] = {}
    draws: int = LOOKS[0]
    """On each problem, which show it."""
    everywhere: bool = False
    """Whether a wrong mean is told from problems of all sizes, and not from those of the second size alone."""

    def subjects(self) -> tuple[Subject, ...]:
        """What there is to certify of it."""
        found = subjects(self.entry, self.options, draws=self.draws)
        if self.check in MEANS and not self.everywhere:
            for subject in found:  # of two latents, which takes half of the time
                event = subject.kind.certified_events[1]
                vars(subject)["grids"] = tuple(grid for grid in subject.grids if grid.event == event)
        return found


FAULTS: list[Fault] = []

Class = type[Estimator]


def fault(
    check: str,
    says: str,
    *,
    families: tuple[str, ...] = ("bernoulli",),
    unbiased: bool = True,
    options: Mapping[str, Any] | None = None,
    draws: int = LOOKS[0],
    everywhere: bool = False,
    **tags: Any,
) -> Callable[[Class], Class]:
    """Collect a class, with the tags that it claims."""

    def decorate(cls: Class) -> Class:
        entry = entry_of(cls, cls.__name__, families=families, unbiased=unbiased, **tags)
        FAULTS.append(Fault(entry, check, says, options or {}, draws, everywhere))
        return cls

    return decorate


class Score(Estimator):
    """A correct score function, in steps that a fault can get wrong."""

    def draw(self, q, generator):
        return sample(q, self.samples, generator)

    def cost(self, f, z, q):
        return f(z, stopped(q))

    def advantage(self, cost, q, z):
        return cost

    def log_q(self, q, z):
        return log_prob(live(q), z)

    def total(self, advantage, log_q, cost):
        return (advantage * log_q + cost).mean(0)

    def forward(self, q, f, *, generator=None, context=None):
        z = self.draw(q, generator)
        cost = self.cost(f, z, q)
        advantage = self.advantage(cost.detach(), q, z)
        return Estimate(self.total(advantage, self.log_q(q, z), cost), cost.detach().mean(0))


class DisARMParts(Estimator):
    """A correct DisARM, in steps that a fault can get wrong."""

    def __init__(self, samples=2):
        super().__init__(samples)

    def weight(self, difference, b, antithetic, logits):
        return 0.5 * difference * (b - antithetic) * logits.abs().sigmoid()

    def forward(self, q, f, *, generator=None, context=None):
        (logits,) = parameters(q)
        with torch.no_grad():
            u = uniform(q, self.samples // 2, generator)
            b, antithetic = (u < logits.sigmoid()).to(u), (u > (-logits).sigmoid()).to(u)
        cost = f(torch.cat((b, antithetic)), stopped(q))
        first, second = cost.detach().chunk(2)
        weight = self.weight((first - second).unsqueeze(-1), b, antithetic, logits.detach())
        return Estimate((weight * logits).sum(-1).mean(0) + cost.mean(0), cost.detach().mean(0))


PAIRED = {"samples": (2, 2, True)}
