"""An estimator as a function of its noise's blocks: which blocks there are, and its value at any of their points."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from estimators.integration.blocks import At, Block, Choice, Normals, Single
from estimators.integration.races import Race
from estimators.integration.rules import INSIDE
from estimators.integration.source import NotIntegrable, Site, Source, Values

NUMBERS_AT_ONCE = 2**21
"""Numbers of noise and of gradients in flight, which bounds memory."""
MOST_OPTIONS = 10_000
MOST_ORDERED = 4
"""Classes of a race whose whole order is told apart, n! cells."""


class Evaluated(NamedTuple):
    """An integrand at N nodes of b problems."""

    values: Tensor
    """[N, b, K], what is integrated."""
    signature: Tensor
    """[N, b], numbers that change where a hard draw does that f was asked about, and nowhere else."""
    met: Tensor
    """[N, b, M], share of these draws that have each of the M outcomes of `Integrand.chances`; M is 0 if it is None."""


class Integrand(Protocol):
    """What is integrated over the noise, for B problems at once."""

    problems: int
    """B."""
    logits: Tensor | None
    """[B, *event], of a q whose draws are compared with them; None for others."""
    chances: Tensor | None
    """[B, M], chances of the outcomes of q's latents that hard draws are to meet; None if they are not looked at."""

    def __call__(self, source: Source, rows: Tensor) -> Evaluated:
        """The integrand at the source's N nodes, for len(rows) problems.

        Raises:
            NotIntegrable: the source says so, or the estimator raises.
        """


@dataclass
class Design:
    """An integrand with the blocks of its noise."""

    integrand: Integrand
    sites: Sequence[Site]
    blocks: list[Block]

    @property
    def rows(self) -> Tensor:
        """All B."""
        return torch.arange(self.integrand.problems)

    @property
    def size(self) -> int:
        """Numbers that one node takes in all rows."""
        return self.integrand.problems * (4 + sum(site.numbers for site in self.sites))

    def __call__(self, points: Sequence[At], rows: Tensor | None = None) -> Evaluated:
        """The integrand at points of all blocks, or one point of a block for all; chunk by chunk."""
        rows = self.rows if rows is None else rows
        count = max((len(at.cell) for at in points), default=1)
        numbers = 64 + sum(site.numbers for site in self.sites)
        at_once = max(64, NUMBERS_AT_ONCE // (len(rows) * numbers))
        pieces = -(-count // at_once)
        size = _prime(-(-count // pieces))
        found = []
        for start in range(0, count, size):
            index = torch.arange(start, start + size).clamp_max(count - 1)
            here = [at.of(index if len(at.cell) == count else index[:1] * 0, rows) for at in points]
            given = self._values(here, rows, size)
            source = Source(size, len(rows), given, self.sites)
            part = self.integrand(source, rows)
            if len(source.sites) != len(self.sites):
                raise NotIntegrable("it draws less noise in one call than in the next")
            kept = min(size, count - start)
            found.append(Evaluated(*(numbers[:kept] for numbers in part)))
        return Evaluated(*(torch.cat(parts) for parts in zip(*found, strict=True)))

    def _values(self, points: Sequence[At], rows: Tensor, count: int) -> list[Values]:
        parts = [torch.empty(2, count, len(rows), site.numbers, dtype=torch.float64) for site in self.sites]
        for block, at in zip(self.blocks, points, strict=True):
            numbers = list(block.numbers)
            for part, values in zip(parts[block.site], block.place(at, rows), strict=True):
                part[..., numbers] = values
        return [Values(*part) for part in parts]

    def random(self, count: int, generator: torch.Generator) -> list[At]:
        """Points in cells that are equally likely, whatever their chances."""
        points = []
        for block in self.blocks:
            cell = torch.randint(block.cells, (count,), generator=generator)
            x = torch.rand(count, 1, block.axes, generator=generator, dtype=torch.float64)
            for axis, domain in enumerate(block.domains):
                if domain == "normal":
                    x[..., axis] = torch.special.ndtri(x[..., axis])
                elif domain == "gamma":
                    x[..., axis] = block.shape * (0.3 + 2 * x[..., axis])
            points.append(At(cell, x, 1 - x))
        return points

    def middle(self, block: Block) -> Tensor:
        """[m], the node of each coordinate that stands for all others where nothing depends on it."""
        return torch.tensor([block.shape if d == "gamma" else INSIDE for d in block.domains], dtype=torch.float64)


def _prime(least: int) -> int:
    """The least prime that no other dim has for a size, so that the rows of noise are recognised."""
    candidate = max(least, 53) | 1
    while any(candidate % d == 0 for d in range(3, int(candidate**0.5) + 1, 2)):
        candidate += 2
    return candidate


def recorded(integrand: Integrand) -> list[Site]:
    """The calls that draw its noise.

    Raises:
        NotIntegrable: rows cannot be told, or no rule is known for a source of noise.
    """
    source = Source(53, integrand.problems)
    integrand(source, torch.arange(integrand.problems))
    return source.sites


Way = Callable[[], list[Block]]
"""Makes the blocks of one way to see a site's numbers: few of the ways are tried."""


def candidates(index: int, site: Site, integrand: Integrand) -> list[Way]:
    """Ways to see the numbers of a site as blocks, the likeliest first."""
    rows, last = integrand.problems, site.rest[-1] if site.rest else 0
    guide = site.guide
    if guide is None and integrand.logits is not None and site.rest == integrand.logits.shape[1:]:
        guide = integrand.logits
    numbers = range(site.numbers)
    if site.kind == "choice":
        if site.options > MOST_OPTIONS:
            raise NotIntegrable(f"{site.source} chooses one of {site.options} options")
        return [lambda: [Choice.of(index, number, site.options, rows) for number in numbers]]
    if site.kind == "normal":
        count = site.lead[0] if site.lead else 1
        each = site.numbers // count

        def apart(cut: bool) -> list[Block]:
            return [Normals.of(index, (number,), rows, cut) for number in numbers]

        def turned() -> list[Block]:
            own = (tuple(number + each * i for i in range(count)) for number in range(each))
            return [Normals.of(index, together, rows, True) for together in own]

        return [partial(apart, False), *([turned] if count > 1 else []), partial(apart, True)]
    period = math.prod(site.rest)
    if site.cuts is not None:
        at = site.cuts.reshape(len(site.cuts), rows, -1)  # K x B x numbers of a draw
        return [lambda: [Single.cut_at(index, number, rows, *at[..., number % period]) for number in numbers]]
    if guide is None:
        return [lambda: [Single.cut_at(index, number, rows) for number in numbers]]
    own = guide.reshape(rows, -1)

    def singles(*signs: float) -> list[Block]:
        return [
            Single.cut_at(index, number, rows, *(sign * own[:, number % period] for sign in signs))
            for number in numbers
        ]

    ways: list[Way] = [partial(singles, *signs) for signs in ((1.0,), (-1.0,), (1.0, -1.0), ())]
    vectors = integrand.logits is not None and integrand.logits.dim() == 3 and last == integrand.logits.shape[-1]
    if not last or not (site.kind == "race" or vectors):
        return ways

    def races(ordered: bool, flipped: bool) -> list[Block]:
        rounded = site.source != "noise"
        return [
            Race.of(index, tuple(range(n, n + last)), own[:, n % period : n % period + last], ordered, flipped, rounded)
            for n in range(0, site.numbers, last)
        ]

    orders = ((False, False), (False, True), (True, False))
    return [*(partial(races, *how) for how in orders if not how[0] or last <= MOST_ORDERED), *ways]
