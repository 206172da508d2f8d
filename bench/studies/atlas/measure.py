"""What is measured: the moments of one estimator with its options, on all problems of a family."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from bench.atlas.table import EVALUATIONS, Integral
from bench.studies.atlas.problems import EVENTS, Problems
from estimators.base import Estimator
from estimators.checks.grid import DOUBLE
from estimators.checks.integrand import GridIntegrand
from estimators.checks.sampling import Prepared, call
from estimators.checks.subject import CONTEXT, WARM_UP, own_parameters
from estimators.contract import Broken
from estimators.entry import Entry
from estimators.families import family_named
from estimators.integration import Moments, integrate
from estimators.labels import label_of
from estimators.registry import available, get

MOST = 1e7
"""Numbers of noise that a product may have, for the least number of samples; it bounds the time."""
MOST_SMOOTH = 2e6
"""The same for a continuous q, whose problems have rules, and so products, of their own each."""
SHARE_OF_MORE = 0.2
"""Of these, what larger numbers of samples may have."""
PRECISE = 1e-6
"""Share of the deviation, or of the exact gradient's length if that is more, to which a number must be known."""
MINIBATCH = 64
"""Rows of which running state takes the mean in each step of the warm-up."""
BOUNDS = (1, 2, 3)
"""Draws of a bound over several."""


@dataclass(frozen=True)
class Job:
    """An estimator with its options and a family; small, so that it can be sent to another process."""

    name: str
    options: Mapping[str, Any]
    family: str

    @property
    def entry(self) -> Entry:
        """The estimator."""
        return get(self.name)


def jobs() -> list[Job]:
    """Every estimator of every family, with its defaults and with the variants that its tags name, but for samples."""
    found = []
    for entry in available():
        for options in ({}, *entry.variants):
            own = {key: value for key, value in options.items() if key != "samples"}
            found += [Job(entry.name, own, family) for family in entry.families if family in EVENTS]
    return found


def timed(job: Job) -> tuple[list[Integral], float]:
    """The rows of `integrals`, and the processor time that they took, in seconds."""
    start = time.process_time()
    return list(integrals(job)), time.process_time() - start


def integrals(job: Job, events: Sequence[tuple[int, ...]] | None = None) -> Iterator[Integral]:
    """Its rows: event by event, from the least number of samples up.

    No more samples are tried where some of the problems could not be integrated or the product will be too large, and
    where they are no better than independent estimates with the least number, as their mean is known then.
    """
    most = MOST if family_named(job.family).discrete else MOST_SMOOTH
    for event in EVENTS[job.family] if events is None else events:
        least: list[Integral] = []
        for samples in sample_counts(job, event):
            grid = Problems(job.family, event, samples, job.entry.bound)
            if least and grid.bound == "elbo" and foretold(least, samples, math.prod(event)) > SHARE_OF_MORE * most:
                break
            rows = list(measured(job, grid, most))
            yield from rows
            if grid.bound == "elbo" and (any(row.reason for row in rows) or (least and _repeated(least, rows))):
                break
            least = least or rows


def foretold(least: Sequence[Integral], samples: int, numbers: int) -> float:
    """Numbers of noise of a product for so many samples, if each adds as many nodes as one of the least has."""
    nodes = float(max(row.nodes for row in least))
    return float(nodes ** (samples / least[0].samples) * len(least) * (4 + samples * numbers))


def _repeated(least: Sequence[Integral], more: Sequence[Integral]) -> bool:
    """Whether estimates with more samples have the errors of a mean of independent ones with the least number."""
    pairs = [(a, b) for a, b in zip(least, more, strict=True) if not (a.reason or b.reason)]
    return all(
        abs(b.deviation - a.deviation * (a.cost / b.cost) ** 0.5) <= PRECISE * a.deviation + 2 * PRECISE
        and abs(a.bias - b.bias) <= PRECISE * max(1.0, a.bias)
        for a, b in pairs
    )


def sample_counts(job: Job, event: tuple[int, ...]) -> list[int]:
    """Legal numbers of samples, the least and those that use up one of `EVALUATIONS`; of a bound, those of `BOUNDS`."""
    entry = job.entry
    counts: list[int] = []
    for samples in BOUNDS if entry.bound == "iwae" else range(1, max(EVALUATIONS) + 1):
        grid = Problems(job.family, event, samples, entry.bound)
        if entry.reason_against(family=job.family, bound=entry.bound, states=grid.states) or not grid.has_oracle:
            continue
        try:
            entry.create(**job.options, samples=samples)
        except ValueError:  # a number of samples that it cannot be built with
            continue
        if cost(job, grid) in EVALUATIONS or (not counts and cost(job, grid) <= max(EVALUATIONS)):
            counts.append(samples)
    # What visits all states has no use for samples; what has running state needs an integral for each problem.
    alone = entry.enumerates or (counts and has_state(job, Problems(job.family, event, counts[0], entry.bound)))
    return counts[:1] if alone else counts


def cost(job: Job, grid: Problems) -> int:
    """Evaluations of f that one estimate takes: where its tag does not say, it visits all joint states."""
    said = job.entry.evaluations(grid.samples, grid.event, job.options)
    return (grid.states or max(EVALUATIONS) + 1) if said is None else said


def measured(job: Job, grid: Problems, most: float) -> Iterator[Integral]:
    """A row for each problem of a grid; `most` as for `integrate`."""
    settled = has_state(job, grid)
    for part in [*grid.apart()] if settled else [grid]:
        try:
            integrand = GridIntegrand(warmed_up(job, part), part, torch.arange(len(part.rows)))
            moments = integrate(integrand, most=most).moments
        except Broken as error:
            unknown = torch.full((len(part.rows), part.exact.shape[1]), torch.nan, dtype=DOUBLE)
            reasons: list[str | None] = [str(error)] * len(part.rows)
            moments = Moments(unknown, unknown, unknown, unknown, torch.zeros(len(part.rows)), reasons)
        for row in _rows(job, part, moments):
            yield row._replace(settled=settled)


def _rows(job: Job, grid: Problems, moments: Moments) -> Iterator[Integral]:
    *_, wide = grid.exact.shape
    gradient = slice(0, wide - 2)  # of q's parameters; then theta's and the value
    length = grid.exact[:, gradient].norm(dim=1)
    for index, row in enumerate(grid.rows):
        reason, bias, deviation, tolerance = moments.reasons[index], torch.nan, torch.nan, torch.nan
        if reason is None:
            one = [part[index, gradient] for part in moments[:4]]
            bias, deviation, tolerance = (float(x / length[index]) for x in _lengths(*one))
            if not tolerance <= PRECISE * max(1.0, deviation):
                reason, bias, deviation = f"two rules differ by {tolerance:.0e}", torch.nan, torch.nan
        ending = f"-iwae-{grid.samples}" if grid.bound == "iwae" else ""  # these have log q inside, even of one draw
        yield Integral(
            estimator=job.name,
            options=label_of("", job.options)[1:-1],
            unbiased=job.entry.claims_unbiased(job.options),
            needs=job.entry.needs or "",
            settled=False,
            family=job.family,
            latents="x".join(map(str, grid.event)),
            objective=row.objective + ending,
            sharpness=row.level,
            samples=grid.samples,
            cost=cost(job, grid),
            bias=bias,
            deviation=deviation,
            tolerance=tolerance,
            nodes=int(moments.nodes[index]),
            reason=reason or "",
        )


def _lengths(mean: Tensor, variance: Tensor, tolerance: Tensor, spread: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Length of the bias, root of the total variance, and the larger of their tolerances."""
    deviation = variance.sum().sqrt()
    unsure = spread.sum()
    of_deviation = torch.minimum(unsure / (2 * deviation.clamp_min(1e-300)), unsure.sqrt())
    return mean.norm(), deviation, torch.maximum(tolerance.norm(), of_deviation)


def _fresh(job: Job, grid: Problems) -> Estimator:
    """The estimator bound to a grid, its own parameters at their start, which is the same at every call."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        estimator = job.entry.create(**job.options, samples=grid.samples)
        estimator.bind(context_size=CONTEXT, event=grid.event, generator=Generator().manual_seed(5))
    return estimator.to(DOUBLE)


def has_state(job: Job, grid: Problems) -> bool:
    """Whether training fills something, beside its own parameters, that depends on f.

    All rows of a call share it, so that each problem needs an estimator of its own, and an integral.
    """
    states = []
    for scale in (1.0, 3.0):
        estimator = _fresh(job, grid).train()
        context = torch.zeros(len(grid.rows), CONTEXT, dtype=DOUBLE)
        try:
            _step(estimator, grid, 1, context, Generator().manual_seed(1), scale)
        except Broken:  # what is wrong is found again where it is measured
            return False
        own = own_parameters(estimator)
        states.append({name: value for name, value in estimator.state_dict().items() if name not in own})
    one, other = states
    return any(not torch.equal(value, other[name]) for name, value in one.items())


def _step(
    estimator: Estimator, grid: Problems, rows: int, context: Tensor, generator: Generator, scale: float = 1.0
) -> None:
    """A call on so many rows of each problem, at this factor of the cost."""
    values = [v.expand(rows, *v.shape).clone().requires_grad_() for v in grid.values]
    f = grid.f(grid.theta)
    call(estimator, grid.family, values, lambda z, q: scale * f(z, q), generator, context)


def warmed_up(job: Job, grid: Problems) -> Prepared:
    """An estimator ready to be integrated: own parameters at their start, running state settled and frozen.

    Raises:
        Broken: it cannot be called.
    """
    estimator = _fresh(job, grid).train()
    generator = Generator().manual_seed(1)
    context = torch.randn(len(grid.rows), CONTEXT, generator=Generator().manual_seed(3), dtype=DOUBLE)
    settles = estimator.state_dict().keys() - own_parameters(estimator).keys()
    for _ in range(WARM_UP if settles else 0):
        _step(estimator, grid, MINIBATCH, context, generator)
    return Prepared(estimator.eval(), context, None)
