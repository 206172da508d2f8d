"""Which rule each coordinate needs: what two steps of a ladder agree on along it, at random places of all others."""

import functools
import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from estimators.integration.agreement import Foreteller, Line, middle_of
from estimators.integration.blocks import At
from estimators.integration.design import Design
from estimators.integration.lines import PLACES, Axis, on_lines
from estimators.integration.product import Plans, count
from estimators.integration.rules import STEPS
from estimators.integration.structure import ENDS, Shape, grade

SEARCH = 2
"""How much of what a product may take its search for rules may."""
TOGETHER = 3
"""How many times what a product may take all products of an integrand may take together."""
GRADINGS = 2
"""How often cells are cut towards their ends where no rule converges."""


def coarsest(shape: Shape) -> float:
    """Nodes of the cheapest row's product by the coarsest rules."""
    ones = torch.ones_like(shape.design.rows)
    return float(_nodes(shape, _worst(shape, dict.fromkeys(shape.active, ones))).min())


class Orders(NamedTuple):
    """Which rules an integrand needs."""

    steps: list[list[Tensor]]
    """For each coordinate of each block the step of its ladder at which two rules agree along it, [B]; or -1."""
    too_many: Tensor
    """[B], nodes that the product of a row has at least, where they are so many that the search was given up; or 0."""


def orders(shape: Shape, generator: torch.Generator, most: float) -> Orders:
    """The rule for each coordinate; cells in which none converges are cut towards their ends, and tried again."""
    design = shape.design
    steps = [[torch.zeros_like(design.rows) for _ in block.domains] for block in design.blocks]
    too_many = torch.zeros(len(design.rows), dtype=torch.float64)
    left = torch.ones_like(design.rows, dtype=torch.bool)
    for attempt in range(GRADINGS + 1):
        # The finest rule is for cells that are cut already: by a cut more is won than by more nodes.
        last = max(STEPS.values()) - (2 if attempt < GRADINGS else 1)
        reached, beyond = climbed(shape, generator, most, last, left)
        too_many = torch.maximum(too_many, beyond)
        for own, now in zip(itertools.chain(*steps), itertools.chain(*_worst(shape, reached)), strict=True):
            own[:] = torch.where(left, now, own)
        # A cell that is cut towards its ends has as many times the nodes at least.
        after = (len(ENDS) + 1) * _nodes(shape, [[torch.where(own < 0, 3, own) for own in block] for block in steps])
        failed = functools.reduce(torch.logical_or, (own < 0 for own in itertools.chain(*steps)), ~left & left)
        left &= failed & (too_many == 0) & (after * design.size / len(left) <= most)
        if attempt == GRADINGS or not bool(left.any()):
            break
        for axis in sorted(reached, reverse=True):
            if design.blocks[axis.block].domains[axis.axis] == "unit" and bool(((reached[axis] < 0) & left).any()):
                grade(shape, axis, (reached[axis] < 0) & left)
    return Orders(steps, too_many)


def _worst(shape: Shape, reached: Mapping[Axis, Tensor]) -> list[list[Tensor]]:
    """For each coordinate, the largest step [B] of all its cells, or -1 where some cell has none."""
    steps = [[torch.zeros_like(shape.design.rows) for _ in block.domains] for block in shape.design.blocks]
    for axis, step in reached.items():
        own = steps[axis.block][axis.axis]
        own[:] = torch.where((own < 0) | (step < 0), -1, torch.maximum(own, step))
    return steps


def _nodes(shape: Shape, steps: Plans) -> Tensor:
    """[B], of each row's product."""
    return count(shape.design, shape.parts, steps, shape.design.rows)


def climbed(
    shape: Shape, generator: torch.Generator, most: float, last: int, wanted: Tensor
) -> tuple[dict[Axis, Tensor], Tensor]:
    """Steps of ladders up to a last one, for wanted rows [B].

    Returns:
        For each active coordinate of a cell, the step [B] at which its ladder's last two rules agree along it, or -1;
        and see `Orders.too_many`.
    """
    design = shape.design
    base = _places(design, generator)
    foreteller = Foreteller(generator)
    lines = {axis: Line(design, axis, foreteller) for axis in sorted(shape.active)}
    # A cell that a row does not have takes any step.
    reached = {axis: torch.where((line.chance > 0) & wanted, -1, 0) for axis, line in lines.items()}
    places = {axis: 1 if _alone(shape, axis) else PLACES for axis in lines}
    too_many = torch.zeros(len(wanted), dtype=torch.float64)
    numbers = 0.0
    for step in range(last + 1):
        waiting = {a: (own < 0) & (too_many == 0) for a, own in reached.items() if step < STEPS[lines[a].domain]}
        now = [axis for axis, own in waiting.items() if bool(own.any())]
        if not now:
            break
        rows = torch.stack([waiting[axis] for axis in now]).any(0).nonzero()[:, 0]  # those that wait for a step
        points = {axis: lines[axis].points(step) for axis in now}
        a_point = design.size * len(rows) / design.integrand.problems
        numbers += a_point * sum(places[axis] * len(at) for axis, (at, _) in points.items())
        if numbers > SEARCH * most:  # what is left would take more than the search may
            least = _least(shape, reached, step)
            waits = torch.stack([waiting[axis] for axis in now]).any(0)
            too_many = torch.where(waits, torch.maximum(least, too_many), too_many)
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
                middle = middle_of([lines[axis] for axis in own])
                for axis in own:
                    lines[axis].about(middle)
            continue
        for axis in now:
            good = lines[axis].agrees(
                [line for a, line in lines.items() if (a.block, a.axis) == (axis.block, axis.axis)]
            )
            reached[axis] = torch.where((reached[axis] < 0) & good, step, reached[axis])
        too_many = torch.maximum(too_many, _too_many(shape, reached, step, most))
    return reached, too_many


def _least(shape: Shape, reached: Mapping[Axis, Tensor], step: int) -> Tensor:
    """[B], nodes of each row's product where coordinates without a rule take this step, or their ladder's last."""
    least = _worst(shape, {axis: torch.where(own < 0, step, own) for axis, own in reached.items()})
    for block, own in zip(shape.design.blocks, least, strict=True):
        for domain, steps in zip(block.domains, own, strict=True):
            steps.clamp_(max=STEPS[domain] - 1)
    return _nodes(shape, least)


def _too_many(shape: Shape, reached: Mapping[Axis, Tensor], step: int, most: float) -> Tensor:
    """[B], least nodes of rows that wait for a higher step, if that is beyond what one product, or all together, may
    have, the cheap ones first; or 0."""
    waits = torch.stack([own < 0 for own in reached.values()]).any(0)
    nodes = _least(shape, reached, step + 1)
    numbers = nodes * shape.design.size / len(nodes)
    cheapest = numbers.sort()
    together = torch.empty_like(numbers).scatter(0, cheapest.indices, cheapest.values.cumsum(0))
    return torch.where(waits & ((numbers > most) | (together > TOGETHER * most)), nodes, 0.0)


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


def _alone(shape: Shape, axis: Axis) -> bool:
    """Whether a coordinate is the only one of its part of the noise: then all places of the others are as good."""
    (part,) = (part for part in shape.parts if axis.block in part.blocks)
    return len(part.blocks) == 1 and all(one.axis == axis.axis for one in shape.active if one.block == axis.block)
