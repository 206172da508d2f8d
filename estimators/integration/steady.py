"""Whether an integrand is a function of its noise alone, and of no more of it than was seen."""

from collections.abc import Sequence

import torch
from torch import Tensor

from estimators.elsewhere import Elsewhere
from estimators.integration.blocks import At
from estimators.integration.design import Design
from estimators.integration.groups import everything
from estimators.integration.lines import EQUAL, apart, row_size
from estimators.integration.placed import spread
from estimators.integration.product import Part, elsewhere, every
from estimators.integration.source import Source
from estimators.integration.structure import Shape

CHECKED = 192
"""Random points at which it is checked that what is held fixed does not matter: it may matter in few cells alone."""
UNWATCHED = "it draws from the global generator of Python's random or of numpy, which nobody can hand numbers to"
BY_LAW = 1024
"""Of them, so many more as the noise's law has them."""


def unsteady(design: Design, generator: torch.Generator) -> str | None:
    """Why an integrand is no function of its noise alone; None if it is."""
    changing = "the same noise gives other numbers in another call or another place of the batch"
    with Elsewhere() as watched:
        design(design.random(1, generator))
    if watched.found:
        return UNWATCHED
    if not design.blocks:
        found = design.integrand(Source(CHECKED, design.integrand.problems), design.rows).values
        return changing if bool(((found - found[0]).abs().amax(-1) > EQUAL * row_size(found)).any()) else None
    points = design.random(CHECKED, generator)
    order = torch.randperm(CHECKED, generator=generator)[: CHECKED // 2]
    values = design(points).values
    again = design([At(*(part[order] for part in at)) for at in points]).values
    if bool(apart(again, values[order], torch.maximum(again, values[order]).abs().amax(-1)).any()):
        return changing
    return None


def unseen(shape: Shape, generator: torch.Generator) -> str | None:
    """Whether noise matters on which nothing seemed to depend; where parts interact after all, they are made one."""
    whole, design = everything(shape), shape.design
    # In cells that are equally likely, and again as its law has them: noise may matter in few of either.
    points, by_law = design.random(CHECKED, generator), spread(design.blocks, design.rows, BY_LAW, 0.0, generator)
    looked_at = [(at, design(at).values) for at in (points, by_law)]
    if any(_misses(shape, shape.parts, *one) for one in looked_at):
        if shape.parts == [whole] or any(_misses(shape, [whole], *one) for one in looked_at):
            return "it depends on noise on which it did not seem to"
        shape.parts = [whole]
    return None


def _misses(shape: Shape, parts: Sequence[Part], points: Sequence[At], values: Tensor) -> bool:
    """Whether the sum of functions of one group each, part by part, is something else than the integrand somewhere."""
    design = shape.design
    summed, largest = torch.zeros_like(values), values.abs()

    def add(times: int, at: Sequence[At]) -> None:
        nonlocal summed, largest
        if times:
            found = design(at).values
            summed, largest = summed + times * found, torch.maximum(largest, found.abs())

    add(1 - sum(len(part.copies) for part in parts), [elsewhere(design, index) for index in every(design)])
    for part in parts:
        for copy in part.copies:
            moved = list(points)
            for index, other in zip(part.blocks, copy, strict=True):
                moved[index] = points[other]
            add(1 - len(part.groups), shape.held(moved, part, []))
            for group in part.groups:
                add(1, shape.held(moved, part, group))
    there = torch.ones(len(values), design.integrand.problems, dtype=torch.bool)
    for block, at in zip(design.blocks, points, strict=True):
        there &= block.weight[at.by_row, design.rows] > 0
    return bool((apart(summed, values, largest.amax(-1)) & there).any())
