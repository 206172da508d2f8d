"""What an integrand does along each coordinate of its noise: nothing, something smooth, or a jump."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache

import torch
from torch import Generator, Tensor

from estimators.integration.blocks import At, Normals
from estimators.integration.design import Design, Integrand, candidates, recorded
from estimators.integration.jumps import JUMP, cut, refine
from estimators.integration.lines import PLACES, POINTS, Axis, along_line, differs, every_axis, look, on_lines, row_size
from estimators.integration.product import Part, elsewhere, stand_in
from estimators.integration.races import Race
from estimators.integration.source import NotIntegrable

ENDS = (-10.0, -5.0, 5.0, 10.0)
"""Where a cell is cut towards its ends, in logits of its coordinate."""
BESIDE = 1e-9
"""Normal numbers of this size, of either sign, differ by no more than a jump."""
ROUNDS = 6
"""Rounds of cutting at jumps."""


@dataclass
class Shape:
    """What is known of a design's coordinates."""

    design: Design
    uncut: Design
    """The same, whose cells are not cut towards their ends."""
    active: set[Axis] = field(default_factory=set)
    """Those on which the integrand depends inside its cells."""
    broken: set[Axis] = field(default_factory=set)
    """Those with jumps inside cells that could not be cut there."""
    parts: list[Part] = field(default_factory=list)
    """Of the noise, which do not interact."""

    def held(self, points: Sequence[At], part: Part, group: Sequence[int]) -> list[At]:
        """The points with all at the nodes that stand for others, but active coordinates of a group and a part's cells.

        Args:
            points: of all blocks.
            part: whose blocks keep their regions.
            group: of its blocks, whose active coordinates are kept.
        """
        design = self.design
        return [
            elsewhere(design, index)
            if index not in part.blocks
            else self._active(index, at)
            if index in group
            else stand_in(design, index, design.blocks[index].region[at.cell])
            for index, at in enumerate(points)
        ]

    def _active(self, index: int, at: At) -> At:
        block = self.design.blocks[index]
        middle = self.design.middle(block)
        x, rest = at.x.expand(-1, at.by_row.shape[1], -1).clone(), at.rest.expand(-1, at.by_row.shape[1], -1).clone()
        for axis in range(block.axes):
            active = torch.tensor([Axis(index, cell, axis) in self.active for cell in range(block.cells)])
            idle = ~active[at.by_row]
            x[..., axis] = torch.where(idle, middle[axis], x[..., axis])
            rest[..., axis] = torch.where(idle, 1 - middle[axis], rest[..., axis])
        return At(at.cell, x, rest)


def impure(design: Design, axes: Sequence[Axis], generator: Generator) -> int:
    """Number of coordinates along which hard draws change inside a cell."""
    seen = look(design, axes, design.random(PLACES // 2, generator), generator)
    return sum(
        bool(((s.signature.diff(dim=1) != 0) & (design.blocks[a.block].weight[a.cell] > 0)).any())
        for a, s in zip(axes, seen, strict=True)
    )


def laid_out(integrand: Integrand, generator: Generator, most: float) -> Design:
    """The integrand with the blocks in which its hard draws are constant in each cell, as far as they can be found.

    Args:
        integrand: what is integrated.
        generator: of random places.
        most: numbers of noise that it may take to look along all coordinates of the likeliest blocks.

    Raises:
        NotIntegrable: see `recorded`; or it would take more.
    """
    sites = recorded(integrand)
    ways = [[cache(way) for way in candidates(index, site, integrand)] for index, site in enumerate(sites)]
    chosen = [0] * len(ways)

    def design_of(choice: Sequence[int]) -> Design:
        return Design(integrand, sites, [block for way, c in zip(ways, choice, strict=True) for block in way[c]()])

    likeliest = design_of(chosen)
    numbers = len(every_axis(likeliest)) * PLACES * POINTS * likeliest.size
    if numbers > most:
        raise NotIntegrable(f"it takes {numbers:.2g} numbers of noise to look along all coordinates")
    for index, way in enumerate(ways):
        if len(way) < 2:
            continue
        counts = []
        for option in range(len(way)):
            design = design_of([*chosen[:index], option, *chosen[index + 1 :]])
            start = sum(len(w[c]()) for w, c in zip(ways[:index], chosen[:index], strict=True))
            axes = every_axis(design, range(start, start + len(way[option]())))
            counts.append(impure(design, axes, generator))
            if counts[-1] == 0:
                break
        whole = isinstance(way[0]()[0], Race)  # whose cells may be cut further; otherwise the last is not cut yet
        chosen[index] = counts.index(0) if 0 in counts else 0 if whole else len(way) - 1
    return design_of(chosen)


def cut_at_zero(design: Design, generator: Generator) -> None:
    """Cut single normal numbers where the integrand jumps with their sign."""
    at = torch.tensor([-1.0, -BESIDE, BESIDE, 1.0], dtype=torch.float64)
    for index, block in enumerate(design.blocks):
        if isinstance(block, Normals) and not block.cut and block.axes == 1:
            axis, base = Axis(index, 0, 0), design.random(PLACES, generator)
            ((values, _),) = on_lines(design, [axis], [(at, 1 - at)], base)
            if bool((values[:, 1:3].diff(dim=1)[:, 0].abs().amax(-1) > JUMP * along_line(values)).any()):
                rows = design.integrand.problems
                design.blocks[index] = Normals.of(block.site, block.numbers, rows, cut=True)
                cut(design, axis, torch.zeros(1, rows, dtype=torch.float64), apart=True)


def explore(integrand: Integrand, generator: Generator, most: float) -> Shape:
    """The integrand's structure.

    Args:
        integrand: what is integrated.
        generator: of random places.
        most: numbers of noise that it may take.

    Raises:
        NotIntegrable: see `laid_out`.
    """
    design = laid_out(integrand, generator, most)
    cut_at_zero(design, generator)
    shape = Shape(design, design)
    for _ in range(ROUNDS):
        if not (axes := every_axis(design)):
            break
        base = design.random(PLACES, generator)
        seen = dict(zip(axes, look(design, axes, base, generator), strict=True))
        size = row_size(torch.cat([s.values.flatten(0, 1) for s in seen.values()]))
        changes = {a: differs(design, a, one.values, one.signature, size) for a, one in seen.items()}
        shape.broken = {axis for axis, (_, signature) in changes.items() if bool(signature.any())}
        shape.active = {axis for axis, (values, _) in changes.items() if bool(values.any())} - shape.broken
        if not refine(design, seen, changes, base, size):
            break
    shape.uncut = replace(design, blocks=[*design.blocks])
    return shape


def grade(shape: Shape, axis: Axis, rows: Tensor) -> None:
    """Cut a cell where a boundary layer at one of its ends may be, in these rows [B]: at e^-10 and e^-5 from it."""
    places = torch.tensor(ENDS, dtype=torch.float64)[:, None].expand(-1, len(rows))
    (part,) = (part for part in shape.parts if axis.block in part.blocks)
    for copy in part.copies:  # copies are held at the same nodes
        same = axis._replace(block=copy[part.blocks.index(axis.block)])
        cut(shape.design, same, torch.where(rows, places, -torch.inf), apart=False)
    renamed: set[Axis] = set()
    for old in shape.active:
        if old.block == axis.block and old.cell == axis.cell:
            renamed |= {old._replace(cell=axis.cell + k) for k in range(len(places) + 1)}
        elif old.block == axis.block and old.cell > axis.cell:
            renamed.add(old._replace(cell=old.cell + len(places)))
        else:
            renamed.add(old)
    shape.active = renamed
