"""Quadrature rules in one dimension, in ladders of growing order: an integral is known where two steps agree.

A rule on (0, 1) gives each node with its distance from 1 too, since a node next to 1 has its digits there alone.
Legendre's rules are exact for polynomials; tanh-sinh ones (H. Takahasi and M. Mori 1974) pile their nodes up at both
ends, where a relaxation of a nearly certain bit has its boundary layers. Hermite's are exact for polynomials of a
normal number; the trapezoidal rule converges geometrically for all that is smooth.
"""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from estimators.families.quadrature import hermite, laguerre, trapezoid

INSIDE = 0.4372
"""The one node where nothing depends on it: no round number, at which a method might compare."""
REACH = 3.25
"""End of the tanh-sinh variable: its last node lies 1e-17 from the end."""


class Rule(NamedTuple):
    """Nodes and weights of a law; the weights' sum is 1."""

    at: Tensor
    """[n], doubles."""
    rest: Tensor
    """[n], 1 - at with all its digits; of no meaning but on (0, 1)."""
    weight: Tensor
    """[n]."""


def _legendre(nodes: int) -> Rule:
    k = torch.arange(1, nodes, dtype=torch.float64)
    off = k / (4 * k.square() - 1).sqrt()
    values, vectors = torch.linalg.eigh(torch.diag(off, 1) + torch.diag(off, -1))
    return Rule((1 + values) / 2, (1 - values) / 2, vectors[0].square())


def _tanh_sinh(nodes: int) -> Rule:
    x = torch.linspace(-REACH, REACH, nodes, dtype=torch.float64)
    y = math.pi / 2 * x.sinh()
    weight = x.cosh() / y.cosh().square()
    return Rule((2 * y).sigmoid(), (-2 * y).sigmoid(), weight / weight.sum())


def _of(points: Tensor, weights: Tensor) -> Rule:
    return Rule(points, 1 - points, weights / weights.sum())


def _hermite(nodes: int) -> Rule:
    return _of(*hermite(nodes))


def _trapezoid(half: int) -> Rule:
    return _of(*trapezoid(8.5, 8.5 / half))


Step = tuple[Callable[[int], Rule], int]

LADDERS: dict[str, tuple[Step, ...]] = {
    "unit": (*((_legendre, n) for n in (2, 3, 5, 8, 16, 24, 36)), *((_tanh_sinh, n) for n in (55, 81, 121, 181))),
    "normal": (*((_hermite, n) for n in (3, 5, 8, 12)), *((_trapezoid, n) for n in (12, 18, 27, 40, 60, 90))),
}
"""Rules by domain, coarse to fine."""
LAGUERRE = (2, 4, 8, 16, 24)
"""Nodes of the rules of a gamma number, whose law has a shape."""
STEPS = {domain: 1 + len(ladder) for domain, ladder in LADDERS.items()} | {"gamma": 1 + len(LAGUERRE)}
"""Steps of each ladder; step 0 has one node, for what does not depend on the number."""


def is_polynomial(domain: str, step: int) -> bool:
    """Whether a step of a ladder is a rule for polynomials, without nodes next to the ends, or far in the tails."""
    return step > 0 and (domain == "gamma" or LADDERS[domain][step - 1][0] in (_legendre, _hermite))


@functools.cache
def rule(domain: str, step: int, shape: float = 1.0) -> Rule:
    """A rule of a ladder.

    Args:
        domain: unit for (0, 1), normal for a standard normal, gamma for a Gamma(shape) number.
        step: 0 is the single node, higher ones have more.
        shape: of the gamma law.
    """
    if step == 0:
        at = torch.tensor([shape if domain == "gamma" else INSIDE], dtype=torch.float64)
        return Rule(at, 1 - at, torch.ones(1, dtype=torch.float64))
    if domain == "gamma":
        return _of(*laguerre(LAGUERRE[step - 1], shape - 1))
    make, nodes = LADDERS[domain][step - 1]
    return make(nodes)


@functools.cache
def sizes(domain: str) -> Tensor:
    """Number of nodes of each step of a ladder."""
    return torch.tensor([len(rule(domain, step).at) for step in range(STEPS[domain])])
