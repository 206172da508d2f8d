"""Noise that a test hands out from tables: an estimator's mean and variance are then sums over all outcomes.

Each outcome of the noise is one row of q, with its chance; nothing is left to sampling, and no function is replaced.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Generator, Tensor
from torch.distributions import Distribution

from estimators import Estimate, Estimator
from estimators.base import Objective
from estimators.distributions import from_parameters, log_prob
from estimators.exact import states
from estimators.noise import Noise, precision

ALMOST_ONE = 1 - 2.0**-53
"""The largest uniform number that a generator gives."""


class Table(Noise):
    """Hands out its tables in the order in which an estimator draws: uniform, normal or whole numbers [S, *B, *event].

    Uniform numbers may be 0; odds and Gumbel numbers are made of them as those of a generator are.

    Args:
        tables: what is drawn first, second, ...
        then: draws uniform numbers once all tables are used; without it there must be no such draw.
    """

    def __init__(self, *tables: Tensor, then: Generator | None = None) -> None:
        super().__init__(then)
        self.left = list(tables)

    def _next(self, shape: Sequence[int]) -> Tensor:
        assert self.left, "the estimator draws more than the test expects"
        table = self.left.pop(0)
        assert table.shape == tuple(shape), f"the estimator draws noise {list(shape)}, the table is {list(table.shape)}"
        return table.clone()

    def normal(self, count: int, like: Tensor) -> Tensor:
        return self._next((count, *like.shape)).to(precision(like))

    def choice(self, options: int, shape: Sequence[int], device: torch.device) -> Tensor:
        return self._next(shape)

    def _fine(self, count: int, like: Tensor) -> Tensor:
        if not self.left and self.generator is not None:
            return super()._fine(count, like)
        return self._next((count, *like.shape)).double()


class Constant(Noise):
    """Every uniform number is the same, which a generator may give: 0 at one end, `ALMOST_ONE` at the other."""

    def __init__(self, number: float) -> None:
        super().__init__()
        self.number = number

    def _fine(self, count: int, like: Tensor) -> Tensor:
        return torch.full((count, *like.shape), self.number, dtype=torch.float64)


def deciding(family: str, z: Tensor) -> Tensor:
    """Uniform numbers [S, *B, *event] at which a sampled q draws z, unless its logits are 30 apart."""
    # A bit is 1 where its number is small, a class wins where its number is large.
    is_low = z > 0.5 if family == "bernoulli" else z < 0.5
    return torch.where(is_low, 0.0, ALMOST_ONE).double()


def estimate_with(noise: Noise, estimator: Estimator, q: Distribution, f: Objective) -> Estimate:
    """The estimate at this noise, which must take all tables."""
    found = estimator.estimate(q, f, noise)
    assert not getattr(noise, "left", []), "the estimator draws less than the test expects"
    return found


class Exact(NamedTuple):
    """Moments over all outcomes of the noise."""

    mean: Tensor
    """Of the gradient of q's parameter, [*event]."""
    variance: Tensor
    """Sum over the coordinates."""
    theta: Tensor
    """Mean gradient of theta."""


def moments(estimate: Estimate, rows: Tensor, chances: Tensor, theta: Tensor) -> Exact:
    """Moments from the estimate at a parameter [N, *event], a row for each outcome of the chances [N]."""
    assert abs(chances.sum().item() - 1) < 1e-9
    (grads,) = torch.autograd.grad(estimate.surrogate.sum(), rows, retain_graph=True)
    mean = torch.tensordot(chances, grads, 1)
    variance = (chances @ grads.flatten(1).square()).sum() - mean.square().sum()
    (theta_grad,) = torch.autograd.grad((chances * estimate.surrogate).sum(), theta)
    return Exact(mean, variance, theta_grad)


def all_draws(family: str, value: Tensor, samples: int) -> tuple[Tensor, Tensor]:
    """All tuples of independent draws [S, N, *event] of one row [1, *event], and their chances [N]."""
    q = from_parameters(family, value.detach())
    one = states(q)  # n x 1 x *event
    index = torch.cartesian_prod(*[torch.arange(len(one))] * samples).reshape(-1, samples)
    return one[:, 0][index.T], log_prob(q, one)[:, 0][index].sum(1).exp()
