"""Means by scrambled Sobol points over the noise, where the integral itself cannot be had.

Points that fill the space evenly, scrambled anew in every replicate: each replicate's mean is unbiased, and what the
replicates differ by tells how exact it is (A. B. Owen, 1995; torch's scrambling is J. Matousek's, 1998). Where regions
of constant hard draws are few, their chances are summed up exactly and the points lie inside each region alone: most of
an estimator's variance is between regions. What polynomials of the noise explain is not sampled there either. Otherwise
a cell of a block is drawn more often than it comes if it is rare, and weighs less in return, so that rare outcomes are
met at all. Coordinates come from their law and from a wider one: half of a mean may lie where hardly a point by law is.
"""

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.quasirandom import SobolEngine

from estimators.integration.placed import Coordinates, at, cells, coordinates
from estimators.integration.product import Nodes, every, product
from estimators.integration.regression import cross_fitted, features
from estimators.integration.rules import STEPS, rule
from estimators.integration.structure import Shape

REPLICATES = 16
COUNTS = (64, 256, 1024, 4096)
"""Points in each replicate: inside each region, or, all over the noise, from the second on."""
EVEN = 0.25
"""Share of the points for which all cells are equally likely; over all noise less, the more blocks there are, since
their weights multiply."""
WIDELY = 0.25
"""Share of a coordinate's points that come from a wider law; over all noise less, the more coordinates matter."""


class Replicated(NamedTuple):
    """Mean, its standard error and the variance of K numbers in b problems, over replicates."""

    mean: Tensor
    """[b, K]."""
    error: Tensor
    """[b, K]."""
    variance: Tensor
    """[b, K], of the integrand."""


class Points:
    """Points over the noise, for some problems.

    Args:
        shape: of the integrand; that its parts are known lets them lie inside regions.
        rows: the problems.
        seed: of the scrambling.
        most: numbers of noise that points inside each region may take.
    """

    def __init__(self, shape: Shape, rows: Tensor, seed: int, most: float) -> None:
        self.shape, self.design, self.seed = shape, shape.uncut, seed
        self.inside = bool(shape.parts) and self._in_regions(COUNTS[0]) * len(rows) <= most
        self.counts = COUNTS if self.inside else COUNTS[1:]
        """How many points there may be in each replicate, in ascending order."""
        self.wide = {
            index: {a.axis for a in shape.active | shape.broken if a.block == index} for index in every(self.design)
        }
        """Coordinates of each block that matter inside a cell."""
        for part in shape.parts:
            for copy in part.copies:  # of which the first alone is looked at
                self.wide |= {other: self.wide[index] for index, other in zip(part.blocks, copy, strict=True)}

    def numbers(self, count: int) -> float:
        """Numbers of noise that a row takes in all replicates."""
        if self.inside:
            return self._in_regions(count)
        return REPLICATES * count * self.design.size / self.design.integrand.problems

    def _in_regions(self, count: int) -> float:
        nodes = sum(
            math.prod(self.design.blocks[index].regions for index in part.blocks) * (1 + len(part.groups) * count)
            for part in self.shape.parts
        )
        return REPLICATES * nodes * self.design.size / self.design.integrand.problems

    def replicated(self, rows: Tensor, count: int) -> Replicated:
        """Means of some of the problems, by so many points in each replicate."""
        return self._in_each(rows, count) if self.inside else self._everywhere(rows, count)

    def _in_each(self, rows: Tensor, count: int) -> Replicated:
        """By points inside each region: the same numbers in all of them, whose errors then often cancel."""
        blocks, everywhere = self.design.blocks, self.design.rows

        def placed(group: tuple[int, ...]) -> list[tuple[Tensor, Coordinates]]:
            """Of each block the number that draws its cell, and its coordinates."""
            laws = (_Laws(blocks[i].domains, blocks[i].shape, tuple(sorted(self.wide[i]))) for i in group)
            return _placed(self.seed, group[0], count, tuple(laws))

        @functools.cache
        def sets(group: tuple[int, ...], smooth: tuple[bool, ...]) -> Tensor:
            """[N, R], weights with polynomials of the coordinates of some blocks as control variates."""
            found = [one for _, one in placed(group)]
            known = [
                (one.x[:, axis], blocks[index].domains[axis])
                for index, one, own in zip(group, found, smooth, strict=True)
                for axis in sorted(self.wide[index])
                if own and blocks[index].domains[axis] != "gamma"
            ]
            weight = torch.stack([one.weight for one in found]).prod(0)
            x = torch.stack([x for x, _ in known], 1) if known else torch.zeros(len(weight), 0, dtype=torch.float64)
            return cross_fitted(features(x, [domain for _, domain in known]), weight, REPLICATES)

        def inside(group: Sequence[int], regions: Sequence[int]) -> Nodes:
            points, share = [], torch.ones(REPLICATES * count, len(rows), dtype=torch.float64)
            for index, region, (u, own) in zip(group, regions, placed(tuple(group)), strict=True):
                cell, in_cell = cells(blocks[index], u, everywhere, EVEN, region)
                points.append(at(cell, own))
                share = share * in_cell[:, rows]
            # Between a region's cells the integrand jumps.
            smooth = tuple(int((blocks[i].region == r).sum()) == 1 for i, r in zip(group, regions, strict=True))
            return Nodes(points, share[..., None] * sets(tuple(group), smooth)[:, None])

        found = product(self.design, self.shape.parts, inside, rows, REPLICATES)
        parts = (part.unflatten(1, (REPLICATES, -1)).unbind(1) for part in (found.mean, found.variance))
        return _over_replicates(*parts)

    def _everywhere(self, rows: Tensor, count: int) -> Replicated:
        """By points over all noise at once."""
        design = self.design
        dims = sum(1 + block.axes for block in design.blocks)
        even = min(EVEN, 1 / max(1, len(design.blocks)))
        often = min(WIDELY, 1 / max(1, sum(map(len, self.wide.values()))))
        means, variances = [], []
        for replicate in range(REPLICATES):
            left = _sobol(max(1, dims), count, self.seed, replicate, 0)
            placed, weights = [], torch.ones(count, len(rows), dtype=torch.float64)
            for index, block in enumerate(design.blocks):
                own, left = left.tensor_split([1 + block.axes], 1)
                cell, in_cell = cells(block, own[:, 0], rows, even)
                found = coordinates(block, own[:, 1:], self.wide[index], often)
                placed.append(at(_spread(cell, rows, design.integrand.problems), found))
                weights = weights * in_cell * found.weight.unsqueeze(1)
            values = design(placed, rows).values
            mean = (weights[..., None] * values).mean(0)
            means.append(mean)
            variances.append((weights[..., None] * values.square()).mean(0) - mean.square())
        return _over_replicates(means, variances)


class _Laws(NamedTuple):
    """Of a block's coordinates."""

    domains: tuple[str, ...]
    shape: float
    wide: tuple[int, ...]
    """Those that come from a wider law too."""


@functools.lru_cache(maxsize=32)
def _placed(seed: int, first: int, count: int, laws: tuple[_Laws, ...]) -> list[tuple[Tensor, Coordinates]]:
    """Of blocks with these laws the numbers that draw their cells, and their coordinates, over all replicates.

    Many integrands have the same, whose quantiles take long.
    """
    sizes = [1 + len(law.domains) for law in laws]
    u = torch.cat([_sobol(sum(sizes), count, seed, replicate, first) for replicate in range(REPLICATES)])
    return [
        (v[:, 0], coordinates(law, v[:, 1:], law.wide, WIDELY)) for law, v in zip(laws, u.split(sizes, 1), strict=True)
    ]


def _sobol(dims: int, count: int, seed: int, replicate: int, first: int) -> Tensor:
    """[count, dims], on (0, 1); `first` tells groups of blocks apart."""
    engine = SobolEngine(dims, scramble=True, seed=1000 * seed + replicate + 10**9 * first)
    return engine.draw(count, dtype=torch.float64).clamp(1e-12, 1 - 1e-12)


def _over_replicates(means: Sequence[Tensor], variances: Sequence[Tensor]) -> Replicated:
    every = torch.stack([*means])
    variance = torch.stack([*variances]).mean(0) + every.var(0, correction=0)
    return Replicated(every.mean(0), every.std(0) / math.sqrt(REPLICATES), variance.clamp_min(0))


def _spread(cell: Tensor, rows: Tensor, problems: int) -> Tensor:
    """Cells [N, len(rows)] at their rows' places in [N, problems]."""
    wide = torch.zeros(len(cell), problems, dtype=torch.long)
    wide[:, rows] = cell
    return wide


@functools.cache
def student(log_level: float, freedom: int) -> float:
    """The number that |Student's t| exceeds with chance exp(log_level), by bisection of its integral."""
    low, high = 0.0, 1e6
    log_scale = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2) - 0.5 * math.log(freedom * math.pi)
    nodes, _, weight = rule("unit", STEPS["unit"] - 1)
    for _ in range(80):
        middle = (low + high) / 2
        x = middle / nodes  # from the middle to infinity
        density = torch.exp(log_scale - (freedom + 1) / 2 * torch.log1p(x.square() / freedom))
        tail = 2 * float((weight * density * middle / nodes.square()).sum())
        low, high = (middle, high) if tail > math.exp(log_level) else (low, middle)
    return (low + high) / 2
