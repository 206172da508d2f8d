"""Mean and variance of an estimator by integrating over its noise, where the integral can be had.

The noise's blocks are independent, so that an expectation is a sum over all combinations of their cells and of a rule's
nodes in each coordinate on which the estimator depends. What one coordinate needs is found along it, at random places
of all others; the product is then taken twice, with these rules and with the next coarser ones, and what both agree on
is the tolerance reached. Nothing is called converged by which a jump remains in a cell, which gives other numbers for
the same noise, or whose product has more nodes than can be paid.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from estimators.integration.blocks import At
from estimators.integration.design import Design, Integrand
from estimators.integration.placed import drawn
from estimators.integration.rules import STEPS, is_polynomial, rule
from estimators.integration.source import NotIntegrable, Source
from estimators.integration.structure import (
    EQUAL,
    PLACES,
    ROUNDING,
    Axis,
    Shape,
    along,
    explore,
    grade,
    points_on,
    row_size,
)

AGREED = 1e-9
"""Two steps of a rule along one coordinate agree where they differ by this share of what is integrated."""
MOST_NUMBERS = 3e7
"""Nodes times problems times numbers of noise, that a product may have."""
FORETOLD = 1e-7
"""A polynomial through a rule's nodes foretells points next to the ends of a cell within this share of the largest."""
MOST_GRADED = 2e5
"""Nodes of a product with a few nodes a coordinate, above which cells are not cut towards their ends."""
GRADINGS = 2
"""How often cells are cut towards their ends where no rule converges."""
BY_LAW = 1024
"""Of them, so many more as the noise's law has them."""
TOGETHER = 3
"""How many times that all products of an integrand may have together."""
CHECKED = 192
"""Random points at which it is checked that what is held fixed does not matter: it may matter in few cells alone."""


class Moments(NamedTuple):
    """Mean and variance of K numbers in B problems."""

    mean: Tensor
    """[B, K], not a number where it was not found."""
    variance: Tensor
    """[B, K]."""
    tolerance: Tensor
    """[B, K], of the mean: what two rules differ by, and rounding."""
    spread: Tensor
    """[B, K], tolerance of the variance."""
    nodes: Tensor
    """[B], nodes of the product."""
    reasons: list[str | None]
    """For each problem, why it was not found."""

    @property
    def found(self) -> Tensor:
        """[B], where there is a mean."""
        return torch.tensor([reason is None for reason in self.reasons], dtype=torch.bool)


class Integration(NamedTuple):
    """What is known of an integrand."""

    moments: Moments
    shape: Shape | None
    """None where its noise cannot be told."""


def integrate(integrand: Integrand, *, seed: int = 0, most: float = MOST_NUMBERS) -> Integration:
    """Mean and variance of an integrand, problem by problem, where they can be had."""
    generator = torch.Generator().manual_seed(seed)
    try:
        shape = explore(integrand, generator, most)
        return Integration(_moments(shape, generator, most), shape)
    except NotIntegrable as error:
        return Integration(_nothing(integrand.problems, 1, str(error)), None)


def _nothing(rows: int, width: int, reason: str) -> Moments:
    mean, variance, tolerance, spread = torch.full((4, rows, width), torch.nan, dtype=torch.float64)
    return Moments(mean, variance, tolerance, spread, torch.zeros(rows), [reason] * rows)


def _moments(shape: Shape, generator: torch.Generator, most: float) -> Moments:
    design = shape.design
    rows = design.integrand.problems
    width = design(design.random(1, generator))[0].shape[-1]
    if (unsteady := _unsteady(shape, generator)) is not None:
        raise NotIntegrable(unsteady)
    if shape.broken:
        return _nothing(rows, width, "hard draws jump inside a cell of its noise, where other noise says")
    steps = orders(shape, generator, most)  # blocks x axes of steps [B], -1 where none agrees
    found = _nothing(rows, width, "")
    keys = torch.stack([torch.zeros(rows, dtype=torch.long), *(own for block in steps for own in block)])
    plans = []
    for key in torch.unique(keys, dim=1).T:
        own = (keys == key[:, None]).all(0).nonzero()[:, 0]
        chosen = iter(key[1:].tolist())
        plan = [[next(chosen) for _ in block] for block in steps]
        plans.append((count(design, plan, own), plan, own))
    spent = 0.0
    for nodes, plan, own in sorted(plans, key=lambda planned: planned[0] * len(planned[2])):  # the cheap ones first
        numbers = nodes * len(own) * design.size / rows
        if any(step < 0 for block in plan for step in block):
            reason = "no rule converges along one of its noise's coordinates"
        elif numbers > most or spent + numbers > TOGETHER * most:
            reason = f"the product over its noise has {nodes:.2g} nodes"
        else:
            reason, spent = None, spent + numbers
            mean, variance, size = product(design, plan, own)
            tolerance, spread = torch.zeros_like(mean), torch.zeros_like(mean)
            if any(step for block in plan for step in block):
                coarse = [[max(step - 1, min(step, 1)) for step in block] for block in plan]
                other, other_variance, _ = product(design, coarse, own)
                tolerance, spread = (mean - other).abs(), (variance - other_variance).abs()
            eps = torch.finfo(torch.float64).eps
            found.mean[own], found.variance[own] = mean, variance
            found.tolerance[own] = tolerance + 64 * eps * size
            found.spread[own] = spread + 64 * eps * size.square()
            found.nodes[own] = nodes
        for row in own.tolist():
            found.reasons[row] = reason
    return found


def count(design: Design, plan: Sequence[Sequence[int]], rows: Tensor) -> float:
    """Nodes of a product, in cells that some of the rows have."""
    nodes = 1.0
    for block, own in zip(design.blocks, plan, strict=True):
        nodes *= int((block.weight[:, rows] > 0).any(1).sum())
        for domain, step in zip(block.domains, own, strict=True):
            nodes *= len(rule(domain, max(step, 0), block.shape).at)
    return nodes


def _unsteady(shape: Shape, generator: torch.Generator) -> str | None:
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
            cell = at.cell if at.cell.dim() == 2 else at.cell.unsqueeze(1)
            there &= block.weight[cell, design.rows] > 0
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
    x = at.x.expand(-1, at.cell.shape[1] if at.cell.dim() == 2 else 1, -1).clone()
    rest = at.rest.expand_as(x).clone()
    for axis, middle in enumerate(shape.design.middle(block)):
        active = torch.tensor([Axis(index, cell, axis) in shape.active for cell in range(block.cells)])
        idle = ~active[at.cell if at.cell.dim() == 2 else at.cell.unsqueeze(1)]
        x[..., axis] = torch.where(idle, middle, x[..., axis])
        rest[..., axis] = torch.where(idle, 1 - middle, rest[..., axis])
    return At(at.cell, x, rest)


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
        values, _ = design(along(design, now, points, base))
        start = 0
        for axis, (at, _) in zip(now, points, strict=True):
            stop = start + PLACES * len(at)
            lines[axis].take(step, values[start:stop].unflatten(0, (PLACES, len(at))))
            start = stop
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
        self.probe: tuple[Tensor, Tensor] | None = None
        self.fits = True

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
            self.probe = self.graded[0], values
            return
        own = rule(self.domain, step, self.shape)
        before = self.powers
        chance = self.chance[:, None]
        self.powers = [torch.einsum("t,ptbk->pbk", own.weight, values**k) * chance for k in (1, 2)]
        self.sizes = [torch.einsum("t,ptbk->pbk", own.weight, values.abs() ** k).amax(-1) * self.chance for k in (1, 2)]
        if before is not None:
            self.errors = [(one - old).abs().amax(-1) for one, old in zip(self.powers, before, strict=True)]
        if self.domain == "unit" and is_polynomial(step):
            assert self.probe is not None
            at, seen = self.probe
            foretold = torch.einsum("nt,ptbk->pnbk", interpolation(own.at, at), values)
            largest = torch.maximum(values.abs().amax((1, 3)), seen.abs().amax((1, 3)))  # places x B
            self.ends = ((foretold - seen).abs().amax((1, 3)) <= FORETOLD * largest + 1e-300).all(0)
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


def product(design: Design, plan: Sequence[Sequence[int]], rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, variance and mean size [b, K] over all combinations of cells and nodes."""
    blocks = []
    for block, own in zip(design.blocks, plan, strict=True):
        rules = [rule(domain, step, block.shape) for domain, step in zip(block.domains, own, strict=True)]
        cells = (block.weight[:, rows] > 0).any(1).nonzero()[:, 0]
        grid = torch.cartesian_prod(cells, *[torch.arange(len(r.at)) for r in rules])
        grid = grid.reshape(-1, 1 + block.axes)
        x, rest = (
            torch.stack([r[part][grid[:, 1 + axis]] for axis, r in enumerate(rules)], -1)
            if rules
            else torch.empty(len(grid), 0, dtype=torch.float64)
            for part in (0, 1)
        )
        inside = torch.ones(len(grid), dtype=torch.float64)
        for axis, r in enumerate(rules):
            inside = inside * r.weight[grid[:, 1 + axis]]
        weight = block.weight[:, rows][grid[:, 0]] * inside[:, None]  # n x b
        blocks.append((At(grid[:, 0], x.unsqueeze(1), rest.unsqueeze(1)), weight))
    nodes = math.prod(len(weight) for _, weight in blocks)
    shift: Tensor | None = None
    total = second = size = torch.zeros((), dtype=torch.float64)
    piece = 2**18 // max(1, len(rows)) + 1
    for start in range(0, nodes, piece):
        index = torch.arange(start, min(start + piece, nodes))
        points, weights = [], torch.ones(len(index), len(rows), dtype=torch.float64)
        for at, weight in blocks:
            mine = index % len(weight)
            index = index // len(weight)
            points.append(At(at.cell[mine], at.x[mine], at.rest[mine]))
            weights = weights * weight[mine]
        values, _ = design(points, rows)
        weights = weights[..., None]
        values = torch.where(weights > 0, values, 0.0)
        if shift is None:  # the variance is summed up around about the mean
            shift = (weights * values).sum(0) / weights.sum(0).clamp_min(1e-300)
        moved = weights * (values - shift)
        total, second = total + moved.sum(0), second + (moved * (values - shift)).sum(0)
        size = size + (weights * values.abs()).sum(0)
    assert shift is not None
    return shift + total, (second - total.square()).clamp_min(0), size
