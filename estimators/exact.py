"""Enumeration: the oracle that every other estimator is held against, and the `exact` estimator.

E_q[f] is a finite sum over the joint states of a small discrete q, and for a small Normal q a product Gauss-Hermite
quadrature, exact for polynomials of degree below twice the number of nodes and converging geometrically for smooth f.
"""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.distributions import Distribution

from estimators.base import Estimate, Estimator, Objective
from estimators.bounds import log_mean_exp
from estimators.distributions import again, event_shape, live, log_prob, parameters, row_shape, stopped
from estimators.families import Enumerated, capable, family_of
from estimators.families.logits import CERTAIN
from estimators.families.quadrature import MAX_STATES, tuples
from estimators.noise import Noise
from estimators.registry import register

NODES = 16
"""Quadrature nodes a latent of a continuous q; a family's rule may take more."""


def states(q: Distribution) -> Tensor:
    """Every joint state of a discrete q, one for all rows: [N, 1, ..., 1, *event].

    Raises:
        ValueError: more states than can be enumerated.
    """
    event = event_shape(q)
    z = tuples(capable(q, Enumerated).values_of_a_latent(parameters(q)[0], event), event[0])
    return z.reshape(len(z), *[1] * len(row_shape(q)), *event)


def certain(q: Distribution) -> Distribution:
    """A discrete q without validation, its logits bounded."""
    return again(q, *family_of(q).finite(*parameters(q)))


def mean_over(log_probs: Tensor, cost: Tensor) -> Tensor:
    """Sum of the costs [N, *B] times their probabilities: f need not be defined at states that cannot come."""
    return (log_probs.exp() * cost.masked_fill(log_probs < -CERTAIN / 2, 0.0)).sum(0)


def expectation(q: Distribution, f: Objective, nodes: int = NODES) -> Tensor:
    """E_q[f], [*B], differentiable with respect to everything: its gradient is the exact gradient.

    The direct dependence of f on q is kept, so that the result is right for any f.

    Args:
        q: discrete with at most `MAX_STATES` joint states, or continuous with nodes^D of at most that many points.
        f: the objective.
        nodes: quadrature nodes a dimension, for a continuous q.

    Raises:
        ValueError: too many states.
    """
    if isinstance(family_of(q), Enumerated):
        (value,) = expectation_parts(q, f, MAX_STATES)
        return value
    q = live(q)
    z, weights = family_of(q).quadrature(q, nodes)
    return (weights * f(z, q)).sum(0)


def expectation_parts(q: Distribution, f: Objective, at_once: int) -> Iterator[Tensor]:
    """`expectation` of a discrete q as a sum of parts [*B] of `at_once` states each, for when all at once are too many.

    Raises:
        ValueError: too many states.
    """
    q = certain(q)
    for z in torch.split(states(q), at_once):
        z = z.expand(-1, *parameters(q)[0].shape)
        yield mean_over(log_prob(q, z), f(z, q))


def expectation_of_bound(q: Distribution, f: Objective, samples: int, nodes: int = NODES) -> Tensor:
    """E[-log mean_k exp(-f(z_k, q))] over K = `samples` independent draws, [*B], differentiable.

    Args:
        q: discrete, or continuous with a quadrature.
        f: the objective.
        samples: K.
        nodes: see `expectation`.

    Raises:
        ValueError: too many K-tuples of states or of points.
    """
    if isinstance(family_of(q), Enumerated):
        q = certain(q)
        z = states(q).expand(-1, *parameters(q)[0].shape)
        log_weights, log_probs = -f(z, q), log_prob(q, z)  # N x *B
    else:
        q = live(q)
        z, weights = family_of(q).quadrature(q, nodes)
        log_weights = -f(z, q)
        log_probs = weights.log().expand_as(log_weights)
    chosen = tuples(torch.arange(len(z), device=z.device), samples)  # N^K x K
    bound = log_mean_exp(log_weights[chosen], 1)  # N^K x *B
    return -(log_probs[chosen].sum(1).exp() * bound).sum(0)


@register(
    "exact",
    capability="enumeration",
    method="summation",
    unbiased=True,
    enumerates=True,
    needs="neither",
    summary="sum over all joint states: the exact gradient, for small latents",
)
class Exact(Estimator):
    """Enumerate z: sum_z q(z) f(z), with no noise at all; `samples` plays no role."""

    def estimate(self, q: Distribution, f: Objective, noise: Noise) -> Estimate:
        """One evaluation of f at every joint state."""
        z = states(q).expand(-1, *parameters(q)[0].shape)
        cost = f(z, stopped(q))  # N x *B
        surrogate = mean_over(log_prob(q, z), cost)
        return Estimate(surrogate, surrogate.detach())
