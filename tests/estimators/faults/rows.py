"""Rows that are not independent, and leading dims that are not alike."""

import torch
from torch.nn import functional as F

from estimators import Estimate
from estimators.distributions import parameters
from tests.estimators.drawing import uniform
from tests.estimators.faults.base import Score, fault
from tests.estimators.outside import LearnedBaseline

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


@fault("leading-dims", "one stacked seed moves with the parameters", own_parameters=True)
class FirstSeedsWeight(LearnedBaseline):
    def predicted(self, context):
        return (context.to(self.weight) * self.weight.flatten()[: context.shape[-1]]).sum(-1)
