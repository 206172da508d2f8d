"""Which blocks of noise interact: whether what one of them does to the integrand depends on where the other is.

Two blocks do not where g(a', b') - g(a', b) - g(a, b') + g(a, b) is 0, for every a, a', b and b'.
"""

import itertools
import math
from collections.abc import Iterable, Sequence

import torch
from torch import Generator, Tensor

from estimators.integration.blocks import At
from estimators.integration.design import Design
from estimators.integration.lines import EQUAL, ROUNDING, apart, row_size
from estimators.integration.placed import spread
from estimators.integration.product import Part, count, elsewhere, every
from estimators.integration.structure import Shape

TRIED = 24
"""Random points at which it is looked at."""
WORTH = 10
"""How many times as many nodes a product must have at least, for it to be tried whether noise interacts."""
USUAL = 24
"""Nodes that a coordinate may need."""


def parts_of(shape: Shape, generator: Generator, most: float) -> list[Part]:
    """Parts of the noise that do not interact, and in each the groups that do not inside a region.

    Args:
        shape: whose active coordinates are known.
        generator: of random places.
        most: numbers of noise that it may take; where it takes more, all is taken to interact.
    """
    design = shape.design
    whole = everything(shape)
    cost = float(count(design, [whole], [[0] * block.axes for block in design.blocks], design.rows).max())
    axes = {(axis.block, axis.axis) for axis in shape.active}
    cost *= math.prod([float(USUAL)] * len(axes))  # infinite where a power would be too large for a float
    looks = TRIED * len(whole.blocks) ** 2 / 2
    if cost <= WORTH * looks or looks * design.size > most:
        return [whole]
    # In each row in cells that it has, all equally likely.
    base, other = (spread(design.blocks, design.rows, TRIED, 1.0, generator) for _ in range(2))
    found = []
    for part in _connected(design, base, other, whole.blocks):
        own = [index for group in whole.groups for index in group if index in part]
        moved = [At(one.cell, *two[1:]) for one, two in zip(base, other, strict=True)]  # inside the same cells
        found.append(Part(part, _connected(design, base, moved, own), [part]))
    return _without_copies(design, found, base)


def everything(shape: Shape) -> Part:
    """All noise as one part, in which all that matters interacts."""
    blocks, active = list(every(shape.design)), sorted({axis.block for axis in shape.active})
    return Part(blocks, [active] if active else [], [blocks])


def _without_copies(design: Design, parts: Sequence[Part], points: Sequence[At]) -> list[Part]:
    """The parts of which no earlier one is a copy: as a function of its noise, it adds the same to the integrand."""
    kept: list[Part] = []
    outside = [elsewhere(design, index) for index in every(design)]

    def values(part: Part, like: Part) -> Tensor:
        """With a part at the points of another, and the rest held."""
        at = [*outside]
        for index, other in zip(part.blocks, like.blocks, strict=True):
            at[index] = points[other]
        found = design(at)
        return torch.cat((found.values, found.met), -1)

    for part in parts:
        for first in kept:
            if _cut_alike(design, part, first):
                one, other = values(part, first), values(first, first)
                size = torch.maximum(one, other).abs().amax(-1)
                if not bool(apart(other, one, size).any()):
                    first.copies.append(part.blocks)
                    break
        else:
            kept.append(part)
    return kept


def _cut_alike(design: Design, one: Part, other: Part) -> bool:
    """Whether the blocks of two parts have the same cells."""
    if len(one.blocks) != len(other.blocks) or [len(group) for group in one.groups] != [len(g) for g in other.groups]:
        return False
    pairs = [(design.blocks[a], design.blocks[b]) for a, b in zip(one.blocks, other.blocks, strict=True)]
    return all(
        a.domains == b.domains
        and a.cells == b.cells
        and bool((a.region == b.region).all())
        and torch.allclose(a.weight, b.weight, rtol=1e-9, atol=0)
        and torch.allclose(a.low, b.low, rtol=1e-9, atol=0)
        for a, b in pairs
    )


def _connected(design: Design, base: Sequence[At], other: Sequence[At], blocks: Sequence[int]) -> list[list[int]]:
    """Some blocks, those together that interact directly or through others, by two places of each."""
    if len(blocks) < 2:
        return [list(blocks)] if blocks else []
    pairs = list(itertools.combinations(blocks, 2))
    moves = [*pairs, *((index,) for index in blocks), ()]
    places = [[other[i] if i in move else at for i, at in enumerate(base)] for move in moves]
    found = design([_joined(parts) for parts in zip(*places, strict=True)])
    values = torch.cat((found.values, found.met), -1).unflatten(0, (-1, TRIED))
    at = dict(zip(moves, values, strict=True))
    rounding = 10 * ROUNDING * row_size(values.flatten(0, 1))

    def interact(a: int, b: int) -> bool:
        four: Tensor = torch.stack((at[a, b], at[a,], at[b,], at[()]))
        mixed = (four[0] - four[1] - four[2] + four[3]).abs().amax(-1)
        return bool((mixed > 100 * EQUAL * four.abs().amax((0, -1)) + rounding).any())

    joined = [{index} for index in blocks]
    for a, b in pairs:
        if interact(a, b):
            touched = [group for group in joined if a in group or b in group]
            joined = [group for group in joined if group not in touched] + [set().union(*touched)]
    return sorted(sorted(group) for group in joined)


def _joined(points: Iterable[At]) -> At:
    return At(*(torch.cat(parts) for parts in zip(*points, strict=True)))
