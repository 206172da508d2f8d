"""Polynomials of the noise as control variates: their means are known, and what they explain needs no sampling.

Each replicate's mean is corrected by coefficients fitted to the other replicates, so that it stays unbiased (A.
Avramidis and J. Wilson 1993). The correction is linear in the values: it makes other weights of the same points. Points
may be drawn from a mixture of their law and a wider one: with the constant among the controls that costs little where
it does not help (A. Owen and Y. Zhou 2000).
"""

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

MOST_DEGREE = 4
"""Of higher ones a few points in the tails decide: replicates then differ less than they are off."""
POINTS_A_POLYNOMIAL = 16
"""So many points for each polynomial at least."""
RIDGE = 1e-8
"""Of the number of points, so that the equations can be solved."""


def features(x: Tensor, domains: Sequence[str]) -> Tensor:
    """Polynomials of total degree as high as the points allow, [N, M], orthonormal and the first of them constant.

    Args:
        x: points [N, d].
        domains: of each coordinate: normal, or unit.
    """
    count, dims = x.shape
    degree = 0
    while degree < MOST_DEGREE and math.comb(dims + degree + 1, dims) * POINTS_A_POLYNOMIAL <= count:
        degree += 1
    powers = [_orthonormal(one, domain, degree) for one, domain in zip(x.T, domains, strict=True)]
    found = []
    for chosen in itertools.combinations_with_replacement(range(dims + 1), degree):  # `dims` stands for no factor
        columns = [powers[i][chosen.count(i)] for i in {*chosen} - {dims}]
        found.append(math.prod(columns, start=torch.ones(count, dtype=torch.float64)))
    return torch.stack(found, 1).flip(1)  # the last chooses no coordinate at all


def _orthonormal(x: Tensor, domain: str, degree: int) -> list[Tensor]:
    """Polynomials up to a degree, by three-term recurrence."""
    if domain == "normal":
        found = [torch.ones_like(x), x]
        for k in range(1, degree):
            found.append((x * found[k] - math.sqrt(k) * found[k - 1]) / math.sqrt(k + 1))
        return found
    x = 2 * x - 1
    plain = [torch.ones_like(x), x]
    for k in range(1, degree):
        plain.append(((2 * k + 1) * x * plain[k] - k * plain[k - 1]) / (k + 1))
    return [math.sqrt(2 * k + 1) * one for k, one in enumerate(plain)]


def cross_fitted(found: Tensor, weight: Tensor, replicates: int) -> Tensor:
    """Weights [N, R] of all points, which lie replicate by replicate, in each of the R corrected means.

    Args:
        found: features [N, M].
        weight: of the points [N], in mean 1: these too are corrected, as the constant's mean is known.
        replicates: R.
    """
    count, width = found.shape
    weighted = found * weight.unsqueeze(1)
    parts = weighted.unflatten(0, (replicates, -1))  # R x n x M
    own = torch.eye(replicates, dtype=torch.float64).repeat_interleave(parts.shape[1], 0)
    squares = parts.mT @ parts
    others = squares.sum(0) - squares + RIDGE * count * torch.eye(width, dtype=torch.float64)
    off = parts.mean(1)
    off[:, 0] -= 1  # what the features' means differ by from those of their law
    coefficients: Tensor = torch.linalg.solve(others, off)  # R x M
    weights: Tensor = weight.unsqueeze(1) * (own / parts.shape[1] - (1 - own) * (weighted @ coefficients.T))
    return weights
