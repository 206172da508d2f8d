"""f's Taylor expansion at the mean of a Normal q: what the delta method and Miller et al.'s control variate share."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution

from estimators.base import Objective
from estimators.distributions import parameters, stopped
from estimators.parts.pullback import pullback, pullback_beside


class Taylor(NamedTuple):
    """Value, gradient and Hessian of f at q's mean, outside any graph."""

    value: Tensor
    """[*B]."""
    gradient: Tensor
    """[*B, D]."""
    curvature: Tensor
    """[*B, D, D]."""

    def hessian_product(self, step: Tensor) -> Tensor:
        """The Hessian times a step [S, *B, D] from the mean: what the gradient changes by, to first order."""
        return (self.curvature @ step.unsqueeze(-1)).squeeze(-1)


def taylor(q: Distribution, f: Objective, *, order: int = 2) -> Taylor:
    """Expand f at q's mean, in one evaluation of f; the Hessian is 0 for order 1.

    The diagonal of the Hessian alone would cost as many Hessian-vector products, D, as all of it.
    """
    loc = parameters(q)[0].detach()

    def cost_of(point: Tensor) -> Tensor:
        return f(point.unsqueeze(0), stopped(q))[0]

    if order == 1:
        cost, pull = pullback(cost_of, loc)
        return Taylor(cost.detach(), pull(), loc.new_zeros(*loc.shape, loc.shape[-1]))

    def gradient_of(point: Tensor) -> tuple[Tensor, Tensor]:
        cost, pull = pullback(cost_of, point)
        return pull(create_graph=True), cost

    gradient, cost, pull = pullback_beside(gradient_of, loc)
    # A loop, as batching the products would take D times the memory of f, and is no faster on a CPU.
    columns = [pull(one.expand_as(loc)) for one in torch.eye(loc.shape[-1], dtype=loc.dtype, device=loc.device)]
    return Taylor(cost.detach(), gradient.detach(), torch.stack(columns, -1))
