"""What estimators with control variates share: derivatives of f, rows of own parameters.

An estimator with a learned control variate writes its estimate as a tensor that depends on its own parameters alone,
and learns them by the squared estimate: its mean does not depend on them, so that this is the variance and a constant.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import Distribution

from estimators.base import Estimator, Objective
from estimators.distributions import event_dims, parameters
from estimators.parts.pullback import pullback


def costs_and_derivatives(f: Objective, z: Tensor, q: Distribution) -> tuple[Tensor, Tensor]:
    """f at z, [S, *B] with theta's graph, and its detached derivative with respect to z, from one evaluation."""
    cost, pull = pullback(lambda point: f(point, q), z.detach())
    return cost, pull()


def learns(estimator: Estimator) -> bool:
    """Whether the loss of own parameters is wanted: in training, unless they are frozen."""
    return estimator.training and torch.is_grad_enabled() and any(p.requires_grad for p in estimator.parameters())


def rows_of(parameter: Tensor, rows: Sequence[int]) -> Tensor:
    """An own parameter [*stack, 1], one for each row *B."""
    return parameter.expand(rows) if len(rows) else parameter.squeeze(-1)


def weighted(weight: Tensor, q: Distribution) -> Tensor:
    """[*B], whose gradient with respect to a discrete q's logits is the detached weight [*B, *event]."""
    return (weight.detach() * parameters(q)[0]).sum(event_dims(q))
