"""Precision lost, and numbers that are not finite."""

import torch
from torch.nn import functional as F

from estimators import Estimate, Estimator
from estimators.distributions import live
from tests.estimators.drawing import normal
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
