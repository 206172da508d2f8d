"""Mean and variance of an estimator by integrating over its noise, where the integral can be had.

The noise's blocks are independent, so that an expectation is a sum over all combinations of their cells and of a rule's
nodes in each coordinate on which the estimator depends. What one coordinate needs is found along it, at random places
of all others; the product is then taken with these rules and with coarser ones, and what they differ by is the
tolerance reached. Nothing is called converged by which a jump remains in a cell, which gives other numbers for
the same noise, or whose product has more nodes than can be paid.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from estimators.integration.design import Evaluated, Integrand
from estimators.integration.groups import parts_of
from estimators.integration.ladder import SEARCH, TOGETHER, coarsest, orders
from estimators.integration.product import Plan, Summed, by_rules, count, product
from estimators.integration.rules import is_polynomial
from estimators.integration.source import NotIntegrable
from estimators.integration.steady import unseen, unsteady
from estimators.integration.structure import Shape, explore

MOST_NUMBERS = 3e7
"""Nodes times problems times numbers of noise, that a product may have."""
A_PRODUCT = 5e4
"""Numbers of noise that take as long as what a product costs whatever its size."""
RARE, CAPTURED = 0.05, 0.99
"""Of an outcome rarer than the one, hard draws must meet this share."""
SELDOM = (
    "f meets a rare outcome of a latent less often than q has it: either the noise that decides it was not found, or f "
    "is asked at fixed points too"
)

NOT_FINITE = "it is not finite at all of its noise"


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
        shape = explore(integrand, generator, SEARCH * most)
        return Integration(_moments(shape, generator, most), shape)
    except NotIntegrable as error:
        return Integration(_nothing(integrand.problems, 1, str(error)), None)


def _nothing(rows: int, width: int, reason: str) -> Moments:
    mean, variance, tolerance, spread = torch.full((4, rows, width), torch.nan, dtype=torch.float64)
    return Moments(mean, variance, tolerance, spread, torch.zeros(rows), [reason] * rows)


def _moments(shape: Shape, generator: torch.Generator, most: float) -> Moments:
    design = shape.design
    rows = design.integrand.problems
    width = design(design.random(1, generator)).values.shape[-1]
    if (reason := unsteady(design, generator)) is not None:
        raise NotIntegrable(reason)
    if shape.broken:
        return _nothing(rows, width, "hard draws jump inside a cell of its noise, where other noise says")
    shape.parts = parts_of(shape, generator, most)
    if (reason := unseen(shape, generator)) is not None:
        raise NotIntegrable(reason)
    if (nodes := coarsest(shape)) * design.size / rows > most:
        return _nothing(rows, width, f"the product over its noise has {nodes:.2g} nodes")
    kept = {index for part in shape.parts for index in part.blocks}  # what holds for these holds for copies too
    shape.active = {axis for axis in shape.active if axis.block in kept}
    steps, too_many = orders(shape, generator, most)
    found = _nothing(rows, width, "no rule converges along one of its noise's coordinates")
    left = TOGETHER * most
    for nodes, plan, own in _plans(shape, steps):
        for row in own[too_many[own] > 0].tolist():
            found.reasons[row] = f"the product over its noise has more than {float(too_many[row]):.2g} nodes"
        if any(step < 0 for block in plan for step in block):
            continue
        for row in own.tolist():
            found.reasons[row] = f"the product over its noise has {nodes:.2g} nodes"
        numbers = max(nodes, 1.0) * design.size / rows
        own = own[: int(left / numbers)] if numbers <= most else own[:0]
        if len(own):
            left -= numbers * len(own)
            summed, found.tolerance[own], found.spread[own] = _within(shape, plan, own)
            found.mean[own], found.variance[own], found.nodes[own] = summed.mean, summed.variance, nodes
            seldom = _too_seldom(design.integrand.chances, summed.met, own)
            finite = torch.cat((summed.mean, summed.variance), 1).isfinite().all(1)
            for row, missed, known in zip(own.tolist(), seldom.tolist(), finite.tolist(), strict=True):
                found.reasons[row] = SELDOM if missed else None if known else NOT_FINITE
    return found


class Product(NamedTuple):
    """One product, of rows that take the same steps."""

    nodes: float
    """In each row."""
    plan: list[list[int]]
    rows: Tensor


def _plans(shape: Shape, steps: Sequence[Sequence[Tensor]]) -> list[Product]:
    """Products of all rows, the cheap ones first."""
    design = shape.design
    keys = torch.stack([torch.zeros_like(design.rows), *(own for block in steps for own in block)])
    alike = []
    for key in torch.unique(keys, dim=1).T:
        rows = (keys == key[:, None]).all(0).nonzero()[:, 0]
        chosen = iter(key[1:].tolist())
        alike.append(_product(shape, [[next(chosen) for _ in block] for block in steps], rows))
    plans = []
    for one in _merged(shape, sorted(alike, key=_cost)):
        apart = count(design, shape.parts, one.plan, one.rows)
        if _cost(one) > 2 * float(apart.sum()):  # rows with cells of their own
            plans += [Product(nodes, one.plan, row[None]) for nodes, row in zip(apart.tolist(), one.rows, strict=True)]
        else:
            plans.append(one)
    return sorted(plans, key=_cost)


def _product(shape: Shape, plan: list[list[int]], rows: Tensor) -> Product:
    return Product(float(count(shape.design, shape.parts, plan, rows, together=True)[0]), plan, rows)


def _cost(one: Product) -> float:
    return one.nodes * len(one.rows)


def _merged(shape: Shape, plans: Sequence[Product]) -> list[Product]:
    """The same with fewer products, of which some rows then take finer rules than they need, where that costs less."""
    found: list[Product] = []
    a_node = shape.design.size / shape.design.integrand.problems
    for one in plans:
        if found and not any(step < 0 for plan in (found[-1].plan, one.plan) for block in plan for step in block):
            finer = [
                [max(pair) for pair in zip(*two, strict=True)] for two in zip(found[-1].plan, one.plan, strict=True)
            ]
            both = _product(shape, finer, torch.cat((found[-1].rows, one.rows)).sort().values)
            if (_cost(both) - _cost(found[-1]) - _cost(one)) * a_node < A_PRODUCT:
                found[-1] = both
                continue
        found.append(one)
    return found


def _within(shape: Shape, plan: Plan, rows: Tensor) -> tuple[Summed, Tensor, Tensor]:
    """Moments of some rows, and the tolerances [b, K] of their mean and variance.

    They are what two rules differ by, which may agree by chance: the last one's error is also taken to be at least the
    square of the share that the two before differ by, since its nodes are more than twice those of the coarsest. That
    is for rules that converge little by little, and not for polynomials, which foretell other points at once.
    """

    def summed(own: Plan) -> Summed:
        return product(shape.design, shape.parts, by_rules(shape.design, own, rows), rows, known=known)

    known: dict[tuple[int, ...], Evaluated] = {}
    found = finer = summed(plan)
    eps = torch.finfo(torch.float64).eps
    sizes = found.size, found.size.square()
    errors = [64 * eps * size for size in sizes]
    gradual = [
        [not is_polynomial(domain, step) for domain, step in zip(block.domains, own, strict=True)]
        for block, own in zip(shape.design.blocks, plan, strict=True)
    ]
    for power in (1, 2):
        coarser_plan = [
            [max(step - 1, min(step, 1)) if power == 1 or by else step for step, by in zip(own, bys, strict=True)]
            for own, bys in zip(plan, gradual, strict=True)
        ]
        if coarser_plan == plan:
            break
        plan, coarser = coarser_plan, summed(coarser_plan)
        for k, size in enumerate(sizes):
            share = (finer[k] - coarser[k]).abs() / size.clamp_min(1e-300)
            errors[k] = errors[k] + size * share**power
        finer = coarser
    return found, errors[0], errors[1]


def _too_seldom(chances: Tensor | None, met: Tensor, rows: Tensor) -> Tensor:
    """[b], whether hard draws of these rows meet an outcome less often than q has it.

    A rare outcome may be decided by noise in a window so narrow that no point was in it.
    """
    if chances is None or not met.shape[-1]:
        return torch.zeros(len(rows), dtype=torch.bool)
    wanted = chances[rows]
    return ((wanted < RARE) & (met < CAPTURED * wanted)).any(1)
