"""`OneBitDescent`: Adam on the logit of one bit, by an estimator without noise."""

from functools import cache

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Distribution

from bench.published.judge import Number
from bench.published.protocols import OneBitDescent
from bench.studies.published.measure import Numbers, measure, one_row
from estimators.exact import expectation
from estimators.registry import create


class Descent:
    """One descent, made as far as its losses are asked for.

    Args:
        protocol: its step is not read.
        label: our estimator; one that draws is no estimator of this setting.
    """

    def __init__(self, protocol: OneBitDescent, label: str) -> None:
        self.protocol, self.estimator = protocol, create(label)
        self.logits = one_row(protocol.logit).requires_grad_()
        self.adam = torch.optim.Adam([self.logits], lr=protocol.learning_rate)
        self.path = [self.logits.detach().clone()]

    def f(self, z: Tensor, q: Distribution) -> Tensor:
        """The cost, [S, 1]."""
        return (z - self.protocol.target).square().sum(-1)

    def loss(self, step: int) -> float:
        """Before the update of this number, counted from 0."""
        while len(self.path) <= step:
            self.adam.zero_grad()
            self.estimator(Bernoulli(logits=self.logits), self.f).loss().backward()
            if self.protocol.lacks_factor:
                assert self.logits.grad is not None
                self.logits.grad /= 1 - self.logits.detach().sigmoid()
            self.adam.step()
            self.path.append(self.logits.detach().clone())
        return float(expectation(Bernoulli(logits=self.path[step]), self.f))


@cache
def descent(protocol: OneBitDescent, label: str) -> Descent:
    """The one descent of all cells that differ in their step alone."""
    return Descent(protocol, label)


@measure.register
def _(protocol: OneBitDescent, label: str) -> Numbers:
    found = descent(protocol.model_copy(update={"step": 0}), label).loss(protocol.step)
    return {"loss": Number(found, 1e-9)}
