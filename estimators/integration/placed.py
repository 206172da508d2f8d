"""Points of a block's cells from uniform numbers."""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from estimators.integration.blocks import At, Block


def drawn(block: Block, u: Tensor, rows: Tensor, even: float) -> tuple[At, Tensor]:
    """Points of a block from uniform numbers [N, 1 + m], and their weights [N, len(rows)].

    Args:
        block: whose cells are drawn.
        u: uniform numbers.
        rows: problems.
        even: share of the points for which all cells that a row has are equally likely; the others' come by law.
    """
    chance = block.weight[:, rows]  # K x b
    there = (chance > 0).double()
    share = (1 - even) * chance + even * there / there.sum(0)
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


def spread(blocks: Sequence[Block], rows: Tensor, count: int, even: float, generator: Generator) -> list[At]:
    """Random points of all blocks, for each row in cells that it has; see `drawn` for `even`."""
    return [
        drawn(block, torch.rand(count, 1 + block.axes, generator=generator, dtype=torch.float64), rows, even)[0]
        for block in blocks
    ]


def _gamma(u: Tensor, shape: float) -> Tensor:
    """Quantiles of a Gamma(shape) number, by bisection of its distribution function."""
    low, high = torch.zeros_like(u), torch.full_like(u, 60.0 + 3 * shape)
    for _ in range(60):
        middle = (low + high) / 2
        below = torch.special.gammainc(torch.full_like(middle, shape), middle) < u
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return (low + high) / 2
