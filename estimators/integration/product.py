"""The sum over all combinations of cells, and of a rule's nodes in each coordinate, that an expectation is.

What does not interact is integrated apart, with all else held at one node, so that nodes add up instead of multiplying:
parts of the noise of which the integrand is a sum of functions of one part each, as where samples have noise of their
own; and inside a region, where hard draws are constant, groups of blocks in the same way.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from estimators.integration.blocks import At
from estimators.integration.design import Design, Evaluated
from estimators.integration.rules import Rule, rule, sizes

PIECE = 2**18
"""Nodes times problems at once, which bounds memory."""
Plan = Sequence[Sequence[int]]
"""For each block and each of its coordinates, a step of the ladder of rules."""
Plans = Sequence[Sequence[int | Tensor]]
"""The same, where a step may differ between rows, [B]."""


class Part(NamedTuple):
    """Blocks that do not interact with the others."""

    blocks: list[int]
    groups: list[list[int]]
    """Those that matter inside a region; groups do not interact there."""
    copies: list[list[int]]
    """Blocks in whose place the integrand is the same function of as many others, sample by sample for example; these
    blocks are the first."""


class Summed(NamedTuple):
    """Sums over the noise of K numbers in b problems."""

    mean: Tensor
    """[b, K]."""
    variance: Tensor
    """[b, K]."""
    size: Tensor
    """[b, K], mean of what is summed up, without signs."""
    met: Tensor
    """[b, M], mean of `Evaluated.met`."""


class Nodes(NamedTuple):
    """Points of a group's blocks in one region of each."""

    points: list[At]
    """Of each block, n points."""
    weight: Tensor
    """[n, b, R], R sets of weights; with sum 1 in rows that have the region."""


Inside = Callable[[Sequence[int], Sequence[int]], Nodes]
"""Points of a group's blocks, in these regions of them."""


def count(design: Design, parts: Sequence[Part], plan: Plans, rows: Tensor, *, together: bool = False) -> Tensor:
    """Nodes of a product, [b], in the cells that each row has; or, together, in those that some of the rows have."""

    def there(chance: Tensor) -> Tensor:
        own = chance[:, rows] > 0
        return (own.any(1, keepdim=True) if together else own).sum(0).double().expand(len(rows))

    nodes = torch.zeros(len(rows), dtype=torch.float64)
    for part in parts:
        regions = {index: there(design.blocks[index].chance) for index in part.blocks}
        nodes += math.prod(regions.values(), start=torch.ones_like(nodes))
        for group in part.groups:
            own = math.prod((n for index, n in regions.items() if index not in group), start=torch.ones_like(nodes))
            for index in group:
                block = design.blocks[index]
                own = own * there(block.weight)
                for domain, step in zip(block.domains, plan[index], strict=True):
                    own = own * sizes(domain)[torch.as_tensor(step).clamp_min(0)]
            nodes += own
    return nodes


def product(
    design: Design,
    parts: Sequence[Part],
    inside: Inside,
    rows: Tensor,
    sets: int = 1,
    known: dict[tuple[int, ...], Evaluated] | None = None,
) -> Summed:
    """Mean and variance over all combinations of regions, and of nodes inside them.

    Args:
        design: the integrand.
        parts: of its noise; all blocks are in one.
        inside: nodes of a group, of `by_rules` for example.
        rows: problems.
        sets: R, of weights of these nodes; the R K sums are those of one set after another.
        known: keeps, for products of the same parts and problems with other nodes, what does not depend on the nodes.
    """
    known = {} if known is None else known
    if len(parts) == 1 and len(parts[0].copies) == 1:  # nothing else is to be added
        return _over_part(design, parts[0], inside, rows, sets, known)
    middle = design([elsewhere(design, index) for index in every(design)], rows)
    at, met = middle.values[0].repeat(1, sets), middle.met[0]
    found = Summed(at, torch.zeros_like(at), at.abs(), met)
    for part in parts:
        one, times = _over_part(design, part, inside, rows, sets, known), len(part.copies)
        found = Summed(
            found.mean + times * (one.mean - at),
            found.variance + times * one.variance,
            found.size + times * one.size,
            found.met + times * (one.met - met),
        )
    return found


def every(design: Design) -> range:
    """All blocks."""
    return range(len(design.blocks))


def stand_in(design: Design, index: int, region: Tensor) -> At:
    """The points of a block that stand for all others of regions [n], or [n, B], in cells that the rows have."""
    block = design.blocks[index]
    wide = region if region.dim() == 2 else region.unsqueeze(1)
    middle = design.middle(block).expand(len(region), 1, -1)
    return At(block.likeliest[wide, design.rows], middle, 1 - middle)


def elsewhere(design: Design, index: int) -> At:
    """The one point of a block that stands for all others while another part is looked at: in its likeliest region."""
    return stand_in(design, index, design.blocks[index].chance.argmax(0).unsqueeze(0))


def _over_part(
    design: Design, part: Part, inside: Inside, rows: Tensor, sets: int, known: dict[tuple[int, ...], Evaluated]
) -> Summed:
    """Over the noise of one part, with the others held; `known` is by its blocks."""
    shift: Tensor | None = None
    total = second = size = met = torch.zeros((), dtype=torch.float64)
    outside = [elsewhere(design, index) for index in every(design)]
    nodes: dict[tuple[int, ...], Nodes] = {}
    at_once = max(1, min(PIECE // len(rows), 2**14))
    for regions, chance in _regions(design, part.blocks, rows, at_once):
        places = [stand_in(design, i, regions[i]) if i in regions else outside[i] for i in every(design)]
        whole = shift is None and len(chance) < at_once  # more would take much memory to keep
        at_middle = known.get((*part.blocks,)) if whole else None
        if at_middle is None:
            at_middle = design(places, rows)
        if whole:
            known[(*part.blocks,)] = at_middle
        there = (chance > 0)[..., None]  # c x b x 1; elsewhere the numbers may be of any kind
        anchor = torch.where(there, at_middle.values, 0.0)
        mean = anchor.repeat(1, 1, sets)
        variance, spread = torch.zeros_like(mean), mean.abs()
        for group in part.groups:
            keys = torch.stack([regions[index] for index in group], 1)  # c x blocks of the group
            alike = []
            for key in torch.unique(keys, dim=0):
                name = (*group, *key.tolist())
                if name not in nodes:
                    nodes[name] = inside(group, key.tolist())
                chosen = (keys == key).all(1).nonzero()[:, 0]  # combinations with these regions of the group
                at_most = max(1, PIECE // (len(nodes[name].weight) * len(rows)))
                alike += [Alike(few, nodes[name]) for few in chosen.split(at_most)]
            for (few, _), (first, squares, absolute) in zip(
                alike, _off(design, group, alike, places, anchor, there, rows), strict=True
            ):
                mean[few] += first
                spread[few] += absolute
                variance[few] += (squares - first.square()).clamp_min(0)
        chance = chance[..., None]
        met, size = met + (chance * at_middle.met).sum(0), size + (chance * spread).sum(0)
        if shift is None:  # the variance is summed up around about the mean
            shift = (chance * mean).sum(0) / chance.sum(0).clamp_min(1e-300)
        total = total + (chance * (mean - shift)).sum(0)
        second = second + (chance * (variance + (mean - shift).square())).sum(0)
    assert shift is not None
    return Summed(shift + total, (second - total.square()).clamp_min(0), size, met)


class Alike(NamedTuple):
    """Combinations of regions with the same ones of a group's blocks."""

    few: Tensor
    """Which, [c]."""
    nodes: Nodes
    """Of the group in these."""


def _off(
    design: Design,
    group: Sequence[int],
    alike: Sequence[Alike],
    places: list[At],
    anchor: Tensor,
    there: Tensor,
    rows: Tensor,
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Means over a group's nodes of what the integrand differs by from its anchor, of its square and of its size.

    Args:
        design: the integrand.
        group: of blocks.
        alike: combinations of regions, and nodes of these blocks there.
        places: of all blocks, in all combinations.
        anchor: the integrand there, [combinations, b, K].
        there: which rows have the combinations, [combinations, b, 1].
        rows: b problems.

    Returns:
        For each that are alike, [c, b, R K] of them.
    """
    empty = torch.zeros(())
    sums = [(empty, empty, empty)] * len(alike)
    for pieces in _pieces(alike, len(rows)):
        found = design(_points_of(alike, pieces, places, group), rows).values
        counts = [len(alike[which].few) * len(piece) for which, piece in pieces]
        for (which, piece), values in zip(pieces, found.split(counts), strict=True):
            few, weight = alike[which].few, alike[which].nodes.weight[piece]
            counting = (weight != 0).any(-1, keepdim=True) & there[few].unsqueeze(1)  # c x n x b x 1
            off = values.unflatten(0, (len(few), len(piece))) - anchor[few].unsqueeze(1)
            off = torch.where(counting, off, 0.0)
            first, squares, absolute = (
                total + torch.einsum("nbr,cnbk->cbrk", weight, part).flatten(-2)
                for total, part in zip(sums[which], (off, off.square(), off.abs()), strict=True)
            )
            sums[which] = first, squares, absolute
    return sums


def _pieces(alike: Sequence[Alike], rows: int) -> Iterator[list[tuple[int, Tensor]]]:
    """Nodes to be evaluated together: of which that are alike, and some of their nodes."""
    pieces: list[tuple[int, Tensor]] = []
    size = 0
    for which, (few, nodes) in enumerate(alike):
        for piece in torch.arange(len(nodes.weight)).split(max(1, PIECE // (len(few) * rows))):
            own = len(few) * len(piece) * rows
            if pieces and size + own > PIECE:
                yield pieces
                pieces, size = [], 0
            pieces.append((which, piece))
            size += own
    if pieces:
        yield pieces


def _points_of(
    alike: Sequence[Alike], pieces: Sequence[tuple[int, Tensor]], places: Sequence[At], group: Sequence[int]
) -> list[At]:
    """Points of all blocks at these nodes of a group in these combinations, one combination after another."""
    which = torch.cat([alike[one].few.repeat_interleave(len(piece)) for one, piece in pieces])
    points = [at if len(at.cell) == 1 else At(*(part[which] for part in at)) for at in places]
    for position, index in enumerate(group):
        spots = [
            At(*(part[piece.repeat(len(alike[one].few))] for part in alike[one].nodes.points[position]))
            for one, piece in pieces
        ]
        points[index] = At(*(torch.cat(parts) for parts in zip(*spots, strict=True)))
    return points


def by_rules(design: Design, plan: Plan, rows: Tensor) -> Inside:
    """All combinations of a group's blocks' cells, and of the nodes of a rule in each coordinate."""

    def nodes(group: Sequence[int], regions: Sequence[int]) -> Nodes:
        each = [_of_block(design, index, region, plan, rows) for index, region in zip(group, regions, strict=True)]
        grid = torch.cartesian_prod(*(torch.arange(len(weight)) for _, weight in each)).reshape(-1, len(each))
        weight = torch.ones(len(grid), len(rows), dtype=torch.float64)
        points = []
        for (at, own), index in zip(each, grid.T, strict=True):
            points.append(At(*(part[index] for part in at)))
            weight = weight * own[index]
        some = (weight > 0).any(1)
        return Nodes([At(*(part[some] for part in at)) for at in points], weight[some].unsqueeze(-1))

    return nodes


def _rules(design: Design, index: int, steps: Sequence[int]) -> list[Rule]:
    block = design.blocks[index]
    return [rule(domain, max(step, 0), block.shape) for domain, step in zip(block.domains, steps, strict=True)]


def _of_block(design: Design, index: int, region: int, plan: Plan, rows: Tensor) -> tuple[At, Tensor]:
    """Points of a block in a region, and their weights [n, b]."""
    block, rules = design.blocks[index], _rules(design, index, plan[index])
    cells = ((block.region == region) & (block.weight[:, rows] > 0).any(1)).nonzero()[:, 0]
    grid = torch.cartesian_prod(cells, *(torch.arange(len(one.at)) for one in rules)).reshape(-1, 1 + len(rules))
    chance = block.chance[region, rows]
    weight = torch.where(chance > 0, block.weight[:, rows] / chance.clamp_min(1e-300), 0.0)[grid[:, 0]]
    for axis, one in enumerate(rules):
        weight = weight * one.weight[grid[:, 1 + axis], None]
    x, rest = (
        torch.stack([one[part][grid[:, 1 + axis]] for axis, one in enumerate(rules)], -1).unsqueeze(1)
        for part in (0, 1)
    )
    return At(grid[:, 0], x, rest), weight


def _regions(
    design: Design, blocks: Sequence[int], rows: Tensor, at_once: int
) -> Iterator[tuple[dict[int, Tensor], Tensor]]:
    """Combinations of regions that some rows have: of each block which [c], and the combinations' chances [c, b]."""
    own = {index: (design.blocks[index].chance[:, rows] > 0).any(1).nonzero()[:, 0] for index in blocks}
    count = math.prod(len(regions) for regions in own.values())
    for start in range(0, count, at_once):
        left = torch.arange(start, min(start + at_once, count))
        chosen, chance = {}, torch.ones(len(left), len(rows), dtype=torch.float64)
        for index, regions in own.items():
            chosen[index] = regions[left % len(regions)]
            left = left // len(regions)
            chance = chance * design.blocks[index].chance[:, rows][chosen[index]]
        yield chosen, chance
