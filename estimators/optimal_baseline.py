"""The score function with the constant baseline that is best for each coordinate: b = E[f s^2] / E[s^2].

E. Greensmith, P. L. Bartlett, J. Baxter, Variance reduction techniques for gradient estimates in reinforcement
learning, 2004; constant baselines are R. J. Williams's, 1992. s is the score with respect to one parameter of q. Both
means run over earlier steps and all rows, and are updated after they were used.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from estimators.base import Estimate, Estimator, Objective
from estimators.distributions import event_shape, over_dims, parameter_shapes, parameters, sample, scores, stopped
from estimators.entry import one_a_sample
from estimators.noise import Noise
from estimators.parts.baselines import RunningMean
from estimators.parts.reading import reading
from estimators.parts.sizes import Sizes
from estimators.registry import register


class _Ratio(nn.Module):
    """Running E[f s^2] / E[s^2] of one parameter, [*stack, 1, *event]."""

    def __init__(self, decay: float) -> None:
        super().__init__()
        self.products, self.squares = RunningMean(decay), RunningMean(decay)

    def start(self, stack: Sequence[int], event: Sequence[int]) -> None:
        """Start anew."""
        self.products.start(stack, event)
        self.squares.start(stack, event)

    def stay_open(self) -> None:
        """Take a state of another shape, until an update: the shape so far is a guess."""
        self.products.sized = self.squares.sized = False

    def value(self) -> Tensor:
        """The ratio so far, 0 before the first update."""
        squares = (
            self.squares.total
        )  # both running means are too small by the same factor at their start, which cancels
        ratio = self.products.total / squares.clamp_min(torch.finfo(squares.dtype).tiny)
        return reading(ratio) if self.training else ratio

    def update(self, costs: Tensor, scores: Tensor) -> None:
        """Take in costs [S, *B, 1...] and scores [S, *B, *event]."""
        self.products.update(costs * scores.square())
        self.squares.update(scores.square())


@register(
    "optimal-baseline",
    capability="score",
    method="score function",
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

    def set_sizes(self, sizes: Sizes) -> None:
        self.stack = sizes.stack
        if sizes.event:
            for ratio in (self.first, self.second):
                ratio.start(sizes.stack, sizes.event)
            self.second.stay_open()  # the scale of joint latents has another shape than their event

    def estimate(self, q: Distribution, f: Objective, noise: Noise) -> Estimate:
        if self.first.products.total.dim() == 1:  # never bound to an event
            self.set_sizes(Sizes(self.stack, event=event_shape(q)))
        z = sample(q, self.samples, noise)
        cost = f(z, stopped(q))  # S x *B
        surrogate, shapes = cost.mean(0), parameter_shapes(q)
        sized = self.first.products.total
        stack = sized.shape[: sized.dim() - 1 - len(shapes[0])]
        for p, shape, score, ratio in zip(parameters(q), shapes, scores(q, z), (self.first, self.second), strict=False):
            if shape != shapes[0] and ratio.products.total.shape != (*stack, 1, *shape):
                ratio.start(stack, shape)
            costs = over_dims(cost.detach(), len(shape))
            weight = (costs - ratio.value().to(costs)) * score
            surrogate = surrogate + (weight.mean(0) * p).flatten(-len(shape)).sum(-1)
            if self.training:
                ratio.update(costs, score)
        return Estimate(surrogate, cost.detach().mean(0))
