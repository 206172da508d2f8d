"""An estimator for a model of two stochastic layers, made of one for each."""

import math
from collections.abc import Callable
from typing import Protocol, cast

import torch
from torch import Tensor
from torch.distributions import Distribution

from estimators.base import Estimate, Estimator, Objective
from estimators.distributions import event_shape
from estimators.noise import Noise
from estimators.parts.sizes import Sizes

Expectation = Callable[[Distribution, Objective, Tensor], Tensor]
"""E_q[f], [*B], from q, f and what q was computed from."""


class LayeredObjective(Protocol):
    """An objective whose second layer's expectation is taken by what it is given."""

    def __call__(self, z: Tensor, q: Distribution, inner: Expectation | None = None, /) -> Tensor:
        """Evaluate f at z [S, *B, *event], for a model of two layers with this expectation over z2, or exactly."""
        ...


class PerLayer(Estimator):
    """An estimator for z1, and another one for z2 given each draw of z1.

    To the lower one the upper one is a part of f: E_{q(z2|z1)}[...] with its estimated gradient, which reaches q(z2|z1)
    and, where f is differentiated in z1, z1 itself. Noise of z2 is drawn anew for every evaluation of f. Each layer's
    estimator has its own state and parameters.
    """

    def __init__(self, lower: Estimator, upper: Estimator) -> None:
        super().__init__(lower.samples)
        self.lower, self.upper = lower, upper

    def set_sizes(self, sizes: Sizes) -> None:
        """Size both; the upper estimator's context is z1."""
        self.lower.bind(**sizes._asdict())
        self.upper.bind(**sizes._replace(context_size=math.prod(sizes.event))._asdict())

    def estimate(self, q: Distribution, f: Objective, noise: Noise) -> Estimate:
        """Estimate the gradient of both layers.

        Args:
            q: q(z1|x).
            f: the objective of a VAE of two layers, which takes the expectation over z2 as a third argument.
            noise: of both layers; its context is that of q.
        """
        generator, context = noise.generator, noise.context
        layered = cast(LayeredObjective, f)
        losses: list[Tensor] = []

        def inner(upper: Distribution, cost: Objective, z: Tensor) -> Tensor:
            flat = z.detach().flatten(-len(event_shape(upper)))
            estimate = self.upper(upper, cost, generator=generator, context=flat)
            if estimate.auxiliary is not None and estimate.auxiliary.requires_grad:
                losses.append(estimate.auxiliary.mean(0))
            surrogate: Tensor = estimate.surrogate
            through: Tensor = estimate.value + (surrogate - surrogate.detach())
            return through

        estimate = self.lower(q, lambda z, q: layered(z, q, inner), generator=generator, context=context)
        own = [estimate.auxiliary] if estimate.auxiliary is not None else []
        auxiliary = torch.stack(own + losses).sum(0) if own or losses else None
        return Estimate(estimate.surrogate, estimate.value, auxiliary)
