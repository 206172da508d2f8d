"""Enumeration: the oracle that every other estimator is held against, and the `exact` estimator.

E_q[f] is a finite sum over the joint states of a small discrete q, and for a small Normal q a product Gauss-Hermite
quadrature, exact for polynomials of degree below twice the number of nodes and converging geometrically for smooth f.
"""

import functools
import math
from collections.abc import Iterator

import torch
from torch import Generator, Tensor
from torch.distributions import Bernoulli, Distribution, OneHotCategorical

from estimators.base import Estimate, Estimator, Objective
from estimators.distributions import (
    CERTAIN,
    again,
    bounded,
    event_shape,
    live,
    log_prob,
    parameters,
    row_shape,
    stopped,
)
from estimators.registry import MAX_STATES, register


def _product(values: Tensor, size: int) -> Tensor:
    """All `size`-tuples of the values [V, ...]: [V^size, size, ...]."""
    if len(values) ** size > MAX_STATES:
        raise ValueError(f"{len(values)}^{size} joint states are too many to enumerate (at most {MAX_STATES})")
    return values[_tuples(len(values), size, values.device)]


@functools.cache
def _tuples(count: int, size: int, device: torch.device) -> Tensor:
    """All `size`-tuples of the numbers below `count`, [count^size, size]."""
    return torch.cartesian_prod(*[torch.arange(count)] * size).reshape(-1, size).to(device)


def states(q: Distribution) -> Tensor:
    """Every joint state of a discrete q, one for all rows: [N, 1, ..., 1, *event].

    Raises:
        ValueError: more states than can be enumerated.
    """
    p = parameters(q)[0]
    event = event_shape(q)
    size = event[-1] if isinstance(q, OneHotCategorical) else 2
    values = torch.eye(size, dtype=p.dtype, device=p.device)
    if isinstance(q, Bernoulli):
        values = values[1]  # 0 and 1
    z = _product(values, event[0])
    return z.reshape(len(z), *[1] * len(row_shape(q)), *event)


def _hermite(nodes: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Nodes and weights [nodes] for a standard normal, by Golub and Welsch: eigenvalues of the Jacobi matrix."""
    off = torch.arange(1, nodes, dtype=torch.float64).sqrt()
    values, vectors = torch.linalg.eigh(torch.diag(off, 1) + torch.diag(off, -1))
    return values.to(like), vectors[0].square().to(like)


def certain(q: Distribution) -> Distribution:
    """A discrete q without validation, its logits bounded."""
    return again(q, bounded(parameters(q)[0]))


def mean_over(log_probs: Tensor, cost: Tensor) -> Tensor:
    """Sum of the costs [N, *B] times their probabilities: f need not be defined at states that cannot come."""
    return (log_probs.exp() * cost.masked_fill(log_probs < -CERTAIN / 2, 0.0)).sum(0)


def expectation(q: Distribution, f: Objective, nodes: int = 16) -> Tensor:
    """E_q[f], [*B], differentiable with respect to everything: its gradient is the exact gradient.

    The direct dependence of f on q is kept, so that the result is right for any f.

    Args:
        q: discrete with at most `MAX_STATES` joint states, or Normal with nodes^D of at most that many.
        f: the objective.
        nodes: quadrature nodes a dimension, for a Normal q.

    Raises:
        ValueError: too many states.
    """
    if isinstance(q, Bernoulli | OneHotCategorical):
        (value,) = expectation_parts(q, f, MAX_STATES)
        return value
    q = live(q)
    loc, scale = parameters(q)
    points, weights = _hermite(nodes, loc.detach())
    standard = _product(points, loc.shape[-1])  # N x D
    weight = _product(weights, loc.shape[-1]).prod(-1)  # N
    rows = [1] * len(row_shape(q))
    z = loc + scale * standard.reshape(-1, *rows, loc.shape[-1])
    return (weight.reshape(-1, *rows) * f(z, q)).sum(0)


def expectation_parts(q: Distribution, f: Objective, at_once: int) -> Iterator[Tensor]:
    """`expectation` of a discrete q as a sum of parts [*B] of `at_once` states each, for when all at once are too many.

    Raises:
        ValueError: too many states.
    """
    q = certain(q)
    for z in torch.split(states(q), at_once):
        z = z.expand(-1, *parameters(q)[0].shape)
        yield mean_over(log_prob(q, z), f(z, q))


def expectation_of_bound(q: Distribution, f: Objective, samples: int) -> Tensor:
    """E[-log mean_k exp(-f(z_k, q))] over K = `samples` independent draws of a discrete q, [*B], differentiable.

    Raises:
        ValueError: too many K-tuples of states.
    """
    q = certain(q)
    z = states(q).expand(-1, *parameters(q)[0].shape)
    log_weights, log_probs = -f(z, q), log_prob(q, z)  # N x *B
    tuples = _product(torch.arange(len(z), device=z.device), samples)  # N^K x K
    bound = log_weights[tuples].logsumexp(1) - math.log(samples)  # N^K x *B
    return -(log_probs[tuples].sum(1).exp() * bound).sum(0)


@register(
    "exact",
    families=("bernoulli", "categorical"),
    unbiased=True,
    enumerates=True,
    needs="neither",
    summary="sum over all joint states: the exact gradient, for small latents",
)
class Exact(Estimator):
    """Enumerate z: sum_z q(z) f(z), with no noise at all; `samples` plays no role."""

    def forward(
        self,
        q: Distribution,
        f: Objective,
        *,
        generator: Generator | None = None,
        context: Tensor | None = None,
    ) -> Estimate:
        """See `Estimator.forward`; f is evaluated once at every joint state."""
        z = states(q).expand(-1, *parameters(q)[0].shape)
        cost = f(z, stopped(q))  # N x *B
        surrogate = mean_over(log_prob(q, z), cost)
        return Estimate(surrogate, surrogate.detach())
