"""Means by scrambled Sobol points over the noise, where the integral itself cannot be had.

Points that fill the space evenly, scrambled anew in every replicate: each replicate's mean is unbiased, and what the
independent replicates differ by tells how exact it is (A. B. Owen, 1995; torch's scrambling is J. Matousek's, 1998). A
cell of a block is drawn more often than it comes if it is rare, and weighs less in return, so that rare outcomes are
met at all; the weights are bounded, and on average 1.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.quasirandom import SobolEngine

from estimators.integration.blocks import At, Block
from estimators.integration.rules import rule
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
        for block in design.blocks:
            at, weight = _drawn(block, u[:, start : start + 1 + block.axes], rows, len(design.blocks))
            placed.append(at)
            weights = weights * weight
            start += 1 + block.axes
        wide = [At(_spread(at.cell, rows, design.integrand.problems), *at[1:]) for at in placed]
        values, _ = design(wide, rows)
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


def _drawn(block: Block, u: Tensor, rows: Tensor, blocks: int) -> tuple[At, Tensor]:
    """Points of a block from uniform numbers [N, 1 + m], and their weights [N, len(rows)]."""
    chance = block.weight[:, rows]  # K x b
    even = (chance > 0).double()
    mixed = min(0.25, 1 / max(1, blocks))
    share = (1 - mixed) * chance + mixed * even / even.sum(0)
    edges = share.cumsum(0)
    cell = torch.searchsorted(edges.T.contiguous(), u[:, 0].repeat(len(rows), 1)).T.clamp_max(block.cells - 1)  # N x b
    weight = torch.where(share > 0, chance / share.clamp_min(1e-300), 0.0).gather(0, cell)
    x = u[:, 1:].clone()
    for axis, domain in enumerate(block.domains):
        if domain == "normal":
            x[:, axis] = torch.special.ndtri(x[:, axis])
        elif domain == "gamma":
            x[:, axis] = _gamma(x[:, axis], block.shape)
    x = x.unsqueeze(1)
    return At(cell, x, 1 - x), weight


def _gamma(u: Tensor, shape: float) -> Tensor:
    """Quantiles of a Gamma(shape) number, by bisection of its distribution function."""
    low, high = torch.zeros_like(u), torch.full_like(u, 60.0 + 3 * shape)
    for _ in range(60):
        middle = (low + high) / 2
        below = torch.special.gammainc(torch.full_like(middle, shape), middle) < u
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return (low + high) / 2


def student(log_level: float, freedom: int) -> float:
    """The number that |Student's t| exceeds with chance exp(log_level), by bisection of its integral."""
    low, high = 0.0, 1e6
    log_scale = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2) - 0.5 * math.log(freedom * math.pi)
    nodes, _, weight = rule("unit", 7)
    for _ in range(80):
        middle = (low + high) / 2
        x = middle / nodes  # from the middle to infinity
        density = torch.exp(log_scale - (freedom + 1) / 2 * torch.log1p(x.square() / freedom))
        tail = 2 * float((weight * density * middle / nodes.square()).sum())
        low, high = (middle, high) if tail > math.exp(log_level) else (low, middle)
    return (low + high) / 2
