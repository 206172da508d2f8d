"""What an integrand does along each coordinate of its noise: nothing, something smooth, or a jump."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Generator, Tensor

from estimators.integration.design import Design, Integrand, candidates, recorded
from estimators.integration.jumps import cut, refine
from estimators.integration.lines import PLACES, Axis, differs, every_axis, look, row_size
from estimators.integration.source import NotIntegrable

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


def impure(design: Design, axes: Sequence[Axis], generator: Generator) -> int:
    """Number of coordinates along which hard draws change inside a cell."""
    seen = look(design, axes, design.random(PLACES // 2, generator), generator)
    return sum(
        bool(((s.signature.diff(dim=1) != 0) & (design.blocks[a.block].weight[a.cell] > 0)).any())
        for a, s in zip(axes, seen, strict=True)
    )


def laid_out(integrand: Integrand, generator: Generator, most: float) -> Design:
    """The integrand with the blocks in which its hard draws are constant in each cell, as far as they can be found.

    Raises:
        NotIntegrable: see `recorded`; or the cells are too many, however they are seen.
    """
    sites = recorded(integrand)
    ways = [candidates(index, site, integrand) for index, site in enumerate(sites)]
    chosen = [0] * len(ways)
    least = math.prod(min(math.prod(float(block.cells) for block in way) for way in options) for options in ways)
    numbers = Design(integrand, sites, []).size
    if least * numbers > most:
        raise NotIntegrable(f"its noise has {least:.2g} cells")

    def design_of(choice: Sequence[int]) -> Design:
        return Design(integrand, sites, [block for way, c in zip(ways, choice, strict=True) for block in way[c]])

    for index, way in enumerate(ways):
        if len(way) < 2:
            continue
        counts = []
        for option in range(len(way)):
            design = design_of([*chosen[:index], option, *chosen[index + 1 :]])
            start = sum(len(w[c]) for w, c in zip(ways[:index], chosen[:index], strict=True))
            axes = every_axis(design, range(start, start + len(way[option])))
            counts.append(impure(design, axes, generator))
            if counts[-1] == 0:
                break
        chosen[index] = counts.index(0) if 0 in counts else len(way) - 1  # the last is not cut yet
    return design_of(chosen)


def explore(integrand: Integrand, generator: Generator, most: float) -> Shape:
    """The integrand's structure.

    Args:
        integrand: what is integrated.
        generator: of random places.
        most: numbers of noise that the cells of all blocks together may take.

    Raises:
        NotIntegrable: see `recorded`; or the cells are too many.
    """
    design = laid_out(integrand, generator, most)
    cells = math.prod(float(block.cells) for block in design.blocks) * design.size
    if cells > most:
        raise NotIntegrable(f"its noise has {cells / design.size:.2g} cells")
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
    places = torch.tensor([-10.0, -5.0, 5.0, 10.0], dtype=torch.float64)[:, None].expand(-1, len(rows))
    cut(shape.design, axis, torch.where(rows, places, -torch.inf))
    renamed: set[Axis] = set()
    for old in shape.active:
        if old.block == axis.block and old.cell == axis.cell:
            renamed |= {old._replace(cell=axis.cell + k) for k in range(len(places) + 1)}
        elif old.block == axis.block and old.cell > axis.cell:
            renamed.add(old._replace(cell=old.cell + len(places)))
        else:
            renamed.add(old)
    shape.active = renamed
