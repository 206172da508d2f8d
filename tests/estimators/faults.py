"""Planted faults: wrong estimators of the kinds that are published and shipped, each with the check to refute it.

A fault names the check and words of the sentence that must explain it.
"""

import math
import random
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy
import torch
from torch.nn import functional as F

from estimators import Entry, Estimate, Estimator
from estimators.distributions import (
    gumbel,
    live,
    log_prob,
    normal,
    one_hot_argmax,
    parameters,
    sample,
    stopped,
    uniform,
)
from estimators.registry import entry_of, one_a_sample
from tests.estimators.outside import REBAR, LearnedBaseline, RunningMean, relaxed_pair


class Fault(NamedTuple):
    """A wrong estimator, and how it must be found out."""

    entry: Entry
    check: str
    """The check that must fail."""
    says: str
    """Words of its message."""


FAULTS: list[Fault] = []

Class = type[Estimator]


def fault(
    check: str, says: str, *, families: tuple[str, ...] = ("bernoulli",), unbiased: bool = True, **tags: Any
) -> Callable[[Class], Class]:
    """Collect a class, with the tags that it claims."""

    def decorate(cls: Class) -> Class:
        entry = entry_of(cls, cls.__name__, families=families, unbiased=unbiased, **tags)
        FAULTS.append(Fault(entry, check, says))
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


# Baselines and factors


@fault("unbiased", "own cost is in its baseline", families=("bernoulli", "categorical"), samples=(2, 2))
class OwnCostInBaseline(Score):
    def advantage(self, cost, q, z):
        return cost - cost.mean(0)


@fault("unbiased", "correction is made twice", samples=(2, 2))
class LeaveOneOutTwice(Score):
    def advantage(self, cost, q, z):
        return (cost - cost.mean(0)) * (len(cost) / (len(cost) - 1)) ** 2


@fault("unbiased", "summed over the samples", families=("gaussian",))
class SummedOverSamples(Score):
    def total(self, advantage, log_q, cost):
        return (advantage * log_q).sum(0) + cost.mean(0)


@fault("unbiased", "averaged over the samples twice")
class AveragedTwice(Score):
    def total(self, advantage, log_q, cost):
        return (advantage * log_q).mean(0) / len(cost) + cost.mean(0)


@fault("unbiased", "sign is flipped")
class SignFlipped(Score):
    def total(self, advantage, log_q, cost):
        return (cost - advantage * log_q).mean(0)


@fault("unbiased", "factor of the formula", families=("categorical",))
class FactorNearOne(Score):
    def total(self, advantage, log_q, cost):
        return (0.9 * advantage * log_q + cost).mean(0)


@fault("unbiased", "with log q inside", families=("bernoulli", "categorical"))
class EntropyDropped(Score):
    """The negative control, declared unbiased; with the constant of a centred score."""

    def forward(self, q, f, *, generator=None, context=None):
        z = self.draw(q, generator)
        cost, log_q = self.cost(f, z, q), self.log_q(q, z)
        free = f(z, Uniform(q)).detach()  # f with log q taken as 0
        return Estimate((free * log_q + cost).mean(0), cost.detach().mean(0))


class Uniform(torch.distributions.Distribution):
    """Poses as q with all logits 0, and log q as a constant."""

    def __new__(cls, q):
        return type(q)(logits=torch.zeros_like(q.logits), validate_args=False)


@fault("state", "updated before it is used")
class UpdatedBeforeUse(RunningMean):
    def forward(self, q, f, *, generator=None, context=None):
        z = sample(q, self.samples, generator)
        cost = f(z, stopped(q))
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * cost.detach().mean()
        surrogate = ((cost - self.mean).detach() * log_prob(q, z) + cost).mean(0)
        return Estimate(surrogate, cost.detach().mean(0))


# Rows


@fault("rows", "cost of another row")
class BatchMeanBaseline(Score):
    def advantage(self, cost, q, z):
        return cost - cost.mean(-1, keepdim=True)


@fault("rows", "cost of another row", families=("gaussian",))
class BatchNormalised(Score):
    def advantage(self, cost, q, z):
        return cost / (1 + cost.square().mean(-1, keepdim=True)).sqrt()


@fault("rows", "same noise is used for all rows")
class NoiseSharedByRows(Score):
    def draw(self, q, generator):
        (logits,) = parameters(q)
        u = torch.rand(self.samples, logits.shape[-1], generator=generator, dtype=logits.dtype)
        u = u.reshape(self.samples, *[1] * (logits.dim() - 1), -1)
        return (u < logits.sigmoid()).to(logits)


@fault("rows", "correlated")
class AntitheticAcrossTheBatch(Score):
    """Half the batch uses the other half's noise, mirrored."""

    def draw(self, q, generator):
        (logits,) = parameters(q)
        u = uniform(q, self.samples, generator)
        if logits.dim() > 1:
            half = logits.shape[0] // 2
            u[:, half : 2 * half] = 1 - u[:, :half]
        return (u < logits.sigmoid()).to(logits)


@fault("rows", "one number a row")
class ReducedOverTheBatch(Score):
    def total(self, advantage, log_q, cost):
        return (advantage * log_q + cost).mean()


@fault("rows", "surrogate of one row")
class MeanForEveryRow(Score):
    def total(self, advantage, log_q, cost):
        total = (advantage * log_q + cost).mean(0)
        return total.mean() + 0 * total


# Leading dims


@fault("leading-dims", "counted from the left")
class DimsFromTheLeft(Score):
    """The latents are taken to be dim 2, which they are for q of [B, D] alone."""

    def log_q(self, q, z):
        return (z * q.logits - F.softplus(q.logits)).sum(2) if z.dim() == 3 else self._wrong(q, z)

    def _wrong(self, q, z):
        each = z * q.logits - F.softplus(q.logits)
        return each.mean(-1) if z.dim() > 3 else each.sum(-1)


@fault("leading-dims", "forward raises")
class OnlyTwoDims(Score):
    def draw(self, q, generator):
        rows, latents = q.logits.shape
        return super().draw(q, generator).reshape(self.samples, rows, latents)


@fault("leading-dims", "one number a row")
class SqueezesTheBatch(Score):
    def log_q(self, q, z):
        log_q = super().log_q(q, z)
        return log_q.squeeze() if log_q.dim() == 2 and log_q.shape[1] == 1 and len(log_q) > 1 else log_q

    def forward(self, q, f, *, generator=None, context=None):
        z = self.draw(q, generator)
        cost = self.cost(f, z, q)
        surrogate = (cost.detach() * self.log_q(q, z) + cost).mean(0)
        return Estimate(surrogate, cost.detach().mean(0))


# Dtype


@fault("dtype", "lower precision", families=("bernoulli", "gaussian"))
class SinglePrecisionInside(Score):
    def advantage(self, cost, q, z):
        return cost.float().to(cost.dtype)


@fault("dtype", "lower precision")
class SinglePrecisionLogits(Score):
    def log_q(self, q, z):
        return (z.float() * q.logits.float() - F.softplus(q.logits.float())).sum(-1).to(z.dtype)


@fault("dtype", "draws float32 noise")
class SinglePrecisionNoise(Score):
    def draw(self, q, generator):
        u = torch.rand((self.samples, *q.logits.shape), generator=generator)
        return (u < q.logits.sigmoid()).to(q.logits)


@fault("dtype", "the surrogate is float32")
class SinglePrecisionOut(Score):
    def total(self, advantage, log_q, cost):
        return super().total(advantage, log_q, cost).float()


# Generator


@fault("generator", "called without the generator")
class GlobalNoise(Score):
    def draw(self, q, generator):
        return torch.distributions.Bernoulli(logits=q.logits.detach()).sample((self.samples,))


@fault("generator", "called without the generator", families=("gaussian",))
class GlobalNoiseHidden(Score):
    """Puts the global generator back, so that nobody sees it move."""

    def draw(self, q, generator):
        with torch.random.fork_rng():
            return (q.loc + q.scale * torch.randn(self.samples, *q.loc.shape, dtype=q.loc.dtype)).detach()


@fault("generator", "global generator of numpy")
class NumpyNoise(Score):
    def draw(self, q, generator):
        u = torch.from_numpy(numpy.random.random((self.samples, *q.logits.shape))).to(q.logits)
        return (u < q.logits.sigmoid()).to(q.logits)


@fault("generator", "global generator of random")
class PythonNoise(Score):
    def draw(self, q, generator):
        own = torch.Generator().manual_seed(random.getrandbits(31))
        return super().draw(q, own)


@fault("generator", "same for two seeds")
class FixedSeed(Score):
    def draw(self, q, generator):
        return super().draw(q, torch.Generator().manual_seed(0))


# State


@fault("state", "in eval() the running state")
class UpdatedInEval(RunningMean):
    def forward(self, q, f, *, generator=None, context=None):
        was, self.training = self.training, True
        try:
            return super().forward(q, f, generator=generator, context=context)
        finally:
            self.training = was


@fault("state", "not saved")
class StateInAnAttribute(Score):
    mean = 0.0

    def advantage(self, cost, q, z):
        advantage = cost - self.mean
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * float(cost.mean())
        return advantage


@fault("state", "plain attribute")
class AttributeInEval(Score):
    mean = 0.0

    def advantage(self, cost, q, z):
        advantage = cost - self.mean
        self.mean = 0.9 * self.mean + 0.1 * float(cost.mean())
        return advantage


@fault("state", "a buffer carries a graph")
class StateKeepsTheGraph(RunningMean):
    def forward(self, q, f, *, generator=None, context=None):
        z = sample(q, self.samples, generator)
        cost = f(z, stopped(q)) + 0 * q.logits.sum(-1)
        surrogate = ((cost - self.mean) * log_prob(q, z).detach() + cost + cost.detach() * log_prob(q, z)).mean(0)
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * cost.mean()
        return Estimate(surrogate, cost.detach().mean(0))


# Auxiliary loss


@fault("auxiliary", "they never learn", own_parameters=True)
class NoAuxiliary(LearnedBaseline):
    def forward(self, q, f, *, generator=None, context=None):
        return super().forward(q, f, generator=generator, context=context)._replace(auxiliary=None)


@fault("auxiliary", "gradient in q's parameters", own_parameters=True)
class AuxiliaryReachesPhi(LearnedBaseline):
    def forward(self, q, f, *, generator=None, context=None):
        found = super().forward(q, f, generator=generator, context=context)
        return found._replace(auxiliary=found.auxiliary + q.logits.sum(-1))


@fault("auxiliary", "gradient in theta", own_parameters=True)
class AuxiliaryReachesTheta(LearnedBaseline):
    def forward(self, q, f, *, generator=None, context=None):
        found = super().forward(q, f, generator=generator, context=context)
        z = sample(q, self.samples, generator)
        predicted = (context.to(self.weight) * self.weight).sum(-1)
        return found._replace(auxiliary=(f(z, stopped(q)) - predicted).square().mean(0))


@fault("auxiliary", "surrogate has a gradient in the estimator's own", own_parameters=True)
class SurrogateReachesOwn(LearnedBaseline):
    def forward(self, q, f, *, generator=None, context=None):
        found = super().forward(q, f, generator=generator, context=context)
        return found._replace(surrogate=found.surrogate + (context * self.weight).sum(-1))


# Theta and value


@fault("theta", "detached before", families=("bernoulli", "gaussian"))
class ThetaDetached(Score):
    def total(self, advantage, log_q, cost):
        return (advantage * log_q + cost.detach()).mean(0)


@fault("theta", "theta's gradient differs", unbiased=False)
class ThetaTwice(Score):
    def total(self, advantage, log_q, cost):
        return (advantage * log_q + 2 * cost).mean(0)


@fault("theta", "multiplied by something", families=("bernoulli",))
class AdvantageNotDetached(Score):
    def forward(self, q, f, *, generator=None, context=None):
        z = self.draw(q, generator)
        cost = self.cost(f, z, q)
        return Estimate((cost * self.log_q(q, z) + cost).mean(0), cost.detach().mean(0))


@fault("value", "a sum over samples")
class ValueSummed(Score):
    def forward(self, q, f, *, generator=None, context=None):
        found = super().forward(q, f, generator=generator, context=context)
        return found._replace(value=found.value * self.samples)


@fault("value", "carries a graph")
class ValueWithGraph(Score):
    def forward(self, q, f, *, generator=None, context=None):
        found = super().forward(q, f, generator=generator, context=context)
        return found._replace(value=found.surrogate - (found.surrogate - found.value).detach())


# Evaluations of f


@fault("evaluations", "2 times a row where the tag f_evals says 1", f_evals=one_a_sample)
class EvaluatesTwice(Score):
    def advantage(self, cost, q, z):
        return cost

    def cost(self, f, z, q):
        return (f(z, stopped(q)) + f(z, stopped(q))) / 2


@fault("evaluations", "graph through q's parameters", needs="neither")
class GraphThroughQ(Score):
    def cost(self, f, z, q):
        return f(z, q)


@fault("evaluations", "graph through z", needs="neither", families=("gaussian",))
class UndeclaredPathwise(Estimator):
    def forward(self, q, f, *, generator=None, context=None):
        z = q.loc + q.scale * normal(q, self.samples, generator)
        surrogate = f(z, q).mean(0)
        return Estimate(surrogate, surrogate.detach())


@fault("evaluations", "it needs a relaxed f", needs="gradient of f", unbiased=False)
class UndeclaredRelaxation(Estimator):
    def forward(self, q, f, *, generator=None, context=None):
        u = uniform(q, self.samples, generator)
        surrogate = f(torch.sigmoid(q.logits + u.log() - torch.log1p(-u)), stopped(q)).mean(0)
        return Estimate(surrogate, surrogate.detach())


@fault("evaluations", "calls backward() itself")
class CallsBackward(Score):
    def log_q(self, q, z):
        super().log_q(q, z).sum().backward()
        return super().log_q(q, z)


# Finite


@fault("finite", "not finite at |logit| 50", families=("bernoulli",))
class LogOfProbability(Score):
    def log_q(self, q, z):
        p = torch.sigmoid(q.logits)
        return (z * p.log() + (1 - z) * (1 - p).log()).sum(-1)


@fault("finite", "costs of 1e+06", families=("gaussian",), bound="iwae", samples=(2, 5))
class ExponentialOfCosts(Estimator):
    def forward(self, q, f, *, generator=None, context=None):
        z = q.loc + q.scale * normal(q, self.samples, generator)
        surrogate = -f(z, live(q)).neg().exp().mean(0).log()
        return Estimate(surrogate, surrogate.detach())


# Probabilities, and faults that only some logits show


@fault("unbiased", "clipped probabilities")
class ClippedProbabilities(Score):
    """Draws from probabilities that never fall below 1e-5."""

    def draw(self, q, generator):
        probs = q.logits.sigmoid().clamp(1e-5, 1 - 1e-5)
        return (uniform(q, self.samples, generator) < probs).to(q.logits).detach()


@fault("unbiased", "clipped probabilities", families=("categorical",))
class ClippedLogits(Score):
    """Draws from logits that are clipped at 10."""

    def draw(self, q, generator):
        clipped = (q.logits - q.logits.amax(-1, keepdim=True)).clamp_min(-10)
        return one_hot_argmax(clipped + gumbel(q, self.samples, generator)).detach()


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


@fault("unbiased", "sigmoid(|logit|)", **PAIRED)
class SigmoidOfLogit(DisARMParts):
    def weight(self, difference, b, antithetic, logits):
        return 0.5 * difference * (b - antithetic) * logits.sigmoid()


@fault("unbiased", "factor of the formula is left out", **PAIRED)
class HalfDropped(DisARMParts):
    def weight(self, difference, b, antithetic, logits):
        return difference * (b - antithetic) * logits.abs().sigmoid()


@fault("unbiased", "sign is flipped", **PAIRED)
class PairSwapped(DisARMParts):
    def weight(self, difference, b, antithetic, logits):
        return 0.5 * difference * (antithetic - b) * logits.abs().sigmoid()


@fault("unbiased", "a sign is lost", **PAIRED)
class SignForgotten(DisARMParts):
    """1[b != b'] without (-1)^b'."""

    def weight(self, difference, b, antithetic, logits):
        return 0.5 * difference * (b - antithetic).abs() * logits.abs().sigmoid()


@fault("unbiased", "the mean is wrong")
class NoGradientThroughTheConditional(REBAR):
    """REBAR whose relaxation given b is detached."""

    def forward(self, q, f, *, generator=None, context=None):
        (logits,) = parameters(q)
        u, v = uniform(q, self.samples, generator), uniform(q, self.samples, generator)
        b, z, again = relaxed_pair(logits, u, v)
        hard = f(b, stopped(q))
        soft, soft_again = (f(torch.sigmoid(x / 0.5), stopped(q)) for x in (z, again.detach()))
        surrogate = (hard - 0.7 * soft_again).detach() * log_prob(live(q), b) + 0.7 * (soft - soft_again) + hard
        return Estimate(surrogate.mean(0), hard.detach().mean(0))


@fault("unbiased", "the mean is wrong")
class ScaleOnOneTermOnly(REBAR):
    """REBAR whose learned scale multiplies the baseline but not its correction."""

    def forward(self, q, f, *, generator=None, context=None):
        (logits,) = parameters(q)
        u, v = uniform(q, self.samples, generator), uniform(q, self.samples, generator)
        b, z, again = relaxed_pair(logits, u, v)
        hard = f(b, stopped(q))
        soft, soft_again = (f(torch.sigmoid(x / 0.5), stopped(q)) for x in (z, again))
        surrogate = (hard - 0.7 * soft_again).detach() * log_prob(live(q), b) + (soft - soft_again) + hard
        return Estimate(surrogate.mean(0), hard.detach().mean(0))


@fault("unbiased", "softmax runs over the wrong axis", families=("categorical",))
class WrongSoftmaxAxis(Score):
    """The score of logits normalised over the variables instead of the categories."""

    def log_q(self, q, z):
        return (z * q.logits.log_softmax(-2)).sum((-2, -1))


@fault("unbiased", "No gradient reaches scale", families=("gaussian",))
class ScaleDetached(Estimator):
    def forward(self, q, f, *, generator=None, context=None):
        z = q.loc + q.scale.detach() * normal(q, self.samples, generator)
        surrogate = f(z, stopped(q)).mean(0)
        return Estimate(surrogate, surrogate.detach())


@fault("unbiased", "has no gradient at all")
class SurrogateDetached(Score):
    def total(self, advantage, log_q, cost):
        return super().total(advantage, log_q, cost).detach()


@fault("unbiased", "several latents")
class SharedNoiseOfLatents(Score):
    """One uniform number for all latents of a row."""

    def draw(self, q, generator):
        u = uniform(q, self.samples, generator)[..., :1]
        return (u < q.logits.sigmoid()).to(q.logits)


@fault("unbiased", "exact to second order only")
class SecondOrderDeclaredUnbiased(Estimator):
    """ReinMax declared unbiased: exact for quadratics, and only for those."""

    def forward(self, q, f, *, generator=None, context=None):
        (logits,) = parameters(q)
        b = sample(q, self.samples, generator)
        weight = 0.5 * (b - logits.detach().sigmoid()).abs()
        z = b + weight * (logits - logits.detach())
        hard = f(b, stopped(q))
        surrogate = f(z, stopped(q)).mean(0)
        return Estimate(surrogate, hard.detach().mean(0))


# Bounds


@fault("unbiased", "the mean is wrong", families=("gaussian",), bound="iwae", samples=(1, 5))
class STLBound(Estimator):
    """Sticking the landing inside a bound of several samples: Roeder et al. 2017 is unbiased for one sample only."""

    def forward(self, q, f, *, generator=None, context=None):
        z = q.loc + q.scale * normal(q, self.samples, generator)
        surrogate = math.log(self.samples) - (-f(z, stopped(q))).logsumexp(0)
        return Estimate(surrogate, surrogate.detach())


@fault("unbiased", "the mean is wrong", families=("gaussian",), bound="iwae", samples=(2, 5))
class WeightsNotSquared(Estimator):
    """DReG with the weights where their squares belong, and q stopped."""

    def forward(self, q, f, *, generator=None, context=None):
        z = q.loc + q.scale * normal(q, self.samples, generator)
        path = f(z, stopped(q))
        weight = torch.softmax(-path.detach(), 0)
        bound = math.log(self.samples) - (-path.detach()).logsumexp(0)
        return Estimate((weight * path).sum(0), bound)


@fault("unbiased", "the mean is wrong", families=("bernoulli",), bound="iwae", samples=(2, 5))
class OwnWeightInBaseline(Estimator):
    """VIMCO whose baseline holds the draw's own weight: it vanishes together with the signal."""

    def forward(self, q, f, *, generator=None, context=None):
        z = sample(q, self.samples, generator)
        log_weights = -f(z, live(q))
        bound = log_weights.logsumexp(0) - math.log(self.samples)
        signal = (bound - log_weights.mean(0)).detach()
        surrogate = -(signal * log_prob(live(q), z) * 0.5).sum(0) - bound
        return Estimate(surrogate, -bound.detach())


# Latents that are not interchangeable, state of an earlier call, stacked seeds, training mode


@fault("unbiased", "the mean is wrong", **PAIRED)
class OtherLatentsLogit(DisARMParts):
    def weight(self, difference, b, antithetic, logits):
        return 0.5 * difference * (b - antithetic) * logits.abs().roll(1, -1).sigmoid()


@fault("unbiased", "the mean is wrong", families=("categorical",))
class SortedAndNotUnsorted(Score):
    """Draws by the inverse distribution function over sorted categories, and puts back the first one only."""

    def draw(self, q, generator):
        order = q.logits.argsort(-1, descending=True)
        wrong = torch.cat((order[..., :1], order[..., 1:].flip(-1)), -1)
        sorted_z = one_hot_argmax(q.logits.gather(-1, order).detach() + gumbel(q, self.samples, generator))
        return torch.zeros_like(sorted_z).scatter(-1, wrong.expand_as(sorted_z), sorted_z)


@fault("unbiased", "own cost is in its baseline", samples=(1, 1))
class OwnCostFromThreeSamplesOn(Score):
    def advantage(self, cost, q, z):
        return cost - cost.mean(0) if len(cost) > 2 else cost


@fault("state", "something of an earlier call is kept")
class StaleProbabilities(Score):
    kept = None

    def draw(self, q, generator):
        if self.kept is None or self.kept.shape != q.logits.shape:
            self.kept = q.logits.detach().sigmoid()
        return (uniform(q, self.samples, generator) < self.kept).to(q.logits)


@fault("leading-dims", "one stacked seed moves with the parameters", own_parameters=True)
class FirstSeedsWeight(LearnedBaseline):
    def forward(self, q, f, *, generator=None, context=None):
        z = sample(q, self.samples, generator)
        cost = f(z, stopped(q))
        predicted = (context.to(self.weight) * self.weight.flatten()[: context.shape[-1]]).sum(-1)
        surrogate = ((cost - predicted).detach() * log_prob(live(q), z) + cost).mean(0)
        own = (context.to(self.weight) * self.weight).sum(-1)
        return Estimate(surrogate, cost.detach().mean(0), (cost.detach() - own).square().mean(0))


@fault("generator", "draw the same noise")
class SeededAnew(Score):
    def draw(self, q, generator):
        if generator is not None:
            generator.manual_seed(generator.initial_seed())
        return super().draw(q, generator)


@fault("generator", "global generator of torch", own_parameters=True)
class DropoutInTraining(LearnedBaseline):
    def forward(self, q, f, *, generator=None, context=None):
        return super().forward(q, f, generator=generator, context=F.dropout(context, 0.1, self.training))


@fault("rows", "the rows of a call share a choice")
class OneChoiceForAllRows(Score):
    """Updates one latent a call, the same for all rows."""

    def forward(self, q, f, *, generator=None, context=None):
        found = super().forward(q, f, generator=generator, context=context)
        latents = q.logits.shape[-1]
        chosen = torch.randint(latents, (1,), generator=generator)
        mask = latents * F.one_hot(chosen, latents).to(q.logits)[0]
        z = self.draw(q, generator)
        cost = self.cost(f, z, q)
        score = ((z - q.logits.sigmoid()).detach() * mask * q.logits).sum(-1)
        return found._replace(surrogate=(cost.detach() * score + cost).mean(0))


@fault("rows", "leaves a hook")
class HookOnTheLogits(Score):
    def log_q(self, q, z):
        if q.logits.requires_grad:
            q.logits.register_hook(lambda g: 2 * g)
        return super().log_q(q, z)

    def total(self, advantage, log_q, cost):
        return (0.5 * advantage * log_q + cost).mean(0)


@fault("evaluations", "11 times a row", f_evals=one_a_sample)
class MoreEvaluationsInTraining(Score):
    def cost(self, f, z, q):
        if self.training:
            for _ in range(10):
                f(z, stopped(q))
        return f(z, stopped(q))
