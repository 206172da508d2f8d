"""Faults of control variates that learn: nothing of them shows where own parameters start, at zero.

Each is a correct estimator in steps, with one of them wrong.
"""

import torch
from torch.nn import Parameter

from estimators import Entry, Estimate, Estimator
from estimators.distributions import live, log_prob, parameters, sample, scores, stopped
from estimators.entry import entry_of
from estimators.parts.controls import costs_and_derivatives
from tests.estimators.drawing import normal, uniform
from tests.estimators.faults.base import fault
from tests.estimators.outside import LearnedBaseline, relaxed_pair

LEARNS = {"own_parameters": True, "samples": (2, 2)}
SHOWN = {"options": {"samples": 2}, "draws": 1024, "everywhere": True}
"""The bias is large, once a parameter has moved: perturbed in one size of problem, and learned in the next."""
PARTS: list[Entry] = []
"""The correct ones."""


def part(**tags):
    def decorate(cls):
        PARTS.append(entry_of(cls, cls.__name__, unbiased=True, **tags))
        return cls

    return decorate


def of_others(x):
    return (x.sum(0) - x) / (len(x) - 1)


class Learned(Estimator):
    """One coefficient of a control of mean zero, learned by the squared estimate; subclasses make the control."""

    def __init__(self, samples=2):
        super().__init__(samples)
        self.alpha = Parameter(torch.zeros(1))

    def bind(self, *, stack=(), context_size=0, event=(), generator=None):
        self.alpha.data = torch.zeros(*stack, 1)
        return self

    def estimate(self, q, plain, control, cost):
        """Of the parts [S, *B, D] that q's parameters get without the control and of those that alpha multiplies."""
        rows = cost.shape[1:]
        alpha = (self.alpha.expand(rows) if rows else self.alpha[0]).to(cost).unsqueeze(-1)
        found = [(a + alpha * b).mean(0) for a, b in zip(plain, control, strict=True)]
        surrogate = sum((g.detach() * p).sum(-1) for g, p in zip(found, parameters(q), strict=True))
        return Estimate(surrogate + cost.mean(0), cost.detach().mean(0), sum(g.square().sum(-1) for g in found))


# Double control variates, Titsias and Shi 2021, arXiv:2111.05300


@part(families=("bernoulli",), **LEARNS)
class DoubleCVParts(Learned):
    def direction(self, slope):
        return of_others(slope)

    def correction(self, slope, spread):
        return slope * spread

    def forward(self, q, f, *, generator=None, context=None):
        b = sample(q, self.samples, generator)
        cost, slope = costs_and_derivatives(f, b, stopped(q))
        (score,), logits = scores(q, b), q.logits.detach()
        linear = (self.direction(slope) * score).sum(-1)
        plain, control = ((signal - of_others(signal)).unsqueeze(-1) * score for signal in (cost.detach(), linear))
        spread = logits.sigmoid() * (-logits).sigmoid()
        return self.estimate(q, [plain], [control - self.correction(slope, spread)], cost)


@fault("unbiased", "the mean is wrong", **LEARNS, **SHOWN)
class LinearTermOfTheOwnSlope(DoubleCVParts):
    """The slope of all draws where that of the others belongs."""

    def direction(self, slope):
        return slope.mean(0, keepdim=True)


@fault("unbiased", "the mean is wrong", **LEARNS, **SHOWN)
class MeanOfTheLinearTermForgotten(DoubleCVParts):
    def correction(self, slope, spread):
        return 0.0


# RODEO, Shi et al. 2022, arXiv:2202.09497


@part(families=("bernoulli",), **LEARNS)
class RODEOParts(Learned):
    """With h the linear extrapolation from the other draws, and for the costs only."""

    def others(self, cost, stein):
        return of_others(stein)

    def operator(self, chance, difference):
        return (chance * difference).sum(-1)

    def forward(self, q, f, *, generator=None, context=None):
        b = sample(q, self.samples, generator)
        cost, slope = costs_and_derivatives(f, b, stopped(q))
        (score,), costs, flip = scores(q, b), cost.detach(), 1 - 2 * b
        chance = (flip * q.logits.detach()).sigmoid()  # of the other value, given the other bits
        stein = self.operator(chance, of_others(slope) * flip)  # the Gibbs operator on h, of mean zero
        plain = (costs - of_others(costs)).unsqueeze(-1) * score
        return self.estimate(q, [plain], [-self.others(costs, stein).unsqueeze(-1) * score], cost)


@fault("unbiased", "the mean is wrong", **LEARNS, **SHOWN)
class OwnSteinTerm(RODEOParts):
    """Leave-one-out is dropped for the control: the draw's own where that of the others belongs."""

    def others(self, cost, stein):
        return stein


@fault("unbiased", "the mean is wrong", **LEARNS, **SHOWN)
class ChanceOfTheFlipForgotten(RODEOParts):
    """A difference of h without the chance of the other value, which has a mean."""

    def operator(self, chance, difference):
        return difference.sum(-1)


# REBAR, Tucker et al. 2017, arXiv:1703.07370, and RELAX, Grathwohl et al. 2017, arXiv:1711.00123


class RelaxedParts(Learned):
    """The score function with a control of relaxed draws, whose weight starts at 0."""

    def again(self, z):
        return z

    def forward(self, q, f, *, generator=None, context=None):
        logits = q.logits.detach().expand(self.samples, *q.logits.shape).clone().requires_grad_()
        u, v = uniform(q, self.samples, generator), uniform(q, self.samples, generator)
        with torch.enable_grad():
            b, *relaxed = relaxed_pair(logits, u, v)
            first, second = (self.control(f, z, q) for z in (relaxed[0], self.again(relaxed[1])))
            (path,) = torch.autograd.grad((first - second).sum(), logits)
        cost, (score,) = f(b, stopped(q)), scores(q, b)
        plain, control = (c.detach().unsqueeze(-1) * score for c in (cost, second))
        return self.estimate(q, [plain], [path - control], cost)


@part(families=("bernoulli",), own_parameters=True)
class REBARParts(RelaxedParts):
    def control(self, f, z, q):
        return f((z / 0.5).sigmoid(), stopped(q))


@fault("unbiased", "the mean is wrong", own_parameters=True, **SHOWN)
class ConditionalRelaxationDetached(REBARParts):
    def again(self, z):
        return z.detach()


@part(families=("bernoulli",), own_parameters=True)
class RELAXParts(RelaxedParts):
    """With a network of one unit."""

    def control(self, f, z, q):
        return torch.tanh((z / 0.5).sigmoid().sum(-1))


@fault("unbiased", "the mean is wrong", own_parameters=True, **SHOWN)
class ConditionalDrawnWithoutTheBit(RELAXParts):
    """The control that is subtracted with the score, at a value that is not of the conditional law given b."""

    def again(self, z):
        return z.abs()


# LAX, of the same paper


@part(families=("gaussian",), own_parameters=True)
class LAXParts(Learned):
    def path(self, slope, noise):
        return [slope, slope * noise]

    def forward(self, q, f, *, generator=None, context=None):
        noise, scale = normal(q, self.samples, generator), q.scale.detach()
        z = q.loc.detach() + scale * noise
        cost, c = f(z, stopped(q)), torch.tanh(z.sum(-1, keepdim=True))
        score = [noise / scale, (noise.square() - 1) / scale]
        path = self.path((1 - c.square()).expand_as(z), noise)
        plain = [cost.detach().unsqueeze(-1) * s for s in score]
        return self.estimate(q, plain, [p - c * s for p, s in zip(path, score, strict=True)], cost)


@fault("unbiased", "the mean is wrong", families=("gaussian",), own_parameters=True, **SHOWN)
class PathOfScaleForgotten(LAXParts):
    def path(self, slope, noise):
        return [slope, torch.zeros_like(slope)]


# MuProp, Gu et al. 2015, arXiv:1511.05176, with a factor


@part(families=("bernoulli",), **LEARNS)
class MuPropParts(Learned):
    def center(self, b, q):
        return q.logits.detach().sigmoid().unsqueeze(0)

    def forward(self, q, f, *, generator=None, context=None):
        b, logits = sample(q, self.samples, generator), q.logits.detach()
        cost, (score,) = f(b, stopped(q)), scores(q, b)
        center = self.center(b, q)
        there, slope = costs_and_derivatives(f, center, stopped(q))
        affine = there.detach() + (slope * (b - center)).sum(-1)
        plain, control = (c.unsqueeze(-1) * score for c in (cost.detach(), affine))
        return self.estimate(q, [plain], [slope * logits.sigmoid() * (-logits).sigmoid() - control], cost)


@fault("unbiased", "the mean is wrong", **LEARNS, **SHOWN)
class ExpandedAtTheMeanOfTheDraws(MuPropParts):
    def center(self, b, q):
        return b.mean(0, keepdim=True)


# NVIL, Mnih and Gregor 2014, arXiv:1402.0030


@fault("unbiased", "the mean is wrong", own_parameters=True, **SHOWN)
class DrawInTheBaseline(LearnedBaseline):
    """The network reads the draw beside the context."""

    def forward(self, q, f, *, generator=None, context=None):
        z = sample(q, self.samples, generator)
        cost = f(z, stopped(q))
        predicted = self.predicted(context) * z.mean(-1)
        surrogate = ((cost - predicted).detach() * log_prob(live(q), z) + cost).mean(0)
        return Estimate(surrogate, cost.detach().mean(0), (cost.detach() - predicted).square().mean(0))
