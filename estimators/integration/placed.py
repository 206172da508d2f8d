"""Points of a block's cells from uniform numbers."""

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Generator, Tensor

from estimators.integration.blocks import At, Block

REACH = 20.0
"""Where the wide law on (0, 1) ends, in logits: it is uniform in the logit."""
BROAD = 2.0
"""Standard deviation of the wide law of a normal number."""


class Coordinates(NamedTuple):
    """Coordinates of a block, relative to its cells' bounds."""

    x: Tensor
    """[N, m]."""
    rest: Tensor
    """1 - x."""
    weight: Tensor
    """[N], of points that come from a wider law too."""


def cells(block: Block, u: Tensor, rows: Tensor, even: float, region: int | None = None) -> tuple[Tensor, Tensor]:
    """Cells of a block from uniform numbers [N], for b rows, [N, b]; and their weights [N, b].

    Args:
        block: whose cells are drawn.
        u: uniform numbers.
        rows: problems.
        even: share of the points for which all cells that a row has are equally likely; the others' come by law.
        region: the one whose cells are drawn, and by whose law; all by default.
    """
    chance = block.weight[:, rows]  # K x b
    if region is not None:
        inside = (block.region == region).unsqueeze(1)
        chance = torch.where(inside, chance, 0.0) / block.chance[region, rows].clamp_min(1e-300)
    there = (chance > 0).double()
    share = (1 - even) * chance + even * there / there.sum(0).clamp_min(1)
    edges = share.cumsum(0)
    cell = torch.searchsorted(edges.T.contiguous(), u.repeat(len(rows), 1)).T.clamp_max(block.cells - 1)
    return cell, torch.where(share > 0, chance / share.clamp_min(1e-300), 0.0).gather(0, cell)


class Laws(Protocol):
    """What a block's coordinates come from; see `Block`."""

    @property
    def domains(self) -> tuple[str, ...]: ...

    @property
    def shape(self) -> float: ...


def coordinates(block: Laws, u: Tensor, wide: Collection[int] = (), often: float = 0.0) -> Coordinates:
    """Coordinates of a block from uniform numbers [N, m].

    Args:
        block: whose coordinates they are.
        u: uniform numbers.
        wide: those that are drawn from a mixture of their law and a wider one, since layers next to the ends of a cell,
            and tails, may matter more than their chance.
        often: the wider one's share.
    """
    x, rest, weight = u.clone(), 1 - u, torch.ones(len(u), dtype=torch.float64)
    for axis, domain in enumerate(block.domains):
        if domain == "gamma":
            x[:, axis] = _gamma(u[:, axis], block.shape)
            rest[:, axis] = 1 - x[:, axis]
        elif domain == "normal" or axis in wide:
            mixed = _mixed_normal if domain == "normal" else _mixed
            x[:, axis], rest[:, axis], own = mixed(u[:, axis], often if axis in wide else 0.0)
            weight = weight * own
    return Coordinates(x, rest, weight)


def at(cell: Tensor, found: Coordinates) -> At:
    """The points with these cells and coordinates."""
    return At(cell, found.x.unsqueeze(1), found.rest.unsqueeze(1))


def spread(blocks: Sequence[Block], rows: Tensor, count: int, even: float, generator: Generator) -> list[At]:
    """Random points of all blocks, for each row in cells that it has; see `cells` for `even`."""
    points = []
    for block in blocks:
        u = torch.rand(count, 1 + block.axes, generator=generator, dtype=torch.float64)
        points.append(at(cells(block, u[:, 0], rows, even)[0], coordinates(block, u[:, 1:])))
    return points


def _mixed(u: Tensor, often: float) -> tuple[Tensor, Tensor, Tensor]:
    """Numbers on (0, 1), 1 minus them and weights: of the uniform law, and of one that is uniform in the logit."""
    logit = _inverse(lambda t: (1 - often) * t.sigmoid() + often * ((t + REACH) / (2 * REACH)).clamp(0, 1), u)
    x, rest = logit.sigmoid(), (-logit).sigmoid()
    wide = torch.where(logit.abs() < REACH, 1 / (2 * REACH * x * rest), 0.0)
    return x, rest, 1 / (1 - often + often * wide)


def _mixed_normal(u: Tensor, often: float) -> tuple[Tensor, Tensor, Tensor]:
    """The same of normal numbers."""
    if not often:
        x = torch.special.ndtri(u)
        return x, 1 - x, torch.ones_like(x)
    x = _inverse(lambda t: (1 - often) * torch.special.ndtr(t) + often * torch.special.ndtr(t / BROAD), u)
    wide = torch.exp((1 - BROAD**-2) * x.square() / 2) / BROAD
    return x, 1 - x, 1 / (1 - often + often * wide)


def _inverse(law: Callable[[Tensor], Tensor], u: Tensor, end: float = 60.0) -> Tensor:
    """Quantiles of a law on (-end, end), by bisection."""
    low, high = torch.full_like(u, -end), torch.full_like(u, end)
    for _ in range(60):
        middle = (low + high) / 2
        below = law(middle) < u
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return (low + high) / 2


def _gamma(u: Tensor, shape: float) -> Tensor:
    """Quantiles of a Gamma(shape) number."""
    end = 60.0 + 3 * shape
    return _inverse(lambda t: torch.special.gammainc(torch.full_like(t, shape), t.clamp_min(0)), u, end).clamp_min(0)
