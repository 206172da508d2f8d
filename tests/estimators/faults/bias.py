"""Faults of the mean: of the gradient of q's parameters, of theta's, and of the value."""

import math

import torch

from estimators import Estimate, Estimator
from estimators.distributions import live, log_prob, parameters, sample, stopped
from estimators.families.logits import one_hot_argmax
from tests.estimators.drawing import gumbel, normal, uniform
from tests.estimators.faults.base import PAIRED, DisARMParts, Score, fault
from tests.estimators.outside import REBAR, relaxed_pair

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


@fault("unbiased", "softmax runs over the wrong axis", families=("categorical",), everywhere=True)
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


@fault("unbiased", "several latents", everywhere=True)
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


@fault("unbiased", "Only with more than 1 sample the mean", families=("gaussian",), bound="iwae", samples=(1, 5))
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


# Latents that are not interchangeable


@fault("unbiased", "the mean is wrong", **PAIRED)
class OtherLatentsLogit(DisARMParts):
    def weight(self, difference, b, antithetic, logits):
        return 0.5 * difference * (b - antithetic) * logits.abs().roll(1, -1).sigmoid()


@fault("unbiased", "the mean is wrong", families=("categorical",), everywhere=True)
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
