"""The check float32: from the same noise, single precision gives the gradient of double precision but for rounding.

The other checks prove an estimator in float64, and people train in float32. What is wrong there alone, such as a clamp,
an eps or a branch for float32, or a chance that rounds to 1, shows where both get the same numbers: the same q and the
same noise, which both precisions can hold. Half of the noise is drawn from a wider law than its own, so that rare
outcomes are met, and so are the places in between, where a clamped chance lies.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from estimators.checks.grid import DOUBLE, LEVELS, Grid
from estimators.checks.result import Result, failed
from estimators.checks.sampling import PRIMES, call, gradients
from estimators.checks.subject import Subject
from estimators.contract import Broken
from estimators.integration.signature import Signature
from estimators.integration.source import NotIntegrable, Site, Source, Values

NODES, FEWER = PRIMES[-2], PRIMES[-1]
"""Points of the noise, and so many where one takes more than `MANY` numbers a problem."""
MANY = 200
BEYOND = 3.0
"""How far the wider law of uniform noise reaches beyond a row's |logit|, in logits."""
FAR = 6.0
"""How far that of normal noise reaches."""
EPS = torch.finfo(torch.float32).eps
LIMIT = math.sqrt(EPS)
"""A difference of this share of the gradient's length is half of the digits of float32. Correct estimators reach 1e-6,
where terms cancel or at a temperature of .1 they reach 1e-5, and at one of .01 almost the limit."""
FLIPS = 1
"""Nodes of a level at which hard draws may differ beside those where `nudged` noise makes them differ too."""


class Found(NamedTuple):
    """An estimator's answers at nodes of its noise."""

    gradient: Tensor
    """[N, B, P], of q's parameters."""
    signature: Tensor
    """[N, B], which tells hard draws apart."""

    def of(self, rows: list[int]) -> "Found":
        """Those of some rows."""
        return Found(self.gradient[:, rows], self.signature[:, rows])


def float32(subject: Subject) -> Result:
    """The gradient in float32 is that in float64, level by level, as far as rounding allows."""
    grid = replace(subject.small(), levels=LEVELS)
    recorded = Source(FEWER, len(grid.rows), single=True)
    try:
        _run(subject, grid, recorded)
        sites = recorded.sites
        given = nodes(sites, grid, FEWER if sum(site.numbers for site in sites) > MANY else NODES)
        right = _run(subject, grid, _source(given, sites, grid))
    except NotIntegrable as error:
        message = f"cannot be told, since its noise cannot be handed to both precisions: {error}"
        return Result("float32", subject.family, "not applicable", message)
    try:
        found = _run(subject, grid, _source(given, sites, grid), torch.float32)
    except NotIntegrable:
        return failed("float32", subject.family, "in float32 it draws other noise than in float64")
    close = torch.zeros_like(found.signature, dtype=torch.bool)
    if bool((right.signature != found.signature).any()):
        for step in (EPS, -EPS):
            moved = _run(subject, grid, _source(nudged(given, sites, step), sites, grid))
            close |= moved.signature != right.signature
    shares = {}
    for level in LEVELS:
        own = [i for i, row in enumerate(grid.rows) if row.level == level and row.objective != "constant"]
        shares[level] = apart(right.of(own), found.of(own), close[:, own])
    return _result(subject, grid, shares)


def _result(subject: Subject, grid: Grid, shares: dict[float, float]) -> Result:
    worst = max(shares, key=lambda level: shares[level])
    if shares[worst] <= LIMIT:
        message = "from the same noise, the gradient in float32 is that in float64 but for rounding"
        return Result("float32", subject.family, "passed", message, {"by_level": shares})
    size = f"off by {100 * shares[worst]:.3g} % of its length" if shares[worst] < math.inf else "not finite"
    message = (
        f"in float32 the gradient is {size} at {grid.kind.level_words(worst)}, "
        f"{' x '.join(map(str, grid.event))} latents, samples={grid.samples}, beside that in float64 from the same "
        f"noise; rounding explains {100 * LIMIT:.2g} %. Usually a clamp, an eps or a branch for float32 alone, or a "
        "chance that rounds to 1"
    )
    plain = {level: share if share < math.inf else None for level, share in shares.items()}
    return failed("float32", subject.family, message, by_level=plain)


def apart(right: Found, found: Found, close: Tensor) -> float:
    """Mean length of the gradients' difference, as a share of that of the right ones; infinite if not finite.

    Means, and not their squares: a few nodes far out, where float32 has no digits, are to weigh no more than they do.

    Args:
        right: in float64.
        found: in float32.
        close: [N, B], where hard draws may differ, and are left out if they do.
    """
    flipped = right.signature != found.signature
    left_out = flipped & close if int((flipped & ~close).sum()) > FLIPS else flipped
    known = right.gradient.isfinite().all(-1) & ~left_out
    difference, size = (part[known].norm(dim=-1).sum() for part in (found.gradient - right.gradient, right.gradient))
    share = float(difference / size.clamp_min(torch.finfo(DOUBLE).tiny))
    return share if math.isfinite(share) else math.inf


def nodes(sites: Sequence[Site], grid: Grid, count: int) -> list[Values]:
    """Numbers for each site, [N, B, numbers], that float32 holds: half from the noise's own law, half from a wider."""
    generator = torch.Generator().manual_seed(11)
    wider = 0.5 if grid.kind.discrete else 0.0
    reach = torch.tensor([row.level + BEYOND for row in grid.rows], dtype=DOUBLE)[:, None]
    given = []
    for site in sites:
        wide, u, v = torch.rand(3, count, len(grid.rows), site.numbers, generator=generator, dtype=DOUBLE)
        even = 2 * v - 1
        if site.kind == "choice":
            x = (u * site.options).floor()
        elif site.kind == "normal":
            x = torch.where(wide < wider, FAR * even, torch.special.ndtri(u)).float().to(DOUBLE)
        else:
            x = torch.where(wide < wider, reach * even, torch.logit(u)).sigmoid().float().to(DOUBLE)
            x = x.clamp_max(1 - EPS / 2)
        given.append(Values(x, 1 - x))
    return given


def nudged(given: Sequence[Values], sites: Sequence[Site], step: float) -> list[Values]:
    """The numbers moved by a step of their distribution function, as rounding can move a chance in float32.

    A uniform number near 1, or one that is computed from others, is rounded to a multiple of 2^-24.
    """
    moved = []
    for values, site in zip(given, sites, strict=True):
        x = values.at
        if site.kind == "normal":
            x = torch.special.ndtri((torch.special.ndtr(x) + step).clamp(1e-12, 1 - 1e-12))
        elif site.kind != "choice":
            x = (x + step).clamp(1e-12, 1 - 1e-12)
        moved.append(Values(x, 1 - x))
    return moved


def _source(given: Sequence[Values], sites: Sequence[Site], grid: Grid) -> Source:
    """The nodes as a source; where there is no noise, any number of them."""
    return Source(len(given[0].at) if given else FEWER, len(grid.rows), given, sites, single=True)


def _run(subject: Subject, grid: Grid, source: Source, dtype: torch.dtype = DOUBLE) -> Found:
    """A fresh estimator in a precision, at the source's noise and at parameters that float32 holds.

    Raises:
        Broken: it raises, or returns something of another form.
        NotIntegrable: its noise cannot be told, or it draws other noise than is given.
    """
    estimator = subject.create(grid, dtype)
    values = [v.float().to(dtype).expand(source.rows[0], *v.shape).clone().requires_grad_() for v in grid.values]
    theta = grid.theta.float().to(dtype).expand(source.rows)
    signature, context = Signature(grid.kind, grid.values[0], set()), subject.context(len(grid.rows), dtype=dtype)
    noise = source.noise_of(estimator, context)
    try:
        with source:
            estimate = call(estimator, grid.family, values, signature.watching(grid.f(theta)), noise, context)
    except Broken as error:
        raise (NotIntegrable(source.failure) if source.failure else error) from error
    if len(source.sites) < len(source.expected):
        raise NotIntegrable("it draws less noise in one call than in the next")
    found = [
        torch.zeros_like(leaf) if g is None else g
        for g, leaf in zip(gradients(estimate.surrogate, values), values, strict=True)
    ]
    gradient = torch.cat([g.reshape(*source.rows, -1).to(DOUBLE) for g in found], -1)
    return Found(gradient, signature.total(*source.rows))
