"""Points and weights of one-dimensional rules, and their products."""

import math

import torch
from torch import Tensor

from estimators.tabulated import tabulated

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


@tabulated
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


TAIL = 40.0
"""Minus the logarithm of the density, relative to its largest, at which the points of `stretched` end."""
STRETCHED = 128
"""Points a latent that `stretched` is exact with to some eleven digits, and the least that it is asked for."""


def stretched_fit(nodes: int, latents: int) -> bool:
    """Whether a product of `stretched` rules has no more points than `MAX_STATES`."""
    return bool(max(nodes, STRETCHED) ** latents <= MAX_STATES)


def stretched_points(nodes: int, latents: int) -> int:
    """Points a latent of such a product: `STRETCHED`, or twice as many for a single one.

    Raises:
        ValueError: the product has too many.
    """
    if not stretched_fit(nodes, latents):
        raise ValueError(f"{max(nodes, STRETCHED)}^{latents} points are too many to integrate over ({MAX_STATES})")
    return max(nodes, STRETCHED if latents > 1 else 2 * STRETCHED)


def stretched(nodes: int, mode: Tensor, width: Tensor, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """Points on the line for a density with exponential tails, and how far apart they are: [nodes, ...] both.

    The trapezoidal rule in t, where y = mode + width sinh(t): double-exponential, after H. Takahasi and M. Mori, Double
    exponential formulas for numerical integration, 1974. E[f] is the sum of density(y) f(y) spacing(y), with the error
    of a few points falling geometrically, whether the density is wide or narrow.

    Args:
        nodes: how many.
        mode: where the density is largest.
        width: of its middle, at most 1.
        left: how far below the mode the points reach.
        right: how far above.
    """
    mode, width, left, right = (x.detach() for x in (mode, width, left, right))
    first, last = -torch.asinh(left / width), torch.asinh(right / width)
    way = torch.linspace(0, 1, nodes, dtype=mode.dtype, device=mode.device).reshape(-1, *[1] * mode.dim())
    t = torch.lerp(first, last, way)
    return mode + width * t.sinh(), width * t.cosh() * (last - first) / (nodes - 1)


def stretched_weights(log_density: Tensor, spacing: Tensor) -> Tensor:
    """Weights of such points, never 0, so that their logarithms have a gradient."""
    return log_density.clamp_min(0.5 * math.log(torch.finfo(log_density.dtype).tiny)).exp() * spacing


def product(points: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """All combinations of one-dimensional rules, one a number of the last dim.

    Args:
        points: [n, *B, D].
        weights: [n, *B, D].

    Returns:
        Points [n^D, *B, D] and weights [n^D, *B].

    Raises:
        ValueError: they are more than `MAX_STATES`.
    """
    chosen = tuples(torch.arange(len(points), device=points.device), points.shape[-1]).T  # D x n^D
    columns = [points[index, ..., d] for d, index in enumerate(chosen)]
    weight = torch.ones_like(weights[:1, ..., 0])
    for d, index in enumerate(chosen):
        weight = weight * weights[index, ..., d]
    return torch.stack(columns, -1), weight
