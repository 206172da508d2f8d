"""What an integrand does along each coordinate of its noise: nothing, something smooth, or a jump, which is located.

Coordinates are tried at several random places of all others, with points graded towards both ends of a cell: a
comparison that lies off the cell's bounds by a relative 1e-14 shows, as the two ends of the cell then differ.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from estimators.integration.blocks import At, Block
from estimators.integration.design import Design, Integrand, candidates, recorded
from estimators.integration.source import NotIntegrable

PLACES = 4
"""Random places of the other coordinates."""
ROUNDS = 6
"""Rounds of cutting at jumps."""
MOST_CELLS = 64
HALVINGS, SOON = 60, 14
"""Halvings of an interval that holds a jump; and after how many it shows whether the jump moves with other noise."""
EQUAL, ROUNDING = 1e-11, 1e-15
"""Differences of the first share of the numbers compared, or of the second of a row's largest, are rounding."""
JUMP = 1e-7
"""What remains of a jump, as a share of the largest number along its line, however close to it one gets."""


class Axis(NamedTuple):
    """A coordinate of a cell of a block."""

    block: int
    cell: int
    axis: int


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


def points_on(block: Block, axis: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """Sorted points along a coordinate, with 1 minus them."""
    if block.domains[axis] == "unit":
        ends = torch.tensor(block.ends, dtype=torch.float64)
        inside = 0.02 + 0.96 * torch.rand(4, generator=generator, dtype=torch.float64).sort().values
        return torch.cat((ends, inside, 1 - ends.flip(0))), torch.cat((1 - ends, 1 - inside, ends.flip(0)))
    x = torch.tensor([-6.0, -3.0, -1.1, 0.4, 1.3, 2.9, 6.0], dtype=torch.float64)
    if block.domains[axis] == "gamma":
        x = block.shape * torch.tensor([0.05, 0.4, 1.1, 2.3, 6.0], dtype=torch.float64)
    return x, 1 - x


def along(design: Design, axes: Sequence[Axis], lines: Sequence[tuple[Tensor, Tensor]], base: list[At]) -> list[At]:
    """Points [places * sum of lengths] along lines, each at every place of the base; axis by axis, place by place.

    A line's coordinates are [T], or [T, places, B] where they differ between places and rows.
    """
    places = len(base[0].cell)
    which = torch.cat([torch.arange(places).repeat_interleave(len(line[0])) for line in lines])
    per_row = any(line[0].dim() > 1 for line in lines)
    rows = design.integrand.problems if per_row else 1
    points = []
    for index in range(len(design.blocks)):
        cell = base[index].cell[which].clone()
        x, rest = (part[which].expand(-1, rows, -1).clone() for part in base[index][1:])
        start = 0
        for axis, (at, complement) in zip(axes, lines, strict=True):
            stop = start + places * len(at)
            if axis.block == index:
                cell[start:stop] = axis.cell
                for part, value in ((x, at), (rest, complement)):
                    if value.dim() == 1:
                        part[start:stop, :, axis.axis] = value.repeat(places).unsqueeze(1)
                    else:  # T x places x B
                        part[start:stop, :, axis.axis] = value.transpose(0, 1).reshape(-1, rows)
            start = stop
        points.append(At(cell, x, rest))
    return points


def every_axis(design: Design, blocks: Sequence[int] | None = None) -> list[Axis]:
    """All coordinates of all cells."""
    chosen = range(len(design.blocks)) if blocks is None else blocks
    return [
        Axis(index, cell, axis)
        for index in chosen
        for cell in range(design.blocks[index].cells)
        for axis in range(design.blocks[index].axes)
    ]


class Seen(NamedTuple):
    """An integrand along one coordinate."""

    x: Tensor
    """[T]."""
    rest: Tensor
    values: Tensor
    """[places, T, B, K]."""
    signature: Tensor
    """[places, T, B]."""


def look(design: Design, axes: Sequence[Axis], base: list[At], generator: Generator) -> list[Seen]:
    """The integrand along coordinates."""
    lines = [points_on(design.blocks[axis.block], axis.axis, generator) for axis in axes]
    values, signature = design(along(design, axes, lines, base))
    seen, start, places = [], 0, len(base[0].cell)
    for x, rest in lines:
        stop = start + places * len(x)
        seen.append(
            Seen(
                x,
                rest,
                values[start:stop].unflatten(0, (places, len(x))),
                signature[start:stop].unflatten(0, (places, len(x))),
            )
        )
        start = stop
    return seen


def differs(design: Design, axis: Axis, values: Tensor, signature: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
    """Whether neighbours along a line differ, in value and in signature, each [places, T - 1, B]."""
    there = design.blocks[axis.block].weight[axis.cell] > 0  # B
    change = values.diff(dim=1).abs().amax(-1) > EQUAL * along_line(values).unsqueeze(1) + ROUNDING * size
    hard = signature.diff(dim=1) != 0
    return change & there, hard & there


def along_line(values: Tensor) -> Tensor:
    """[places, B], the largest number along a line: a likely outcome's may be far below a rare one's."""
    return values.abs().amax((1, 3))


def row_size(values: Tensor) -> Tensor:
    """[B], the largest number of each row."""
    return values.abs().flatten(0, -3).amax((0, -1)).clamp_min(1e-300)


def locate(
    design: Design, spans: Mapping[Axis, Sequence[int]], seen: Mapping[Axis, Seen], base: list[At], size: Tensor
) -> dict[Axis, Tensor]:
    """Where jumps are, [spans, places, B] for each coordinate, as logits of it; not a number in rows without.

    Raises:
        _Wandering: most of them move with other noise.

    Args:
        design: the integrand.
        spans: which of the intervals between the points of each coordinate hold a jump.
        seen: the integrand along these coordinates.
        base: places of the other coordinates.
        size: [B].
    """
    places, rows = len(base[0].cell), design.integrand.problems
    axes = list(spans)
    counts = [len(spans[axis]) for axis in axes]

    def start(offset: int) -> Tensor:  # spans x places x B
        parts = []
        for axis in axes:
            index = [span + offset for span in spans[axis]]
            one = seen[axis]
            parts.append((one.x.log() - one.rest.log())[index][:, None, None].expand(-1, places, rows))
        return torch.cat(parts).clone()

    def pick(offset: int) -> tuple[Tensor, Tensor]:
        values, signature = [], []
        for axis in axes:
            index = [span + offset for span in spans[axis]]
            values.append(seen[axis].values[:, index].transpose(0, 1))
            signature.append(seen[axis].signature[:, index].transpose(0, 1))
        return torch.cat(values), torch.cat(signature)

    low, high, (v_low, s_low), (v_high, s_high) = start(0), start(1), pick(0), pick(1)
    for halving in range(HALVINGS):
        if halving == SOON:
            jumping = (s_low != s_high) | ((v_low - v_high).abs().amax(-1) > 0.01 * size)
            for place, jumps in zip(high.split(counts), jumping.split(counts), strict=True):
                if _wanders(torch.where(jumps, place, torch.nan), 0.1):
                    raise _Wandering
        middle = (low + high) / 2
        lines = [(part.sigmoid(), (-part).sigmoid()) for part in middle.split(counts)]
        flat_values, flat_signature = design(along(design, axes, lines, base))
        parts, signs, at = [], [], 0
        for count in counts:
            span = slice(at, at + places * count)
            parts.append(flat_values[span].unflatten(0, (places, count)).transpose(0, 1))
            signs.append(flat_signature[span].unflatten(0, (places, count)).transpose(0, 1))
            at += places * count
        values, signature = torch.cat(parts), torch.cat(signs)
        first = (values - v_low).abs().amax(-1) / size + 1e6 * (signature != s_low)
        second = (values - v_high).abs().amax(-1) / size + 1e6 * (signature != s_high)
        take = first >= second  # the jump is below the middle
        high, low = torch.where(take, middle, high), torch.where(take, low, middle)
        v_high, s_high = torch.where(take[..., None], values, v_high), torch.where(take, signature, s_high)
        v_low, s_low = torch.where(take[..., None], v_low, values), torch.where(take, s_low, signature)
    line = torch.cat([along_line(seen[axis].values).expand(len(spans[axis]), -1, -1) for axis in axes])
    jump = (s_low != s_high) | ((v_low - v_high).abs().amax(-1) > JUMP * line + ROUNDING * size)
    found = {}
    for axis, places_of, jumps in zip(axes, high.split(counts), jump.split(counts), strict=True):
        there = design.blocks[axis.block].weight[axis.cell] > 0
        found[axis] = torch.where(jumps & there, places_of, torch.nan)
    return found


class _Wandering(Exception):
    """A jump lies elsewhere when other noise is elsewhere: no cut helps."""


def _wanders(found: Tensor, by: float = 1e-6) -> bool:
    """Whether most jumps [spans, places, B] lie elsewhere, by so much, at another place."""
    high = found.nan_to_num(-torch.inf).amax(1)
    low = found.nan_to_num(torch.inf).amin(1)
    several = (found == found).sum(1) > 1
    return bool(several.any()) and bool((high - low)[several].gt(by).double().mean() > 0.5)


def _unique(found: Tensor) -> Tensor:
    """Distinct places of jumps [n, B], row by row, the missing ones at the lower end."""
    columns = []
    for column in found.T:
        kept: list[float] = []
        for value in sorted(float(v) for v in column if v == v):
            if not kept or value - kept[-1] > 1e-9:
                kept.append(value)
        columns.append(kept)
    most = max((len(kept) for kept in columns), default=0)
    return torch.tensor([[-torch.inf] * (most - len(kept)) + kept for kept in columns], dtype=torch.float64).T


def cut(design: Design, axis: Axis, logits: Tensor) -> None:
    """Cut a cell at places [n, B], logits of its coordinate, in ascending order."""
    block = design.blocks[axis.block]
    low, high = block.low[axis.cell, :, axis.axis], block.high[axis.cell, :, axis.axis]
    width = torch.where(low[:, 0] > 0.5, low[:, 1] - high[:, 1], high[:, 0] - low[:, 0])
    for logit in logits.flip(0):  # from above, so that the cell's own number stays that of its lowest part
        at = torch.stack((low[:, 0] + width * logit.sigmoid(), high[:, 1] + width * (-logit).sigmoid()), -1)
        block = block.split(axis.cell, axis.axis, at)
    design.blocks[axis.block] = block


def refine(design: Design, seen: Mapping[Axis, Seen], base: list[At]) -> bool:
    """Cut cells where hard draws change along these coordinates; whether any was cut.

    A jump that lies elsewhere when other noise is elsewhere is left: no cut helps.

    Args:
        design: changed in place.
        seen: the integrand along the coordinates.
        base: the places of the others.
    """
    size = row_size(torch.cat([s.values.flatten(0, 1) for s in seen.values()]))
    spans = {}
    for axis, one in seen.items():
        block = design.blocks[axis.block]
        if block.domains[axis.axis] == "unit" and block.cells < MOST_CELLS:
            values, signature = differs(design, axis, one.values, one.signature, size)
            wanted = signature.any(0).any(-1)
            if bool(wanted.any()):
                spans[axis] = wanted.nonzero()[:, 0].tolist()
            elif bool((values.sum(1) <= 2).all()):  # constant but for a jump or two
                spans[axis] = values.any(0).any(-1).nonzero()[:, 0].tolist()
    spans = {axis: own for axis, own in spans.items() if own}
    done = False
    if spans:
        try:
            found = locate(design, spans, seen, base, size)
        except _Wandering:
            return False
        for axis in sorted(found, reverse=True):  # cutting a cell moves those after it
            if _wanders(found[axis]):
                continue
            places = _unique(found[axis].flatten(0, 1))
            if len(places):
                cut(design, axis, places)
                done = True
    return done


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
        shape.active, shape.broken = set(), set()
        for axis, one in seen.items():
            values, signature = differs(design, axis, one.values, one.signature, size)
            if bool(signature.any()):
                shape.broken.add(axis)
            elif bool(values.any()):
                shape.active.add(axis)
        if not refine(design, seen, base):
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
