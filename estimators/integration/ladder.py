"""Which rule each coordinate needs: what two steps of a ladder agree on along it, at random places of all others."""

from collections.abc import Sequence

import torch
from torch import Tensor

from estimators.integration.design import Design
from estimators.integration.lines import PLACES, Axis, along_line, on_lines, points_on
from estimators.integration.rules import STEPS, is_polynomial, rule
from estimators.integration.structure import Shape, grade

AGREED = 1e-9
"""Two steps of a rule along one coordinate agree where they differ by this share of what is integrated."""
FORETOLD = 1e-7
"""A polynomial through a rule's nodes foretells points next to the ends of a cell within this share of the largest."""
MOST_GRADED = 2e5
"""Nodes of a product with a few nodes a coordinate, above which cells are not cut towards their ends."""
GRADINGS = 2
"""How often cells are cut towards their ends where no rule converges."""


def count(design: Design, plan: Sequence[Sequence[int]], rows: Tensor) -> float:
    """Nodes of a product, in cells that some of the rows have."""
    nodes = 1.0
    for block, own in zip(design.blocks, plan, strict=True):
        nodes *= int((block.weight[:, rows] > 0).any(1).sum())
        for domain, step in zip(block.domains, own, strict=True):
            nodes *= len(rule(domain, max(step, 0), block.shape).at)
    return nodes


def orders(shape: Shape, generator: torch.Generator, most: float) -> list[list[Tensor]]:
    """For each coordinate, the step of its ladder at which two rules agree along it, [B]; -1 where none does.

    Cells in which none does are cut towards their ends, and tried again.
    """
    design = shape.design
    rows = design.integrand.problems
    reached: dict[Axis, Tensor] = {}
    for attempt in range(GRADINGS + 1):
        least = [
            [int(any(a.block == i and a.axis == axis for a in shape.active)) for axis in range(block.axes)]
            for i, block in enumerate(design.blocks)
        ]
        if count(design, least, design.rows) * design.size > most:
            reached = {axis: torch.ones(rows, dtype=torch.long) for axis in shape.active}
            break  # too many nodes with the coarsest rules: nothing more need be known
        # A step that no single problem could pay in all coordinates need not be tried.
        steps_paid = max(
            step
            for step in range(1, max(STEPS.values()))
            if step == 1 or _at(design, least, step) * design.size / rows <= most
        )
        reached = climbed(shape, generator, most, steps_paid + 1)
        failed = {axis: (own < 0) for axis, own in reached.items() if bool((own < 0).any())}
        usual = [[3 * step for step in own] for own in least]
        if not failed or attempt == GRADINGS or count(design, usual, design.rows) > MOST_GRADED:
            break
        for axis in sorted(failed, reverse=True):
            if design.blocks[axis.block].domains[axis.axis] == "unit":
                grade(shape, axis, failed[axis])
    steps = [[torch.zeros(rows, dtype=torch.long) for _ in block.domains] for block in design.blocks]
    for axis, step in reached.items():
        own = steps[axis.block][axis.axis]
        own[:] = torch.where((own < 0) | (step < 0), -1, torch.maximum(own, step))
    return steps


def _at(design: Design, active: Sequence[Sequence[int]], step: int) -> float:
    """Nodes of a product with this step, or the last there is, in all active coordinates."""
    plan = [
        [min(step, STEPS[domain] - 1) * one for domain, one in zip(block.domains, own, strict=True)]
        for block, own in zip(design.blocks, active, strict=True)
    ]
    return count(design, plan, design.rows)


def climbed(shape: Shape, generator: torch.Generator, most: float, steps: int) -> dict[Axis, Tensor]:
    """For each active coordinate of a cell, the step [B] at which its ladder's last two rules agree along it, or -1."""
    design = shape.design
    waiting = sorted(shape.active)
    base = design.random(PLACES, generator)
    lines = {axis: Line(design, axis) for axis in waiting}
    reached = {axis: torch.full((design.integrand.problems,), -1) for axis in waiting}
    numbers = 0
    for step in range(min(steps + 1, max(STEPS.values()))):
        now = [axis for axis in waiting if step < STEPS[lines[axis].domain]]
        points = [lines[axis].points(step, generator) for axis in now]
        numbers += PLACES * design.size * sum(len(at) for at, _ in points)
        if not now or numbers > most:
            break
        for axis, (values, _) in zip(now, on_lines(design, now, points, base), strict=True):
            lines[axis].take(step, values)
        for axis in now:
            good = lines[axis].agrees(
                [line for a, line in lines.items() if (a.block, a.axis) == (axis.block, axis.axis)]
            )
            reached[axis] = torch.where((reached[axis] < 0) & good, step, reached[axis])
        waiting = [axis for axis in waiting if bool((reached[axis] < 0).any())]
    # A cell that a row does not have takes any step.
    return {a: step.where(design.blocks[a.block].weight[a.cell] > 0, 0) for a, step in reached.items()}


class Line:
    """An integrand along one coordinate of a cell, by the rules of a ladder, at some places of the others."""

    def __init__(self, design: Design, axis: Axis) -> None:
        block = design.blocks[axis.block]
        self.block, self.axis = block, axis.axis
        self.domain, self.shape = block.domains[axis.axis], block.shape
        self.chance = block.weight[axis.cell]  # B
        self.powers: list[Tensor] | None = None
        self.sizes: list[Tensor] = []
        self.errors: list[Tensor] | None = None

    def points(self, step: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Nodes of a rule, with 1 minus them; at step 0 graded ones, which the others must foretell."""
        if step == 0:
            self.graded = points_on(self.block, self.axis, generator)
            return self.graded
        own = rule(self.domain, step, self.shape)
        return own.at, own.rest

    def take(self, step: int, values: Tensor) -> None:
        """Take in values [places, T, B, K] at a step's points."""
        if step == 0:
            self.seen = values
            return
        own = rule(self.domain, step, self.shape)
        before = self.powers
        chance = self.chance[:, None]
        self.powers = [torch.einsum("t,ptbk->pbk", own.weight, values**k) * chance for k in (1, 2)]
        self.sizes = [torch.einsum("t,ptbk->pbk", own.weight, values.abs() ** k).amax(-1) * self.chance for k in (1, 2)]
        if before is not None:
            self.errors = [(one - old).abs().amax(-1) for one, old in zip(self.powers, before, strict=True)]
        if self.domain == "unit" and is_polynomial(step):
            foretold = torch.einsum("nt,ptbk->pnbk", interpolation(own.at, self.graded[0]), values)
            largest = torch.maximum(along_line(values), along_line(self.seen))
            self.ends = (along_line(foretold - self.seen) <= FORETOLD * largest + 1e-300).all(0)
        else:
            self.ends = torch.ones_like(self.chance, dtype=torch.bool)

    def agrees(self, lines: Sequence["Line"]) -> Tensor:
        """Whether the last two rules do, [B]: an error counts as a share of the whole block's mean, along its lines."""
        if self.errors is None:
            return torch.zeros_like(self.chance, dtype=torch.bool)
        good = self.ends.clone()
        for k in range(2):
            whole = sum((line.sizes[k] for line in lines if line.sizes), torch.zeros_like(self.sizes[k]))
            good &= (self.errors[k] <= AGREED * whole + 1e-300).all(0)
        return good


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
