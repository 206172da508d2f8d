"""f's Taylor expansion at the mean of a Normal q: what the delta method and Miller et al.'s control variate share."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution

from estimators.base import Objective
from estimators.distributions import parameters, stopped


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
    curvature = loc.new_zeros(*loc.shape, loc.shape[-1])
    with torch.enable_grad():
        point = loc.clone().requires_grad_()
        cost = f(point.unsqueeze(0), stopped(q))[0]
        if not cost.requires_grad:  # it does not depend on z
            return Taylor(cost, torch.zeros_like(loc), curvature)
        (gradient,) = torch.autograd.grad(cost.sum(), point, create_graph=order > 1, materialize_grads=True)
        if order > 1 and gradient.requires_grad:  # else f is linear
            # A loop, as batching the products would take D times the memory of f, and is no faster on a CPU.
            columns = [
                torch.autograd.grad(one.sum(), point, retain_graph=True, materialize_grads=True)[0]
                for one in gradient.unbind(-1)
            ]
            curvature = torch.stack(columns, -1)
    return Taylor(cost.detach(), gradient.detach(), curvature)
