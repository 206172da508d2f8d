"""Calls without a graph, without rows, or with one class, that give something else than they should."""

from torch import nn

from estimators import Estimate, Estimator
from estimators.distributions import log_prob, parameters, sample, stopped
from estimators.parts.baselines import MovingAverage
from tests.estimators.faults.base import Score, fault

# Leading dims


@fault("leading-dims", "forward raises ZeroDivisionError for rows [0]")
class AroundTheCheckedCall(Score):
    """It goes by nn.Module's own call, so that nobody has looked at what it is called with."""

    def __init__(self, samples=1):
        super().__init__(samples)
        self.baseline = MovingAverage()

    def __call__(self, q, f, *, generator=None, context=None):
        return nn.Module.__call__(self, q, f, generator=generator, context=context)

    def advantage(self, cost, q, z):
        return self.baseline(cost, None)[0]


@fault("leading-dims", "with one class the value is", families=("categorical",))
class MeanOfTheOtherClasses(Estimator):
    """Its value is a mean over the other classes, of which there may be none."""

    def forward(self, q, f, *, generator=None, context=None):
        z = sample(q, self.samples, generator)
        cost = f(z, stopped(q))
        classes = parameters(q)[0].shape[-1]
        surrogate = (cost.detach() * log_prob(q, z) + cost).mean(0)
        return Estimate(surrogate, cost.detach().mean(0) * min(1, classes - 1))


# Certain outcomes, of the check finite


@fault("finite", "not finite at infinite logits")
class OddsOfALogit(Score):
    def log_q(self, q, z):
        odds = q.logits.double().exp()  # holds up to a logit of 700
        return (z * q.logits).sum(-1) - odds.log1p().sum(-1).to(z.dtype)
