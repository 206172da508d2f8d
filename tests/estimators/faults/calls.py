"""Faults of the noise's source, and of how f is evaluated."""

import random

import numpy
import torch
from torch.nn import functional as F

from estimators import Estimate, Estimator
from estimators.distributions import stopped
from estimators.entry import one_a_sample
from tests.estimators.drawing import normal, uniform
from tests.estimators.faults.base import Score, fault
from tests.estimators.outside import LearnedBaseline

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


@fault("evaluations", "11 times a row", f_evals=one_a_sample)
class MoreEvaluationsInTraining(Score):
    def cost(self, f, z, q):
        if self.training:
            for _ in range(10):
                f(z, stopped(q))
        return f(z, stopped(q))
