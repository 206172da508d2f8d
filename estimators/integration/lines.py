"""An integrand along single coordinates of its noise, at several random places of all others.

Points are graded towards both ends of a cell: a comparison that lies off the cell's bounds by a relative 1e-14 shows,
as the two ends of the cell then differ.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from estimators.integration.blocks import At, Block
from estimators.integration.design import Design

PLACES, POINTS = 4, 10
"""Random places of the other coordinates, and about as many points along one."""
FARTHEST = 36.0
"""Along the scale of a few clocks: noise of 53 bits has no number for an arrival beyond -log(2^-54) = 37.4, so that who
comes first is decided by what stands in its place, once in e^37 draws."""
EQUAL, ROUNDING = 1e-11, 1e-15
"""Differences of the first share of the numbers compared, or of the second of a row's largest, are rounding."""


class Axis(NamedTuple):
    """A coordinate of a cell of a block."""

    block: int
    cell: int
    axis: int


def points_on(block: Block, axis: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """Sorted points along a coordinate, with 1 minus them."""
    if block.domains[axis] == "unit":
        ends = torch.tensor(block.ends, dtype=torch.float64)
        inside = 0.02 + 0.96 * torch.rand(4, generator=generator, dtype=torch.float64).sort().values
        return torch.cat((ends, inside, 1 - ends.flip(0))), torch.cat((1 - ends, 1 - inside, ends.flip(0)))
    x = torch.tensor([-6.0, -5.2, -4.5, -3.0, -1.1, 0.4, 1.3, 2.9, 4.4, 5.3, 6.0], dtype=torch.float64)
    if block.domains[axis] == "gamma":
        x = block.shape * torch.tensor([0.05, 0.4, 1.1, 2.3, 6.0, 12.0], dtype=torch.float64)
        x = x.clamp_max(max(FARTHEST, 2.3 * block.shape))
    return x, 1 - x


def density(domain: str, shape: float, x: Tensor) -> Tensor:
    """How likely points along a coordinate are beside its likeliest, up to a power of x."""
    if domain == "unit":
        return torch.ones_like(x)
    return torch.exp(-0.5 * x.square()) if domain == "normal" else torch.exp(-(x - shape).clamp_min(0))


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


def on_lines(
    design: Design,
    axes: Sequence[Axis],
    lines: Sequence[tuple[Tensor, Tensor]],
    base: list[At],
    rows: Tensor | None = None,
) -> list[tuple[Tensor, Tensor]]:
    """The integrand along lines, as `along` takes them: values [places, T, b, K] and signatures [places, T, b].

    Args:
        design: the integrand.
        axes: a line along each.
        lines: points of each.
        base: places of the other coordinates.
        rows: b problems, all B by default.
    """
    places = len(base[0].cell)
    counts = [places * len(at) for at, _ in lines]
    parts = (part.split(counts) for part in design(along(design, axes, lines, base), rows)[:2])
    return [
        (values.unflatten(0, (places, -1)), signature.unflatten(0, (places, -1)))
        for values, signature in zip(*parts, strict=True)
    ]


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
    return [
        Seen(x, rest, values, signature)
        for (x, rest), (values, signature) in zip(lines, on_lines(design, axes, lines, base), strict=True)
    ]


def differs(design: Design, axis: Axis, values: Tensor, signature: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
    """Whether neighbours along a line differ, in value and in signature, each [places, T - 1, B]."""
    there = design.blocks[axis.block].weight[axis.cell] > 0  # B
    change = values.diff(dim=1).abs().amax(-1) > EQUAL * along_line(values).unsqueeze(1) + ROUNDING * size
    hard = signature.diff(dim=1) != 0
    return change & there, hard & there


def along_line(values: Tensor) -> Tensor:
    """[places, B], the largest number along a line: a likely outcome's may be far below a rare one's."""
    return values.abs().amax((1, 3))


def apart(one: Tensor, other: Tensor, size: Tensor) -> Tensor:
    """Whether numbers [N, B, K] of sizes [N, B] differ by more than rounding, [N, B]."""
    return (one - other).abs().amax(-1) > 100 * EQUAL * size + 10 * ROUNDING * row_size(other)


def row_size(values: Tensor) -> Tensor:
    """[B], the largest number of each row."""
    return values.abs().flatten(0, -3).amax((0, -1)).clamp_min(1e-300)
