"""Faults of running state and of own parameters."""

import torch

from estimators import Estimate
from estimators.distributions import log_prob, sample, stopped
from tests.estimators.drawing import uniform
from tests.estimators.faults.base import Score, fault
from tests.estimators.outside import LearnedBaseline, LearnedLevel, RunningMean

# State


@fault("state", "updated before it is used")
class UpdatedBeforeUse(RunningMean):
    def forward(self, q, f, *, generator=None, context=None):
        z = sample(q, self.samples, generator)
        cost = f(z, stopped(q))
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * cost.detach().mean()
        surrogate = ((cost - self.mean).detach() * log_prob(q, z) + cost).mean(0)
        return Estimate(surrogate, cost.detach().mean(0))


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


@fault("state", "something of an earlier call is kept")
class StaleProbabilities(Score):
    kept = None

    def draw(self, q, generator):
        if self.kept is None or self.kept.shape != q.logits.shape:
            self.kept = q.logits.detach().sigmoid()
        return (uniform(q, self.samples, generator) < self.kept).to(q.logits)


# Own parameters that an optimiser does not hold


@fault("state", "the first call makes new parameters 'weight'", own_parameters=True)
class ParametersAppearAtTheFirstCall(LearnedBaseline):
    """Even where it was bound: a network that is made when its inputs are seen."""

    def bind(self, *, stack=(), context_size=0, event=(), generator=None):
        return self

    def forward(self, q, f, *, generator=None, context=None):
        if not self.weight.numel():
            self.weight = torch.nn.Parameter(torch.zeros(1, context.shape[-1], dtype=torch.float64))
        return super().forward(q, f, generator=generator, context=context)


@fault("state", "bind() makes new parameters 'level'", own_parameters=True)
class BindReplacesParameters(LearnedLevel):
    def bind(self, *, stack=(), context_size=0, event=(), generator=None):
        self.level = torch.nn.Parameter(torch.zeros(*stack, 1))
        return self


@fault("state", "the first call makes new parameters 'level'", own_parameters=True)
class FirstCallReplacesParameters(LearnedLevel):
    """Only where it was never bound."""

    bound = False

    def bind(self, *, stack=(), context_size=0, event=(), generator=None):
        self.bound = True
        return super().bind(stack=stack)

    def forward(self, q, f, *, generator=None, context=None):
        if not self.bound:
            self.bound, self.level = True, torch.nn.Parameter(torch.zeros(1))
        return super().forward(q, f, generator=generator, context=context)


@fault("state", "used without bind() does not load into a fresh one", own_parameters=True)
class UsedStateDoesNotLoad(LearnedLevel):
    """Resized in place by the first call, and nobody resizes a fresh one for what was saved."""

    def forward(self, q, f, *, generator=None, context=None):
        if self.level.numel() == 1:
            self.level.data = self.level.data.expand(q.logits.shape[-1]).clone()
        return super().forward(q, f, generator=generator, context=context)

    def bind(self, *, stack=(), context_size=0, event=(), generator=None):
        self.level.data = torch.zeros(*stack, 1, *event)
        return self

    def predicted(self, context):
        return self.level.mean(-1)


@fault("state", "used without bind() and restored from state_dict()", own_parameters=True)
class SizedByAnAttribute(LearnedLevel):
    """What the first call found is kept beside the parameter that it belongs to."""

    factor = 0.0

    def bind(self, *, stack=(), context_size=0, event=(), generator=None):
        self.factor = 1.0
        return super().bind(stack=stack)

    def forward(self, q, f, *, generator=None, context=None):
        self.factor = self.factor or (1.0 if self.training else 0.5)
        return super().forward(q, f, generator=generator, context=context)

    def predicted(self, context):
        return self.factor * (self.level + 1)


@fault("state", "some state is not saved", own_parameters=True)
class LearnedIsNotSaved(LearnedLevel):
    """A fresh one has what the parameter started from, which is right until it has learned."""

    def state_dict(self, *arguments, **options):
        return {}

    def load_state_dict(self, state_dict, strict=True, assign=False):
        return super().load_state_dict(state_dict, strict=False, assign=assign)


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
        return found._replace(auxiliary=(f(z, stopped(q)) - self.predicted(context)).square().mean(0))


@fault("auxiliary", "surrogate has a gradient in the estimator's own", own_parameters=True)
class SurrogateReachesOwn(LearnedBaseline):
    def forward(self, q, f, *, generator=None, context=None):
        found = super().forward(q, f, generator=generator, context=context)
        return found._replace(surrogate=found.surrogate + self.predicted(context))
