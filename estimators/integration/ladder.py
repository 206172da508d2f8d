"""Which rule each coordinate needs: what two steps of a ladder agree on along it, at random places of all others."""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from estimators.integration.blocks import At
from estimators.integration.design import Design
from estimators.integration.lines import PLACES, ROUNDING, Axis, along_line, density, on_lines, points_on
from estimators.integration.product import count
from estimators.integration.rules import STEPS, is_polynomial, rule
from estimators.integration.structure import ENDS, Shape, grade

AGREED = 1e-9
"""Two steps of a rule along one coordinate agree where they differ by this share of what is integrated."""
AGREED_BEFORE = 1e-6
"""So much must the two steps before have agreed already: two rules that are both wrong may agree by chance."""
FORETOLD = {"unit": 1e-7, "normal": 1e-9, "gamma": 1e-9}
"""A polynomial through a rule's nodes foretells other points within this share of the largest number, each times its
density: those next to the ends of a cell, or in the tails, where no node is."""
SEARCH = 2
"""How much of what a product may take its search for rules may."""
GRADINGS = 2
"""How often cells are cut towards their ends where no rule converges."""


def coarsest(shape: Shape) -> float:
    """Nodes of the cheapest row's product by the coarsest rules."""
    return _least_at(shape, _active(shape), 1)


def _active(shape: Shape) -> list[list[int]]:
    """For each coordinate of each block, 1 if it is active in some cell."""
    return [
        [int(any(a.block == i and a.axis == axis for a in shape.active)) for axis in range(block.axes)]
        for i, block in enumerate(shape.design.blocks)
    ]


def orders(shape: Shape, generator: torch.Generator, most: float) -> list[list[Tensor]]:
    """For each coordinate, the step of its ladder at which two rules agree along it, [B]; -1 where none does.

    Cells in which none does are cut towards their ends, and tried again.
    """
    design = shape.design
    rows = design.integrand.problems
    reached: dict[Axis, Tensor] = {}
    for attempt in range(GRADINGS + 1):
        least = _active(shape)
        # A step that no single problem could pay in all coordinates need not be tried.
        steps_paid = max(
            step
            for step in range(1, max(STEPS.values()))
            if step == 1 or _least_at(shape, least, step) * design.size / rows <= most
        )
        # The finest rule is for cells that are cut already: by a cut more is won than by more nodes.
        last = max(STEPS.values()) - (2 if attempt < GRADINGS else 1)
        reached = climbed(shape, generator, most, min(steps_paid + 1, last))
        failed = {axis: (own < 0) for axis, own in reached.items() if bool((own < 0).any())}
        # A cell that is cut towards its ends has as many times the nodes at least.
        after = (len(ENDS) + 1) * _least_at(shape, least, 3)
        if not failed or attempt == GRADINGS or after * design.size / rows > most:
            break
        for axis in sorted(failed, reverse=True):
            if design.blocks[axis.block].domains[axis.axis] == "unit":
                grade(shape, axis, failed[axis])
    steps = [[torch.zeros(rows, dtype=torch.long) for _ in block.domains] for block in design.blocks]
    for axis, step in reached.items():
        own = steps[axis.block][axis.axis]
        own[:] = torch.where((own < 0) | (step < 0), -1, torch.maximum(own, step))
    return steps


def _least_at(shape: Shape, active: Sequence[Sequence[int]], step: int) -> float:
    """Nodes of the cheapest row's product with this step, or the last there is, in all active coordinates."""
    plan = [
        [min(step, STEPS[domain] - 1) * one for domain, one in zip(block.domains, own, strict=True)]
        for block, own in zip(shape.design.blocks, active, strict=True)
    ]
    return float(count(shape.design, shape.parts, plan, shape.design.rows).min())


def climbed(shape: Shape, generator: torch.Generator, most: float, steps: int) -> dict[Axis, Tensor]:
    """For each active coordinate of a cell, the step [B] at which its ladder's last two rules agree along it, or -1."""
    design = shape.design
    base = _places(design, generator)
    lines = {axis: Line(design, axis) for axis in sorted(shape.active)}
    # A cell that a row does not have takes any step.
    reached = {axis: torch.where(line.chance > 0, -1, 0) for axis, line in lines.items()}
    places = {axis: 1 if _alone(shape, axis) else PLACES for axis in lines}
    numbers = 0.0
    for step in range(min(steps + 1, max(STEPS.values()))):
        now = [a for a, line in lines.items() if step < STEPS[line.domain] and bool((reached[a] < 0).any())]
        if not now:
            break
        rows = torch.stack([reached[axis] < 0 for axis in now]).any(0).nonzero()[:, 0]  # those that wait for a step
        points = {axis: lines[axis].points(step, generator) for axis in now}
        a_point = design.size * len(rows) / design.integrand.problems
        numbers += a_point * sum(places[axis] * len(at) for axis, (at, _) in points.items())
        if numbers > SEARCH * most:
            break
        for many in {places[axis] for axis in now}:
            own = [axis for axis in now if places[axis] == many]
            spots = [At(*(part[:many] for part in at)) for at in base]
            for axis, (values, _) in zip(
                own, on_lines(design, own, [points[a] for a in own], spots, rows), strict=True
            ):
                lines[axis].take(step, values, rows)
        if step == 0:
            for own in _by_coordinate(now):
                middle = _middle([lines[axis] for axis in own])
                for axis in own:
                    lines[axis].about(middle)
            continue
        for axis in now:
            good = lines[axis].agrees(
                [line for a, line in lines.items() if (a.block, a.axis) == (axis.block, axis.axis)]
            )
            reached[axis] = torch.where((reached[axis] < 0) & good, step, reached[axis])
    return reached


def _places(design: Design, generator: torch.Generator) -> list[At]:
    """Random places of all coordinates, which take the regions that a row has in turn: each may weigh as much."""
    places, stride = [], 1
    for block, at in zip(design.blocks, design.random(PLACES, generator), strict=True):
        there = block.chance > 0  # regions x B
        anyhow = torch.randint(1000, (PLACES,), generator=generator)
        turn = (torch.arange(PLACES) // stride if stride < PLACES else anyhow)[:, None] % there.sum(0)
        stride *= block.regions
        region = (there.cumsum(0)[None] == turn[:, None] + 1).int().argmax(1)  # places x B: the turn-th that there is
        places.append(At(block.likeliest[region, design.rows], *at[1:]))
    return places


def _by_coordinate(axes: Sequence[Axis]) -> list[list[Axis]]:
    """Those of all cells of one coordinate together."""

    def coordinate(axis: Axis) -> tuple[int, int]:
        return axis.block, axis.axis

    return [[*own] for _, own in itertools.groupby(sorted(axes, key=coordinate), coordinate)]


def _middle(lines: Sequence["Line"]) -> Tensor:
    """[places, B, K], about the mean over the cells of one coordinate, at each place of the others."""
    chance = sum((line.chance for line in lines), torch.zeros_like(lines[0].chance)).clamp_min(1e-300)
    found = torch.zeros(())
    for line in lines:
        likely = density(line.domain, line.shape, line.graded[0])
        mean = torch.einsum("t,ptbk->pbk", likely / likely.sum(), line.seen)
        found = found + mean * (line.chance / chance)[:, None]
    return found


def _alone(shape: Shape, axis: Axis) -> bool:
    """Whether a coordinate is the only one of its part of the noise: then all places of the others are as good."""
    (part,) = (part for part in shape.parts if axis.block in part.blocks)
    return len(part.blocks) == 1 and all(one.axis == axis.axis for one in shape.active if one.block == axis.block)


class Line:
    """An integrand along one coordinate of a cell, by the rules of a ladder, at some places of the others."""

    def __init__(self, design: Design, axis: Axis) -> None:
        block = design.blocks[axis.block]
        self.block, self.axis = block, axis.axis
        self.domain, self.shape = block.domains[axis.axis], block.shape
        self.chance = block.weight[axis.cell]  # B
        self.powers: list[Tensor] | None = None
        self.sizes: list[Tensor] = []
        self.errors: list[list[Tensor]] = []
        self.foretold: Tensor | None = None

    def points(self, step: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Nodes of a rule, with 1 minus them; at step 0 graded ones, which the others must foretell."""
        if step == 0:
            self.graded = points_on(self.block, self.axis, generator)
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
            foretold = torch.einsum("nt,ptbk->pnbk", interpolation(own.at, self.graded[0]), values)
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
