"""Precision lost, and numbers that are not finite."""

import torch
from torch.nn import functional as F

from estimators import Estimate, Estimator
from estimators.distributions import live
from tests.estimators.drawing import normal, uniform
from tests.estimators.faults.base import Score, fault

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


# Single precision alone


class ForSinglePrecision(Score):
    """Another chance of a 1 in float32 than in float64."""

    def chance(self, p):
        return p

    def chance_of(self, q):
        p = q.logits.sigmoid()
        return self.chance(p) if p.dtype == torch.float32 else p

    def draw(self, q, generator):
        u = uniform(q, self.samples, generator)
        return (u < self.chance_of(q)).to(u)


@fault("float32", "off by 1 % of its length", families=("bernoulli", "categorical", "gaussian"))
class OnePercentInSinglePrecision(Score):
    def log_q(self, q, z):
        return super().log_q(q, z) * (1.01 if z.dtype == torch.float32 else 1.0)


@fault("float32", "% of its length at |logit| 15")
class ClampedDrawsInSinglePrecision(ForSinglePrecision):
    def chance(self, p):
        return p.clamp(1e-3, 1 - 1e-3)


@fault("float32", "% of its length at |logit| 15")
class ClampedScoreInSinglePrecision(Score):
    def log_q(self, q, z):
        p = q.logits.detach().sigmoid()
        return ((z - (p.clamp(1e-3, 1 - 1e-3) if p.dtype == torch.float32 else p)) * q.logits).sum(-1)


@fault("float32", "% of its length at |logit| 15")
class EpsInALogInSinglePrecision(Score):
    def log_q(self, q, z):
        if z.dtype != torch.float32:
            return super().log_q(q, z)
        p = q.logits.sigmoid()
        return (z * (p + 1e-6).log() + (1 - z) * (1 - p + 1e-6).log()).sum(-1)


@fault("float32", "% of its length at |logit| 15")
class EpsInTheNoiseInSinglePrecision(Score):
    """Logistic noise within +-13.8, so that a rare outcome never comes."""

    def draw(self, q, generator):
        u = uniform(q, self.samples, generator)
        eps = 1e-6 if u.dtype == torch.float32 else 0.0
        return (q.logits + (u + eps).log() - (1 - u + eps).log() > 0).to(u)


@fault("float32", "% of its length at |logit| 15")
class ChanceThatRoundsToOne(ForSinglePrecision):
    def chance(self, p):
        return p.half().to(p)


@fault("float32", "the gradient is not finite", families=("gaussian",))
class NotANumberInSinglePrecision(Score):
    def advantage(self, cost, q, z):
        return cost / (cost == cost.double()).to(cost).sub(1.0 if cost.dtype == torch.float32 else 0.0)


@fault("float32", "draws other noise than in float64")
class AnotherSourceInSinglePrecision(Score):
    def draw(self, q, generator):
        if q.logits.dtype == torch.float64:
            return super().draw(q, generator)
        return (normal(q, self.samples, generator) < torch.special.ndtri(q.logits.sigmoid())).to(q.logits)


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
