"""Means by scrambled Sobol points over the noise, where the integral itself cannot be had.

Points that fill the space evenly, scrambled anew in every replicate: each replicate's mean is unbiased, and what the
independent replicates differ by tells how exact it is (A. B. Owen, 1995; torch's scrambling is J. Matousek's, 1998). A
cell of a block is drawn more often than it comes if it is rare, and weighs less in return, so that rare outcomes are
met at all; the weights are bounded, and on average 1.
"""

import functools
import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.quasirandom import SobolEngine

from estimators.integration.blocks import At
from estimators.integration.placed import drawn
from estimators.integration.rules import STEPS, rule
from estimators.integration.structure import Shape

REPLICATES = 16


class Replicated(NamedTuple):
    """Mean, its standard error and the variance of K numbers in b problems, over replicates."""

    mean: Tensor
    """[b, K]."""
    error: Tensor
    """[b, K]."""
    variance: Tensor
    """[b, K], of the integrand."""
    points: int
    """In all replicates."""


def replicated(shape: Shape, rows: Tensor, points: int, seed: int = 0) -> Replicated:
    """Means of some problems, by `points` points in each of the replicates."""
    design = shape.uncut
    dims = sum(1 + block.axes for block in design.blocks)
    means, squares = [], []
    for replicate in range(REPLICATES):
        engine = SobolEngine(max(1, dims), scramble=True, seed=1000 * seed + replicate)
        u = engine.draw(points, dtype=torch.float64).clamp(1e-12, 1 - 1e-12)
        placed, weights, start = [], torch.ones(points, len(rows), dtype=torch.float64), 0
        even = min(0.25, 1 / len(design.blocks))  # the more blocks there are, the more weights multiply
        for block in design.blocks:
            at, weight = drawn(block, u[:, start : start + 1 + block.axes], rows, even)
            placed.append(at)
            weights = weights * weight
            start += 1 + block.axes
        wide = [At(_spread(at.cell, rows, design.integrand.problems), *at[1:]) for at in placed]
        values = design(wide, rows).values
        means.append((weights[..., None] * values).mean(0))
        squares.append((weights[..., None] * values.square()).mean(0))
    every = torch.stack(means)
    mean = every.mean(0)
    return Replicated(
        mean,
        every.std(0) / math.sqrt(REPLICATES),
        (torch.stack(squares).mean(0) - mean.square()).clamp_min(0),
        points * REPLICATES,
    )


def _spread(cell: Tensor, rows: Tensor, problems: int) -> Tensor:
    """Cells [N, len(rows)] at their rows' places in [N, problems]."""
    wide = torch.zeros(len(cell), problems, dtype=torch.long)
    wide[:, rows] = cell
    return wide


@functools.cache
def student(log_level: float, freedom: int) -> float:
    """The number that |Student's t| exceeds with chance exp(log_level), by bisection of its integral."""
    low, high = 0.0, 1e6
    log_scale = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2) - 0.5 * math.log(freedom * math.pi)
    nodes, _, weight = rule("unit", STEPS["unit"] - 1)
    for _ in range(80):
        middle = (low + high) / 2
        x = middle / nodes  # from the middle to infinity
        density = torch.exp(log_scale - (freedom + 1) / 2 * torch.log1p(x.square() / freedom))
        tail = 2 * float((weight * density * middle / nodes.square()).sum())
        low, high = (middle, high) if tail > math.exp(log_level) else (low, middle)
    return (low + high) / 2
