"""The score function with the constant baseline that is best for each coordinate: b = E[f s^2] / E[s^2].

E. Greensmith, P. L. Bartlett, J. Baxter, Variance reduction techniques for gradient estimates in reinforcement
learning, 2004; constant baselines are R. J. Williams's, 1992. s is the score with respect to one parameter of q. Both
means run over earlier steps and all rows, and are updated after they were used.
"""

from collections.abc import Sequence
from typing import Self

import torch
from torch import Generator, Tensor, nn
from torch.distributions import Distribution

from estimators.base import Estimate, Estimator, Objective
from estimators.baselines import RunningMean
from estimators.distributions import event_dims, event_shape, over_event, parameters, sample, scores, stopped
from estimators.registry import one_a_sample, register


class _Ratio(nn.Module):
    """Running E[f s^2] / E[s^2] of one parameter, [*stack, 1, *event]."""

    def __init__(self, decay: float) -> None:
        super().__init__()
        self.products, self.squares = RunningMean(decay), RunningMean(decay)

    def size(self, stack: Sequence[int], event: Sequence[int]) -> None:
        """Start anew."""
        self.products.size(stack, event)
        self.squares.size(stack, event)

    def value(self) -> Tensor:
        """The ratio so far, 0 before the first update."""
        squares = self.squares.total  # both started at nothing at the same time, which cancels
        return self.products.total / squares.clamp_min(torch.finfo(squares.dtype).tiny)

    def update(self, costs: Tensor, scores: Tensor) -> None:
        """Take in costs [S, *B, 1...] and scores [S, *B, *event]."""
        self.products.update(costs * scores.square())
        self.squares.update(scores.square())


@register(
    "optimal-baseline",
    families=("gaussian", "bernoulli", "categorical"),
    unbiased=True,
    f_evals=one_a_sample,
    needs="neither",
    summary="score function with the best constant baseline of each coordinate, from earlier steps",
    paper="Greensmith, Bartlett and Baxter 2004; Williams 1992",
)
class OptimalBaseline(Estimator):
    """A baseline for each coordinate of q's parameters, the same for all rows; `decay` is of the running means."""

    def __init__(self, samples: int = 1, decay: float = 0.9) -> None:
        super().__init__(samples)
        self.first, self.second = _Ratio(decay), _Ratio(decay)  # logits, or loc and scale
        self.stack: tuple[int, ...] = ()

    def bind(
        self,
        *,
        stack: Sequence[int] = (),
        context_size: int = 0,
        event: Sequence[int] = (),
        generator: Generator | None = None,
    ) -> Self:
        """See `Estimator.bind`."""
        self.stack = tuple(stack)
        if event:
            self.first.size(stack, event)
            self.second.size(stack, event)
        return self

    def forward(
        self,
        q: Distribution,
        f: Objective,
        *,
        generator: Generator | None = None,
        context: Tensor | None = None,
    ) -> Estimate:
        """See `Estimator.forward`."""
        if self.first.products.total.dim() == 1:  # never bound to an event
            self.bind(stack=self.stack, event=event_shape(q))
        z = sample(q, self.samples, generator)
        cost = f(z, stopped(q))  # S x *B
        costs = over_event(cost.detach(), q)
        surrogate = cost.mean(0)
        for p, score, ratio in zip(parameters(q), scores(q, z), (self.first, self.second), strict=False):
            weight = (costs - ratio.value().to(costs)) * score
            surrogate = surrogate + (weight.mean(0) * p).sum(event_dims(q))
            if self.training:
                ratio.update(costs, score)
        return Estimate(surrogate, cost.detach().mean(0))
