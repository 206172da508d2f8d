"""Whether an integrand is a function of its noise alone, and of no more of it than was seen."""

import torch
from torch import Tensor

from estimators.integration.blocks import At
from estimators.integration.design import Design
from estimators.integration.lines import EQUAL, ROUNDING, Axis, row_size
from estimators.integration.placed import drawn
from estimators.integration.source import Source
from estimators.integration.structure import Shape

CHECKED = 192
"""Random points at which it is checked that what is held fixed does not matter: it may matter in few cells alone."""
BY_LAW = 1024
"""Of them, so many more as the noise's law has them."""


def unsteady(shape: Shape, generator: torch.Generator) -> str | None:
    """Why the integrand is no function of its noise alone, or depends on what is held fixed; None if neither."""
    design = shape.design
    changing = "the same noise gives other numbers in another call or another place of the batch"
    if not design.blocks:
        every, _ = design.integrand(Source(CHECKED, design.integrand.problems), design.rows)
        return changing if bool(((every - every[0]).abs().amax(-1) > EQUAL * row_size(every)).any()) else None
    points = design.random(CHECKED, generator)
    order = torch.randperm(CHECKED, generator=generator)[: CHECKED // 2]
    values, _ = design(points)
    again, _ = design([At(*(part[order] for part in at)) for at in points])
    if bool(_apart(again, values[order]).any()):
        return changing
    if shape.broken:
        return None
    # In cells that are equally likely, and again as its law has them: noise may matter in few of either.
    for spots, found in ((points, values), (_by_law(design, generator), None)):
        held = [_held(shape, index, at) for index, at in enumerate(spots)]
        there = torch.ones(len(spots[0].cell), design.integrand.problems, dtype=torch.bool)
        for block, at in zip(design.blocks, spots, strict=True):
            there &= block.weight[at.by_row, design.rows] > 0
        fixed, _ = design(held)
        if bool((_apart(fixed, design(spots)[0] if found is None else found) & there).any()):
            return "it depends on noise on which it did not seem to"
    return None


def _apart(one: Tensor, other: Tensor) -> Tensor:
    """Whether numbers [N, B, K] differ by more than rounding, [N, B]."""
    size = torch.maximum(one, other).abs().amax(-1)
    return (one - other).abs().amax(-1) > 100 * EQUAL * size + 10 * ROUNDING * row_size(one)


def _by_law(design: Design, generator: torch.Generator) -> list[At]:
    """Random points, each cell about as often as it comes."""
    return [
        drawn(block, torch.rand(BY_LAW, 1 + block.axes, generator=generator, dtype=torch.float64), design.rows, 0)[0]
        for block in design.blocks
    ]


def _held(shape: Shape, index: int, at: At) -> At:
    """Points of a block with its idle coordinates at the node that stands for all others."""
    block = shape.design.blocks[index]
    x = at.x.expand(-1, at.by_row.shape[1], -1).clone()
    rest = at.rest.expand_as(x).clone()
    for axis, middle in enumerate(shape.design.middle(block)):
        active = torch.tensor([Axis(index, cell, axis) in shape.active for cell in range(block.cells)])
        idle = ~active[at.by_row]
        x[..., axis] = torch.where(idle, middle, x[..., axis])
        rest[..., axis] = torch.where(idle, 1 - middle, rest[..., axis])
    return At(at.cell, x, rest)
