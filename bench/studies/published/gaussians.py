"""`GaussianCost`: costs of one Normal latent, its mean and deviation the parameters."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import Distribution, Normal

from bench.published.protocols import GaussianCost
from bench.studies.published.measure import Numbers, measure, one_row, variances
from estimators.base import Estimator
from estimators.registry import create

COSTS = {
    "square": lambda x, k: (x - k).square(),
    "exp": lambda x, k: (-k * x.square()).exp(),
    "cos": lambda x, k: (k * x).cos(),
}
SETTLING = 2**18
"""Rows of the one call from which running state is taken: a variance lies above its least by the square of what such a
baseline is off, which is far below any resolution here."""


@measure.register
def _(protocol: GaussianCost, label: str) -> Numbers:
    def f(z: Tensor, q: Distribution) -> Tensor:
        cost: Tensor = COSTS[protocol.cost](z, protocol.k)
        return cost.sum(-1)

    loc, scale = one_row(protocol.mean), one_row(protocol.deviation)
    estimator = settled(create(label), Normal(loc.expand(SETTLING, 1), scale.expand(SETTLING, 1)), f)
    _, found = variances(estimator, Normal(loc, scale), f)
    return dict(zip(protocol.quantities, found, strict=True))


def settled(estimator: Estimator, q: Distribution, f: Callable[[Tensor, Distribution], Tensor]) -> Estimator:
    """With its running state, where it has such, from one call on many rows; own parameters stay as they start."""
    if [*estimator.buffers()]:
        with torch.no_grad():
            estimator.train()(q, f, generator=torch.Generator().manual_seed(0))
    return estimator.eval()
