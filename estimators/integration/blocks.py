"""Groups of noise numbers that are independent of all others, cut into cells inside which an estimator may be smooth.

A block has coordinates of its own, one for each of its numbers: where the estimator compares numbers with each other or
with a chance, the coordinates are such that its decision is one of the block's cells, and the rest of the numbers is
independent of it. A cell is a box in these coordinates; its bounds may differ from row to row.

    Single      one uniform number, cut where it is compared with a chance: below p, between p and 1 - p, above
    Normals     one normal number, or several, turned so that the first coordinate is their mean
    Race        exponential clocks, as Gumbel noise is: cells are who wins, or the whole order (see `races`)
    Choice      one of n options

Bounds and coordinates on (0, 1) come in pairs (x, 1 - x), as numbers next to 1 have their digits in the second alone.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple, Self

import torch
from torch import Tensor

DOUBLE = torch.float64
APART = 1e-14
"""Numbers that differ by less than this share are not told apart."""


class At(NamedTuple):
    """Points of a block."""

    cell: Tensor
    """[N], which of its cells, or [N, B] if they differ between rows."""
    x: Tensor
    """[N, B, m], coordinates relative to the cell's bounds, or [N, 1, m] if they are the same in all rows."""
    rest: Tensor
    """1 - x."""

    @property
    def by_row(self) -> Tensor:
        """`cell` as [N, B], or [N, 1]."""
        return self.cell if self.cell.dim() == 2 else self.cell.unsqueeze(1)

    def of(self, nodes: slice | Tensor, rows: Tensor) -> "At":
        """Some of the points, for some of the rows."""
        x, rest = (part[nodes] for part in self[1:])
        if x.shape[1] > 1:
            x, rest = x[:, rows], rest[:, rows]
        cell = self.cell[nodes]
        return At(cell if cell.dim() == 1 else cell[:, rows], x, rest)


@dataclass(frozen=True)
class Block:
    """A block's cells; K of them for every one of B rows."""

    site: int
    numbers: tuple[int, ...]
    """Which numbers of the site."""
    kind: Tensor
    """[K, B], which decision the cell is, of those that the block can take."""
    weight: Tensor
    """[K, B], chances of the cells."""
    region: Tensor
    """[K], of cells that were cut for a rule's sake alone the same number: hard draws are the same in all of them."""
    low: Tensor
    """[K, B, m, 2], lower bounds and 1 minus them."""
    high: Tensor
    """[K, B, m, 2]."""

    @property
    def cells(self) -> int:
        """K."""
        return len(self.weight)

    @property
    def regions(self) -> int:
        """How many there are."""
        return int(self.region.max()) + 1

    @cached_property
    def uncut(self) -> bool:
        """Whether all cells are whole."""
        ends = torch.tensor([0.0, 1.0], dtype=DOUBLE)
        return bool((self.low == ends).all()) and bool((self.high == ends.flip(0)).all())

    @cached_property
    def chance(self) -> Tensor:
        """[regions, B]."""
        return torch.zeros(self.regions, self.weight.shape[1], dtype=DOUBLE).index_add(0, self.region, self.weight)

    @cached_property
    def likeliest(self) -> Tensor:
        """[regions, B], the likeliest cell of each region."""
        inside = self.region == torch.arange(self.regions).unsqueeze(1)  # regions x K
        return torch.where(inside.unsqueeze(-1), self.weight, -1.0).argmax(1)

    @property
    def axes(self) -> int:
        """m."""
        return self.low.shape[2]

    @property
    def domains(self) -> tuple[str, ...]:
        """Of each coordinate: unit, normal or gamma."""
        return ("unit",) * self.axes

    @property
    def shape(self) -> float:
        """Of the gamma law."""
        return float(len(self.numbers))

    @property
    def ends(self) -> tuple[float, ...]:
        """How far from the ends of a cell the integrand is tried."""
        return 1e-14, 1e-9, 1e-4

    def place(self, at: At, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The block's numbers at points of these rows, and 1 minus them, each [N, len(rows), numbers]."""
        kind = self.kind[at.by_row, rows]
        if self.uncut:
            return self.numbers_at(kind, at.x, at.rest, rows)
        low, high = (part[at.by_row, rows] for part in (self.low, self.high))  # N x B x m x 2
        (a, a_), (b, b_) = low.unbind(-1), high.unbind(-1)
        width = width_of(low, high)
        # No closer to a bound than rounding lets the two be told apart, which counts in a narrow cell.
        first, last = (
            (APART * torch.minimum(*end) / width.clamp_min(1e-300)).clamp_max(0.25) for end in ((a, a_), (b, b_))
        )
        low_end, high_end = at.x < first, at.rest < last
        x = torch.where(low_end, first, torch.where(high_end, 1 - last, at.x))
        rest = torch.where(low_end, 1 - first, torch.where(high_end, last, at.rest))
        cut = torch.tensor([domain == "unit" for domain in self.domains], dtype=torch.bool)
        inside = torch.where(cut, a + width * x, at.x)
        return self.numbers_at(kind, inside, torch.where(cut, b_ + width * rest, rest), rows)

    def numbers_at(self, kind: Tensor, x: Tensor, rest: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The numbers at whole coordinates [N, B, m] of a decision [N, B]."""
        raise NotImplementedError

    def split(self, cell: int, axis: int, at: Tensor, *, apart: bool) -> Self:
        """Cut a cell in two.

        Args:
            cell: which.
            axis: across which coordinate.
            at: [B, 2], where, in whole coordinates, with 1 minus it.
            apart: make the upper part a region of its own.
        """
        low, high = self.low[cell], self.high[cell]
        a, b = low[:, axis], high[:, axis]
        clipped = torch.stack((at[:, 0].clamp(a[:, 0], b[:, 0]), at[:, 1].clamp(b[:, 1], a[:, 1])), -1)
        share = width_of(a, clipped) / width_of(a, b).clamp_min(1e-300)
        first_high, second_low = high.clone(), low.clone()
        first_high[:, axis], second_low[:, axis] = clipped, clipped
        rest = width_of(clipped, b) / width_of(a, b).clamp_min(1e-300)

        def put(old: Tensor, first: Tensor, second: Tensor) -> Tensor:
            return torch.cat((old[:cell], first[None], second[None], old[cell + 1 :]))

        return replace(
            self,
            kind=put(self.kind, self.kind[cell], self.kind[cell]),
            region=put(self.region, self.region[cell], torch.tensor(self.regions) if apart else self.region[cell]),
            weight=put(self.weight, self.weight[cell] * share, self.weight[cell] * rest),
            low=put(self.low, low, second_low),
            high=put(self.high, first_high, high),
        )


def width_of(a: Tensor, b: Tensor) -> Tensor:
    """b - a of pairs [..., 2], with the digits of whichever of the two differences has more."""
    return torch.where(a[..., 0] > 0.5, a[..., 1] - b[..., 1], b[..., 0] - a[..., 0]).clamp_min(0)


def whole(decisions: Tensor, axes: int) -> dict[str, Tensor]:
    """Cells that are not cut: one for each decision, of these chances [K, B]."""
    count, rows = decisions.shape
    low = torch.tensor([0.0, 1.0], dtype=DOUBLE).expand(count, rows, axes, 2)
    kind = torch.arange(count).unsqueeze(1).expand(count, rows)
    return {
        "kind": kind,
        "weight": decisions,
        "region": torch.arange(count),
        "low": low.clone(),
        "high": low.flip(-1).clone(),
    }


@dataclass(frozen=True)
class Single(Block):
    """One uniform number."""

    def numbers_at(self, kind: Tensor, x: Tensor, rest: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        return x, rest

    @classmethod
    def cut_at(cls, site: int, number: int, rows: int, *logits: Tensor) -> "Single":
        """Cut at the sigmoid of these logits, [B] each."""
        block = cls(site, (number,), **whole(torch.ones(1, rows, dtype=DOUBLE), 1))
        if logits:
            for cell, x in enumerate(torch.stack(logits).sort(0).values):
                block = block.split(cell, 0, torch.stack((x.sigmoid(), (-x).sigmoid()), -1), apart=True)
        return block


@dataclass(frozen=True)
class Normals(Block):
    """Normal numbers; `cut` where a coordinate is the number's place in its law, so that it can be cut."""

    cut: bool = False

    @property
    def domains(self) -> tuple[str, ...]:
        return ("unit" if self.cut else "normal",) * self.axes

    def numbers_at(self, kind: Tensor, x: Tensor, rest: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        if self.cut:
            x = torch.where(x < 0.5, torch.special.ndtri(x), -torch.special.ndtri(rest))
        if len(self.numbers) > 1:
            x = x @ _turn(len(self.numbers))
        return x, x

    @classmethod
    def of(cls, site: int, numbers: tuple[int, ...], rows: int, cut: bool) -> "Normals":
        """The whole of their law."""
        return cls(site, numbers, **whole(torch.ones(1, rows, dtype=DOUBLE), len(numbers)), cut=cut)


def _turn(count: int) -> Tensor:
    """An orthonormal matrix whose first row takes the mean: Helmert's."""
    matrix = torch.zeros(count, count, dtype=DOUBLE)
    matrix[0] = count**-0.5
    for row in range(1, count):
        matrix[row, :row], matrix[row, row] = 1.0, -row
        matrix[row] /= (row * (row + 1)) ** 0.5
    return matrix


def log_of(u: Tensor, rest: Tensor) -> Tensor:
    """Logarithm of numbers u on (0, 1), given with 1 - u."""
    return torch.where(u < 0.5, u.log(), (-rest).log1p())


@dataclass(frozen=True)
class Choice(Block):
    """One of some options, all equally likely."""

    def numbers_at(self, kind: Tensor, x: Tensor, rest: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        number = kind.unsqueeze(-1).double()
        return number, number

    @classmethod
    def of(cls, site: int, number: int, options: int, rows: int) -> "Choice":
        """All options."""
        return cls(site, (number,), **whole(torch.full((options, rows), 1 / options, dtype=DOUBLE), 0))
