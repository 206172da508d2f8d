"""What is certified: an estimator with its options, for one family of q."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Generator, Tensor

from estimators.base import Estimator
from estimators.checks.grid import DOUBLE, Grid
from estimators.checks.sampling import Prepared, call, gradients
from estimators.contract import Broken
from estimators.entry import Entry
from estimators.families import Family, family_named
from estimators.labels import label_of

CONTEXT = 4
"""Size of the context that input-dependent baselines get."""
QUICK = 2**12
"""Draws a problem up to which a certificate is a quick one."""
MANY_SAMPLES = (5, 8)
"""Numbers of samples, an odd and an even one, beyond the few that are tried on problems of all sizes."""
FEW_LEVELS = (1.0, 6.0)
SIZES = (-1e6, 1e-6)
"""Sizes of costs, beside those of about 1."""
WARM_UP = 120
"""Training steps before an estimator with state is sampled, so that whatever starts late has started."""
PERTURBED, LEARNED = "perturbed", "learned"
"""How own parameters were moved before sampling: perturbed in one grid, learned in the next."""
SHARE = 0.5
"""An own parameter is perturbed by this share of its length, or by this if the length is below 1: a wrong term that it
multiplies would not show while it is 0."""
LEARNING_RATE = 1e-2
"""Step size of sign descent on an own parameter: each number moves by it, against its loss's recent mean gradient."""


@dataclass(frozen=True, eq=False)
class Subject:
    """An estimator, its options, a family, and how much may be spent on it."""

    entry: Entry
    family: str
    options: Mapping[str, Any]
    seed: int
    draws: int
    """Draws a problem at most."""
    alpha: float
    """Chance that any statistical test of this subject refutes it if it is right."""
    workers: int

    @property
    def label(self) -> str:
        """The estimator as a person types it, and the family."""
        return f"{label_of(self.entry.name, self.options)}-{self.family}"

    @property
    def kind(self) -> Family:
        """The family itself."""
        return family_named(self.family)

    @property
    def unbiased(self) -> bool:
        """Whether it is declared unbiased with these options."""
        return self.entry.claims_unbiased(self.options)

    @cached_property
    def sample_counts(self) -> tuple[int, ...]:
        """The least legal number of samples and larger ones, or the one that the options fix."""
        if "samples" in self.options:
            return (int(self.options["samples"]),)
        least = self._least()
        if self.entry.enumerates:
            return (least,)
        # Some faults show from three samples on; a bound of three samples can be integrated for a single latent.
        wanted = (least, least + 1, 3) if self.entry.bound == "iwae" else (least, max(least + 1, 3))
        wanted = tuple(samples for samples in (*wanted, self.entry.samples.default) if samples >= least)
        return tuple(sorted({samples + samples % 2 if self.entry.samples.even else samples for samples in wanted}))

    @cached_property
    def more_counts(self) -> tuple[int, ...]:
        """Larger numbers of samples, which are tried on the smallest problem alone: a fault may start at any."""
        if "samples" in self.options or self.entry.enumerates:
            return ()
        return tuple(s for s in MANY_SAMPLES if self.entry.samples.allow(s) and s not in self.sample_counts)

    @property
    def tested_counts(self) -> tuple[int, ...]:
        """All numbers of samples that there is a problem with."""
        return tuple(sorted({grid.samples for grid in self.grids}))

    def _least(self) -> int:
        """The least number of samples that the options allow: a baseline may need more than the tag says."""
        tag = self.entry.samples
        for samples in range(tag.min, tag.min + 3):
            if tag.allow(samples):
                try:
                    self.entry.create(**{**self.options, "samples": samples})
                except ValueError:
                    continue
                return samples
        return tag.default

    @cached_property
    def grids(self) -> tuple[Grid, ...]:
        """The problems: with more samples, fewer of the large event shapes; at the end, large and small costs.

        A quick certificate leaves out the largest shape, the largest numbers of samples and other sizes of costs.
        """
        quick = self.draws <= QUICK
        events = self.kind.certified_events[: 3 if quick else None]
        grids = [
            Grid(self.family, event, samples, self.entry.bound)
            for index, samples in enumerate(self.sample_counts)
            for event in events[: (4, 2, 1)[min(index, 2)]]
        ]
        if quick:
            return tuple(grid for grid in grids if self._legal(grid))
        grids += [
            Grid(self.family, events[0], samples, self.entry.bound, levels=FEW_LEVELS) for samples in self.more_counts
        ]
        if self.entry.bound == "elbo":
            least = self.sample_counts[0]
            grids += [Grid(self.family, events[1], least, levels=FEW_LEVELS[:1], size=size) for size in SIZES]
        return tuple(grid for grid in grids if self._legal(grid))

    def _legal(self, grid: Grid) -> bool:
        """Whether the estimator takes a grid, and its exact gradient is known."""
        against = self.entry.reason_against(family=self.family, bound=self.entry.bound, states=grid.states)
        return grid.has_oracle and against is None

    def generator(self, purpose: int) -> Generator:
        """A generator seeded for this purpose, independent of the others."""
        return torch.Generator().manual_seed(1_000_003 * self.seed + purpose)

    def create(
        self, grid: Grid, dtype: torch.dtype = DOUBLE, stack: Sequence[int] = (), *, perturbed: bool = True
    ) -> Estimator:
        """A fresh estimator for a grid in `eval()`, bound to a context, its own parameters perturbed or at their start.

        Raises:
            Broken: it cannot be built.
        """
        estimator = self.unbound(grid)
        self.bind(estimator, grid, stack)
        if perturbed:
            perturb(estimator)
        return estimator.to(dtype).eval()

    def unbound(self, grid: Grid) -> Estimator:
        """A fresh estimator as it is constructed, in its own precision.

        Raises:
            Broken: it cannot be built.
        """
        options = dict(self.options) | {"samples": grid.samples}
        with _building(f"cannot be built with {options}"):
            return self.entry.create(**options)

    def bind(self, estimator: Estimator, grid: Grid, stack: Sequence[int] = ()) -> None:
        """Bind an estimator to a grid's event and a context.

        Raises:
            Broken: it cannot be bound.
        """
        with _building(f"bind(stack={tuple(stack)}, context_size={CONTEXT}, event={grid.event}) raises"):
            source = torch.Generator().manual_seed(5)
            estimator.bind(stack=stack, context_size=CONTEXT, event=grid.event, generator=source)

    def prepared(self, grid: Grid) -> Prepared:
        """An estimator for a grid, its running state filled by steps of training at large costs and then frozen.

        Own parameters are perturbed; in every other grid they have learned in these steps, from their start on and at
        the costs themselves. A wrong term may hide where a parameter starts, or where it has learned to leave it out.

        Raises:
            Broken: it cannot be built or called.
        """
        learning = self.grids.index(grid) % 2 == 1
        estimator = self.create(grid, perturbed=not learning).train()
        named = own_parameters(estimator)
        learning = learning and bool(named)
        own, settles = [*named.values()], estimator.state_dict().keys() - named.keys()
        recent = [torch.zeros_like(p) for p in own]
        context = self.context(len(grid.rows))
        generator = self.generator(1)
        f = grid.f(grid.theta)
        large = f if learning else lambda z, q: 3 * f(z, q) - 1.0
        for _ in range(WARM_UP if settles or learning else 1):
            values = [v.clone().requires_grad_() for v in grid.values]
            loss = call(estimator, grid.family, values, large, generator, context).auxiliary
            if learning and loss is not None and loss.requires_grad:
                found = torch.autograd.grad(loss.mean(), own, materialize_grads=True)
                with torch.no_grad():
                    for p, mean, g in zip(own, recent, found, strict=True):
                        p.sub_(mean.lerp_(g, 0.1).sign(), alpha=LEARNING_RATE)
        moved = LEARNED if learning else PERTURBED if own else None
        return Prepared(estimator.eval(), context, moved)

    def context(self, *rows: int, dtype: torch.dtype = DOUBLE) -> Tensor:
        """What q was computed from, [*rows, X]: any numbers will do."""
        return torch.randn(*rows, CONTEXT, generator=torch.Generator().manual_seed(3), dtype=DOUBLE).to(dtype)

    def small(self, samples: int | None = None, level: float = 1.0) -> Grid:
        """A grid of the middle event shape, at one level, for checks that need no sampling."""
        chosen = self.sample_counts[-1] if samples is None else samples
        return Grid(self.family, self.kind.small_event, chosen, self.entry.bound, levels=(level,))


@contextmanager
def _building(doing: str) -> Iterator[None]:
    """Fix the global generator, from which layers of torch start, and say what went wrong.

    Raises:
        Broken: something did.
    """
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(5)
            yield
    except Exception as error:  # foreign code: whatever it raises is the finding
        raise Broken(f"{doing}: {' '.join(str(error).split())}") from error


def run(
    estimator: Estimator,
    grid: Grid,
    seed: int,
    *,
    context: Tensor | None = None,
    values: Sequence[Tensor] | None = None,
    scale: Tensor | float = 1.0,
    rate: float = 0.0,
) -> list[Tensor]:
    """One call on the grid's rows, at its own parameters or those given: gradients of q's parameters and of theta.

    Args:
        estimator: used as it is.
        grid: the problems.
        seed: of the noise.
        context: for input-dependent baselines.
        values: q's parameters [..., *shape], as `Grid.values` has them without the leading dims.
        scale: factor of f, row by row.
        rate: of a step of own parameters against the sign of their loss's gradient.

    Raises:
        Broken: what comes back is not of the form asked for.
    """
    leaves = [v.detach().clone().requires_grad_() for v in (grid.values if values is None else values)]
    lead = leaves[0].shape[: leaves[0].dim() - len(grid.event)]
    theta = grid.theta.to(leaves[0]).expand(lead).clone().requires_grad_()
    f = grid.f(theta)
    estimate = call(
        estimator, grid.family, leaves, lambda z, q: scale * f(z, q), torch.Generator().manual_seed(seed), context
    )
    surrogate, loss = estimate.surrogate, estimate.auxiliary
    own = [*own_parameters(estimator).values()] if rate and loss is not None and loss.requires_grad else []
    targets = (*leaves, theta, *own)
    grads = gradients(surrogate + loss if own and loss is not None else surrogate, targets)
    found = [torch.zeros_like(leaf) if g is None else g for g, leaf in zip(grads, targets, strict=True)]
    with torch.no_grad():
        for p, g in zip(own, found[len(leaves) + 1 :], strict=True):
            p.sub_(g.sign(), alpha=rate)
    return found[: len(leaves) + 1]


def own_parameters(estimator: Estimator) -> dict[str, torch.nn.Parameter]:
    """The parameters that it learns, by name."""
    lazy = torch.nn.parameter.UninitializedParameter
    return {n: p for n, p in estimator.named_parameters() if p.requires_grad and not isinstance(p, lazy)}


@torch.no_grad()
def perturb(estimator: Estimator) -> None:
    """Move each own parameter by `SHARE` of its length, or of 1 if that is more, in a direction of fixed noise."""
    generator = torch.Generator().manual_seed(7)
    for p in own_parameters(estimator).values():
        noise = torch.randn(p.shape, generator=generator, dtype=DOUBLE).to(p)
        p.add_(noise, alpha=SHARE * max(float(p.norm()), 1.0) / max(float(noise.norm()), 1e-12))


def copied(estimator: Estimator) -> Estimator:
    """An independent copy with the same state.

    Raises:
        Broken: it holds what cannot be copied.
    """
    try:
        return copy.deepcopy(estimator)
    except Exception as error:  # of deepcopy, or of an attribute's own __deepcopy__
        reason = " ".join(str(error).split())[:150]
        raise Broken(
            f"it cannot be copied, as a checkpoint must be: an attribute holds a graph or a lock ({reason})"
        ) from error
