"""Whether two rules agree along one coordinate of the noise, and polynomials foretell what lies between their nodes."""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from estimators.integration.blocks import Block
from estimators.integration.design import Design
from estimators.integration.lines import ROUNDING, Axis, along_line, density, points_on
from estimators.integration.rules import is_polynomial, rule

AGREED = 1e-9
"""Two steps of a rule along one coordinate agree where they differ by this share of what is integrated."""
AGREED_BEFORE = 1e-6
"""So much must the two steps before have agreed already: two rules that are both wrong may agree by chance."""
FORETOLD = {"unit": 1e-7, "normal": 1e-9, "gamma": 1e-9}
"""A polynomial through a rule's nodes foretells other points within this share of the largest number, each times its
density: those next to the ends of a cell, or in the tails, where no node is."""
Kind = tuple[str, float, tuple[float, ...]]
"""A coordinate's domain, the shape of its law, and how far from the ends of a cell it is tried."""


class Foreteller:
    """Points along coordinates that the polynomials through rules' nodes are to foretell: the same for all of a kind.

    Args:
        generator: of the points.
    """

    def __init__(self, generator: Generator) -> None:
        self.generator = generator
        self.known: dict[Kind, tuple[Tensor, Tensor]] = {}
        self.through: dict[tuple[Kind, int], Tensor] = {}

    def points(self, block: Block, axis: int) -> tuple[Kind, tuple[Tensor, Tensor]]:
        """A coordinate's kind, and sorted points along it, with 1 minus them."""
        kind = block.domains[axis], block.shape, block.ends
        if kind not in self.known:
            self.known[kind] = points_on(block, axis, self.generator)
        return kind, self.known[kind]

    def weights(self, kind: Kind, step: int) -> Tensor:
        """[points, nodes], by which values at a rule's nodes foretell those at the points."""
        if (kind, step) not in self.through:
            domain, shape, _ = kind
            self.through[kind, step] = interpolation(rule(domain, step, shape).at, self.known[kind][0])
        return self.through[kind, step]


class Line:
    """An integrand along one coordinate of a cell, by the rules of a ladder, at some places of the others."""

    def __init__(self, design: Design, axis: Axis, foreteller: Foreteller) -> None:
        block = design.blocks[axis.block]
        self.foreteller = foreteller
        self.kind, self.graded = foreteller.points(block, axis.axis)
        self.domain, self.shape = block.domains[axis.axis], block.shape
        self.chance = block.weight[axis.cell]  # B
        self.powers: list[Tensor] | None = None
        self.sizes: list[Tensor] = []
        self.errors: list[list[Tensor]] = []
        self.foretold: Tensor | None = None

    def points(self, step: int) -> tuple[Tensor, Tensor]:
        """Nodes of a rule, with 1 minus them; at step 0 graded ones, which the others must foretell."""
        if step == 0:
            return self.graded
        own = rule(self.domain, step, self.shape)
        return own.at, own.rest

    def take(self, step: int, found: Tensor, rows: Tensor) -> None:
        """Take in values [places, T, len(rows), K] at a step's points; the other rows know their step already."""
        values = found.new_zeros(*found.shape[:2], len(self.chance), found.shape[-1])
        values[:, :, rows] = found
        if step == 0:
            self.seen = values
            return
        values = values - self.middle.unsqueeze(1)
        own = rule(self.domain, step, self.shape)
        before = self.powers
        chance = self.chance[:, None]
        self.powers = [torch.einsum("t,ptbk->pbk", own.weight, values**k) * chance for k in (1, 2)]
        self.sizes = [torch.einsum("t,ptbk->pbk", own.weight, values.abs() ** k) * chance for k in (1, 2)]
        if before is not None:
            self.errors.append([(one - old).abs() for one, old in zip(self.powers, before, strict=True)])
        if is_polynomial(self.domain, step):
            likely = [density(self.domain, self.shape, x)[:, None, None] for x in (self.graded[0], own.at)]
            foretold = torch.einsum("nt,ptbk->pnbk", self.foreteller.weights(self.kind, step), values)
            largest = torch.maximum(along_line(values * likely[1]), along_line(self.seen * likely[0]))
            off = along_line((foretold - self.seen) * likely[0])
            self.foretold = (off <= FORETOLD[self.domain] * largest + self.rounding).all(0)
        else:
            self.foretold = None

    def about(self, middle: Tensor) -> None:
        """Look at what differs from a middle [places, B, K], as variances are made of that."""
        self.rounding = 10 * ROUNDING * along_line(self.seen) + 1e-300
        self.middle = middle
        self.seen = self.seen - middle.unsqueeze(1)

    def agrees(self, lines: Sequence["Line"]) -> Tensor:
        """Whether the last two rules do, [B]: an error counts as a share of the same number's mean in the whole block.

        A polynomial must foretell other points too; of other rules, those before must have been close already.
        """
        good = torch.ones_like(self.chance, dtype=torch.bool) if self.foretold is None else self.foretold
        wanted = (AGREED, AGREED_BEFORE)[: 2 if self.foretold is None else 1]
        if len(self.errors) < len(wanted):
            return torch.zeros_like(good)
        for k in range(2):
            whole = sum((line.sizes[k] for line in lines if line.sizes), torch.zeros_like(self.sizes[k]))
            for errors, share in zip(reversed(self.errors), wanted, strict=False):
                rounding = (self.chance * self.rounding ** (k + 1)).unsqueeze(-1)
                good = good & (errors[k] <= share * whole + rounding).all(-1).all(0)
        return good


def middle_of(lines: Sequence[Line]) -> Tensor:
    """[places, B, K], about the mean over the cells of one coordinate, at each place of the others."""
    chance = sum((line.chance for line in lines), torch.zeros_like(lines[0].chance)).clamp_min(1e-300)
    found = torch.zeros(())
    for line in lines:
        likely = density(line.domain, line.shape, line.graded[0])
        mean = torch.einsum("t,ptbk->pbk", likely / likely.sum(), line.seen)
        found = found + mean * (line.chance / chance)[:, None]
    return found


def interpolation(nodes: Tensor, at: Tensor) -> Tensor:
    """Weights [len(at), len(nodes)] of the polynomial through values at the nodes, in Lagrange's form."""
    difference = at[:, None] - nodes
    gaps = nodes[:, None] - nodes
    gaps.fill_diagonal_(1.0)
    columns = []
    for index in range(len(nodes)):
        others = torch.arange(len(nodes)) != index
        columns.append((difference[:, others] / gaps[index, others]).prod(1))
    return torch.stack(columns, 1)
