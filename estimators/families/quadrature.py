"""Points and weights of one-dimensional rules, and their products."""

import functools
import math

import torch
from torch import Tensor

MAX_STATES = 65536
"""Joint states, or points of a product rule, that are enumerated, block by block where they are many."""


def tuples(values: Tensor, size: int) -> Tensor:
    """All `size`-tuples of the values [V, ...]: [V^size, size, ...].

    Raises:
        ValueError: there are more than `MAX_STATES`.
    """
    if len(values) ** size > MAX_STATES:
        raise ValueError(f"{len(values)}^{size} joint states are too many to enumerate (at most {MAX_STATES})")
    return values[_tuples(len(values), size, values.device)]


@functools.cache
def _tuples(count: int, size: int, device: torch.device) -> Tensor:
    """All `size`-tuples of the numbers below `count`, [count^size, size]."""
    return torch.cartesian_prod(*[torch.arange(count)] * size).reshape(-1, size).to(device)


def hermite(nodes: int) -> tuple[Tensor, Tensor]:
    """Nodes and weights [nodes] for a standard normal, by Golub and Welsch: eigenvalues of the Jacobi matrix."""
    off = torch.arange(1, nodes, dtype=torch.float64).sqrt()
    points, vectors = torch.linalg.eigh(torch.diag(off, 1) + torch.diag(off, -1))
    return points, vectors[0].square()


def trapezoid(reach: float, step: float) -> tuple[Tensor, Tensor]:
    """Points and weights of the trapezoidal rule under a standard normal: geometric convergence for analytic f."""
    points = torch.arange(-reach, reach + step / 2, step, dtype=torch.float64)
    return points, torch.exp(-0.5 * points.square()) * (step / math.sqrt(2 * math.pi))


def laguerre(nodes: int, alpha: float) -> tuple[Tensor, Tensor]:
    """Nodes and weights for a Gamma(alpha + 1) number: Golub and Welsch, as for `hermite`."""
    i = torch.arange(nodes, dtype=torch.float64)
    off = (i[1:] * (i[1:] + alpha)).sqrt()
    points, vectors = torch.linalg.eigh(torch.diag(2 * i + 1 + alpha) + torch.diag(off, 1) + torch.diag(off, -1))
    return points, vectors[0].square()
