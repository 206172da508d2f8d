"""Estimators whose gradient can be told, and the sentences that checks say of what passes.

Most estimators here have no noise and a gradient that can be told: it is multiplied by 1.5 where a fault is to show, so
that it is 0.5 / 2.5 = 20 % apart from what it should be.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Generator, Tensor, nn
from torch.distributions import Distribution

import estimators
from estimators import Estimate, Estimator
from estimators.checks import subjects
from estimators.checks.subject import Subject
from estimators.distributions import parameters, sample, stopped
from estimators.entry import Entry, entry_of
from tests.estimators import outside
from tests.estimators.faults import FAULTS
from tests.estimators.faults.base import Score

DOUBLE = torch.float64


class Call(NamedTuple):
    """What a rule may look at."""

    rows: tuple[int, ...]
    seed: int | None
    """Of the generator; None without one."""
    cost: Tensor
    """[*B], of z = 0."""
    q: Distribution
    context: Tensor | None
    generator: Generator | None


Rule = Callable[[Any, Call], Tensor | float]


class Still(Estimator):
    """Without noise: the gradient of each number of q's first parameter is the cost of z = 0, times a rule's factor."""

    def __init__(self, samples=1):
        super().__init__(samples)
        self.register_buffer("steps", torch.zeros((), dtype=DOUBLE))
        self.uses = 0
        """Calls in eval(), of which nothing is saved."""
        self.learned = 0
        """Calls in train(), of which nothing is saved."""

    def rule(self, call: Call) -> Tensor | float:
        return 1.0

    def forward(self, q, f, *, generator=None, context=None):
        first = parameters(q)[0]
        cost = f(torch.zeros(self.samples, *first.shape, dtype=first.dtype), stopped(q)).mean(0)
        shape, event = cost.shape, range(-1, cost.dim() - first.dim() - 1, -1)
        seed = None if generator is None else generator.initial_seed()
        factor = self.rule(Call(tuple(shape), seed, cost.detach(), q, context, generator))
        if self.training:
            self.steps += 1
            self.learned += 1
        else:
            self.uses += 1
        sized = torch.as_tensor(factor, dtype=cost.dtype).expand(shape) * cost.detach()
        surrogate = (sized.reshape(*shape, *[1] * len(event)) * first).sum(tuple(event)) + cost
        return Estimate(surrogate, cost.detach())


def entry(cls: type[Estimator], families: Sequence[str] = ("bernoulli",), **tags: Any) -> Entry:
    return entry_of(cls, cls.__name__, families=families, **({"unbiased": True} | tags))


def subject_of(
    cls: type[Estimator] | Entry | str, options: Mapping[str, Any] | None = None, family: str = "bernoulli", **tags: Any
) -> Subject:
    given = estimators.get(cls) if isinstance(cls, str) else cls if isinstance(cls, Entry) else None
    if given is None:
        assert isinstance(cls, type)
        given = entry(cls, (family,), **tags)
    (found,) = (subject for subject in subjects(given, options, draws=4096) if subject.family == family)
    return found


def ruled(rule: Rule, base: type[Estimator] = Still, **tags: Any) -> Subject:
    """A subject whose factor is a rule's."""
    return subject_of(type("Ruled", (base,), {"rule": rule}), **tags)


def half_more(where: Callable[[Any, Call], bool]) -> Rule:
    """1.5 where something holds."""
    return lambda self, call: 1.5 if where(self, call) else 1.0


def by_name(name: str) -> Entry:
    return next(
        one
        for one in (*(fault.entry for fault in FAULTS), *outside.CORRECT, *estimators.available())
        if one.name == name
    )


class Evaluating(Estimator):
    """Evaluates f as often as a class says, at points of a kind."""

    def times(self) -> int:
        return self.samples

    def forward(self, q, f, *, generator=None, context=None):
        z = sample(q, self.times(), generator)
        cost = f(z, stopped(q))
        return Estimate((cost.detach() * 0 + cost).mean(0) + parameters(q)[0].sum(-1), cost.detach().mean(0))


class Noted(Score):
    """Keeps what it is called with."""

    def __init__(self, samples=1):
        super().__init__(samples)
        self.register_buffer("kept", torch.zeros(()))

    seen: ClassVar[list[dict[str, Any]]] = []

    def forward(self, q, f, *, generator=None, context=None):
        first = parameters(q)[0].detach()
        cost = f(torch.zeros(1, *first.shape, dtype=first.dtype), stopped(q))[0].detach()
        seed = None if generator is None else generator.initial_seed()
        Noted.seen.append(
            {"rows": tuple(cost.shape), "q": first, "cost": cost, "seed": seed, "context": context,
             "training": self.training, "samples": self.samples}
        )  # fmt: skip
        return super().forward(q, f, generator=generator, context=context)


class Learns(Still):
    """A level that its loss drives up, and one that is not trained."""

    def __init__(self, samples=1):
        super().__init__(samples)
        self.level = nn.Parameter(torch.zeros(1, dtype=DOUBLE))
        self.fixed = nn.Parameter(torch.zeros(1, dtype=DOUBLE), requires_grad=False)
        self.made = [id(p) for p in (self.level, self.fixed)]
        self.costs: list[Tensor] = []
        self.seeds: list[Any] = []

    def rule(self, call):
        self.costs.append(call.cost)
        self.seeds.append((call.seed, self.training, None if call.context is None else tuple(call.context.shape)))
        return 1.0

    def forward(self, q, f, *, generator=None, context=None):
        found = super().forward(q, f, generator=generator, context=context)
        return found._replace(auxiliary=(-3 * self.level).expand(found.value.shape))


def off(excess: float, where: Callable[[Any, Call], bool]) -> Rule:
    """Too large by a share of 1 where something holds."""
    return lambda self, call: 1 + excess if where(self, call) else 1.0


# What is said of what passes, and the ends of what is said of faults

FINITE = "Usually a logarithm of a probability that is 0, or an exponential of a logit: work with logits and softplus"
NEW = (
    "an optimiser made before holds others, or none, so that they never learn; make them in __init__, as "
    "torch.nn.UninitializedParameter if their size is not known, and resize them in place: p.materialize(shape), "
    "p.data = values"
)
SAME = "a row's gradient stays the same, to rounding, whatever the other rows are, and rows draw noise of their own"
SHAPES = (
    "rows shaped [B], [R, B] and [R, E, B] give the same gradients for the same noise; no rows and inference mode are "
    "taken"
)
KEPT = (
    "float32 and float64 are kept in what is returned, in the noise and in between; a q in bfloat16 has finite "
    "gradients"
)
BITS = "finite at |logit| 50 and infinite logits with costs of a millionth and of a million, in float32 and float64"
SCALES = "finite at scale 0.001 and scale 1000 with costs of a millionth and of a million, in float32 and float64"
ALONE = "the generator alone decides the result, and no global generator is touched"
SILENT = "there is no noise, and no global generator is touched"
FROZEN = "frozen in eval(), updated after use in train(), restored by state_dict()"
NONE = "it has no parameters of its own"
