"""Faults of running state and of own parameters."""

from estimators import Estimate
from estimators.distributions import log_prob, sample, stopped, uniform
from tests.estimators.faults.base import Score, fault
from tests.estimators.outside import LearnedBaseline, RunningMean

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
