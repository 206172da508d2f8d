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
from estimators.integration.ladder import count, orders
from estimators.integration.rules import rule
from estimators.integration.source import NotIntegrable
from estimators.integration.steady import unsteady
from estimators.integration.structure import Shape, explore

MOST_NUMBERS = 3e7
"""Nodes times problems times numbers of noise, that a product may have."""
TOGETHER = 3
"""How many times that all products of an integrand may have together."""


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
    if (reason := unsteady(shape, generator)) is not None:
        raise NotIntegrable(reason)
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
