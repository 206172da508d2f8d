"""The noise of an estimator, recorded once and then handed out as somebody else decides.

Both doors are watched: the methods of `Noise`, and what a third party draws from torch itself. A number belongs to the
row of q in whose place it is drawn, so that the leading dims [N, B], N nodes of B problems, must be found in its shape.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy
import torch
from torch import Generator, Tensor
from torch.overrides import TorchFunctionMode

from estimators.base import Estimator
from estimators.integration.draws import SOURCES, axis_of, standard
from estimators.noise import LEAST, Noise, gumbel_of, precision


class NotIntegrable(Exception):
    """The noise cannot be integrated over; the message says why."""


class Site(NamedTuple):
    """One call that draws noise."""

    kind: str
    """uniform, race (uniform numbers that decide as Gumbel noise), normal or choice."""
    source: str
    """What was called, such as torch.rand."""
    lead: tuple[int, ...]
    """Dims before the rows."""
    rest: tuple[int, ...]
    """Dims after the rows."""
    guide: Tensor | None
    """[B, *rest], logits that the numbers are drawn for, where they are known and the same at all nodes."""
    options: int = 0
    """Of a choice."""
    cuts: Tensor | None = None
    """[K, B, *rest], logits of the places that each uniform number is compared with, where they are known and the same
    at all nodes."""

    @property
    def numbers(self) -> int:
        """Numbers a row."""
        return math.prod(self.lead) * math.prod(self.rest)

    @property
    def like(self) -> tuple[str, tuple[int, ...], tuple[int, ...], int]:
        """What must be the same in every call."""
        return self.kind, self.lead, self.rest, self.options


class Values(NamedTuple):
    """Numbers of a site, [N, B, numbers]."""

    at: Tensor
    """Uniform or normal numbers, or the option that is chosen."""
    rest: Tensor
    """1 minus the uniform numbers."""


class Source(TorchFunctionMode):
    """Noise of N nodes of B problems: random and recorded, or the values that it is given for the sites recorded.

    Args:
        nodes: N.
        problems: B.
        given: a site's values each; random ones by default.
        expected: the sites that the values are of.
        single: hand out numbers in single precision too where they are asked for: they are not integrated over.
    """

    def __init__(
        self,
        nodes: int,
        problems: int,
        given: Sequence[Values] | None = None,
        expected: Sequence[Site] = (),
        *,
        single: bool = False,
    ) -> None:
        super().__init__()
        self.single = single
        self.rows, self.given, self.expected = (nodes, problems), given, expected
        self.sites: list[Site] = []
        self.failure: str | None = None
        self.random = numpy.random.default_rng(0)

    def noise(self, generator: Generator, context: Tensor | None) -> "Scripted":
        """The same source as the `Noise` of a call."""
        return Scripted(self, generator, context)

    def noise_of(self, estimator: Estimator, context: Tensor | None) -> "Generator | Scripted":
        """What to call an estimator with: one that overrides `forward` knows generators alone, and is watched."""
        generator = Generator().manual_seed(0)
        own = type(estimator).forward is Estimator.forward
        return self.noise(generator, context) if own else generator

    def fail(self, reason: str) -> NotIntegrable:
        """To be raised: whoever called the estimator finds the reason here."""
        self.failure = self.failure or reason
        return NotIntegrable(self.failure)

    def values(
        self,
        kind: str,
        source: str,
        shape: Sequence[int],
        guide: Tensor | None = None,
        options: int = 0,
        cuts: Tensor | None = None,
    ) -> Values:
        """The numbers of one call, in its shape."""
        where = axis_of(shape, self.rows)
        if where is None:
            raise self.fail(f"{source} draws numbers of shape {list(shape)}, whose rows cannot be told")
        lead, rest = tuple(shape[:where]), tuple(shape[where + 2 :])
        known = cuts is not None and len(cuts) > 0 and cuts.shape[1:] == (self.rows[1], *rest)
        site = Site(kind, source, lead, rest, self._constant(guide, rest), options, cuts if known else None)
        index = len(self.sites)
        self.sites.append(site)
        if self.given is None:
            flat = self._random(site)
        else:
            if index >= len(self.expected) or self.expected[index].like != site.like:
                raise self.fail(f"{source} draws other numbers in one call than in the next")
            flat = self.given[index]
        return Values(*(self._shaped(part, lead, rest) for part in flat))

    def _shaped(self, part: Tensor, lead: tuple[int, ...], rest: tuple[int, ...]) -> Tensor:
        shaped = part.reshape(*self.rows, *lead, *rest)
        return shaped.movedim((0, 1), (len(lead), len(lead) + 1)) if lead else shaped

    def _random(self, site: Site) -> Values:
        shape = (*self.rows, site.numbers)
        if site.kind == "normal":
            x = torch.from_numpy(self.random.standard_normal(shape))
        elif site.kind == "choice":
            x = torch.from_numpy(self.random.integers(0, site.options, shape))
        else:
            x = torch.from_numpy(self.random.uniform(0.01, 0.99, shape))
        return Values(x, 1 - x)

    def _constant(self, guide: Tensor | None, rest: tuple[int, ...]) -> Tensor | None:
        """A guide that all nodes share, [B, *rest]; one that depends on earlier noise guides nowhere."""
        if guide is None or guide.shape != (*self.rows, *rest):
            return None
        guide = guide.detach().double()
        return guide[0].clone() if bool((guide == guide[0]).all()) else None

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        name = SOURCES.get(func)
        return func(*args, **kwargs) if name is None else standard(self, name, func, args, kwargs)


class Scripted(Noise):
    """`Noise` whose numbers come from a `Source`."""

    def __init__(self, source: Source, generator: Generator, context: Tensor | None) -> None:
        super().__init__(generator, context)
        self.source = source

    def _uniform(self, kind: str, count: int, like: Tensor) -> Values:
        found = self.source.values(kind, "noise", (count, *like.shape), like)
        return Values(*(part.clamp_min(1e-300) for part in found))

    def odds_to_compare(self, count: int, like: Tensor) -> Tensor:
        u, rest = self._uniform("uniform", count, like)
        return (u / rest).to(precision(like))

    def odds(self, count: int, like: Tensor) -> Tensor:
        return self.odds_to_compare(count, like).clamp_min(LEAST)

    def odds_among(self, count: int, like: Tensor, places: Callable[[Tensor], Tensor]) -> Tensor:
        cuts = None
        if like.shape[:2] == self.source.rows and bool((like == like[0]).all()):  # not of what earlier noise decides
            odds = places(like[0].detach().double())
            cuts = torch.where(odds < LEAST, 0.0, odds).log()  # numbers below the least decide as that one does
        u, rest = self.source.values("uniform", "noise", (count, *like.shape), cuts=cuts)
        return (u.clamp_min(1e-300) / rest.clamp_min(1e-300)).to(precision(like)).clamp_min(LEAST)

    def uniform(self, count: int, like: Tensor) -> Tensor:
        dtype = precision(like)
        return self._uniform("uniform", count, like).at.to(dtype).clamp(LEAST, 1 - torch.finfo(dtype).eps / 2)

    def normal(self, count: int, like: Tensor) -> Tensor:
        return self.source.values("normal", "noise", (count, *like.shape)).at.to(precision(like))

    def gumbel(self, count: int, like: Tensor) -> Tensor:
        u, rest = self._uniform("race", count, like)
        return gumbel_of((u / rest).to(precision(like)).clamp_min(LEAST))

    def gamma(self, count: int, concentration: Tensor) -> Tensor:
        """No rule: a Gamma number is made of as many numbers as it takes until one is not rejected."""
        raise self.source.fail("Gamma numbers are drawn by rejection, which no rule integrates over")

    def choice(self, options: int, shape: Sequence[int], device: torch.device) -> Tensor:
        return self.source.values("choice", "noise", tuple(shape), options=options).at.long().to(device)
