"""Draws of an estimator on a grid."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor
from torch.distributions import Distribution, Independent

from estimators.base import Estimate, Estimator
from estimators.call import trusted
from estimators.checks.grid import DOUBLE, Grid
from estimators.checks.noise import Forced, Watch, count_of
from estimators.checks.tally import Deviations
from estimators.contract import Broken, checked
from estimators.distributions import event_shape, from_parameters, row_shape
from estimators.noise import Noise
from estimators.objective import CountedObjective

LOOKS = (2**12, 2**14, 2**16, 2**18)
"""Numbers of draws a row after which it is decided whether to go on."""
TARGETS = (0.05, 0.05, 0.2, 0.2)
"""A row is done after so many draws if a bias of this share of the gradient would be detected on it."""
AT_ONCE = 2**19
"""Latents in flight at once, which bounds memory."""
PRIMES = (16001, 8009, 4001, 2003, 1009, 499, 211, 101, 53)
"""Numbers of draws at once: primes, which no other dim has for a size, so that the rows of noise are recognised."""


def call(
    estimator: Estimator,
    family: str,
    values: Sequence[Tensor],
    f: Callable[..., Tensor],
    generator: Generator | Noise | None,
    context: Tensor | None = None,
) -> Estimate:
    """The estimate for a q with these parameters, in the form that the contract asks for.

    Raises:
        Broken: it raises, or returns something of another form.
    """
    q = from_parameters(family, *values)
    given, objective = q, f
    if not row_shape(q) and len(event_shape(q)) == 2:  # [L, C] would be read as L rows of one latent
        given = Independent(q, 1, validate_args=False)

        def objective(z: Tensor, q: Distribution, /, *more: Any) -> Tensor:
            assert isinstance(q, Independent)
            return f(z, q.base_dist, *more)

    try:
        with trusted(finite=False):
            estimate = estimator(given, objective, generator=generator, context=context)
    except Exception as error:  # foreign code: whatever it raises is the finding
        reason = " ".join(str(error).split())[:300]
        raise Broken(f"forward raises {type(error).__name__} for rows {list(row_shape(q))}: {reason}") from error
    return checked(estimate, q)


def gradients(surrogate: Tensor, leaves: Sequence[Tensor]) -> tuple[Tensor | None, ...]:
    """Gradients of the surrogate's sum, None for a leaf that it does not reach.

    Raises:
        Broken: it has no graph at all.
    """
    if not surrogate.requires_grad:
        raise Broken("the surrogate has no gradient at all: it is detached, or made under no_grad")
    try:
        return torch.autograd.grad(surrogate.sum(), leaves, allow_unused=True)
    except RuntimeError as error:
        raise Broken(f"the surrogate cannot be differentiated: {' '.join(str(error).split())[:200]}") from error


class Prepared(NamedTuple):
    """An estimator ready to be sampled, its state filled and frozen."""

    estimator: Estimator
    context: Tensor
    """[B, X]."""
    moved: str | None
    """How its own parameters were moved, None if it has none."""


def deviations(
    prepared: Prepared,
    grid: Grid,
    rows: Sequence[int],
    count: int,
    generator: Generator,
    choices: Generator,
    noise: int,
) -> Deviations:
    """Draws of some rows of a grid.

    Args:
        prepared: the estimator.
        grid: the problems.
        rows: which of them.
        count: R.
        generator: of the estimator's noise.
        choices: of what is forced.
        noise: numbers of noise a row takes, 0 to force nothing.

    Raises:
        Broken: what comes back is not finite, or not of the form asked for.
    """
    index = torch.tensor(rows)
    values = [v[index].expand(count, *v[index].shape).clone().requires_grad_() for v in grid.values]
    theta = grid.theta[index].expand(count, len(rows)).clone().requires_grad_()
    shift = grid.shift[index]
    some_rare = (shift > 0).any(1).nonzero()[:, 0]
    watch = Forced(count, shift, noise, choices) if noise and some_rare.numel() else Watch()
    f = grid.f(theta, rows)
    met = torch.zeros(count, *shift.shape, dtype=DOUBLE)  # R x rows x D
    slots = torch.zeros(len(rows), dtype=DOUBLE)

    def noted(z: Tensor, q: Distribution, /) -> Tensor:
        nonlocal slots
        # A relaxed point that is the same in all draws, such as the mean, is no draw, and is not counted.
        flat = z.detach().flatten(z.dim() - len(grid.event))  # S x R x rows x N
        drawn = ((flat != flat[:, :1]).any(1) | (flat == flat.round()).all(1)).any(-1)
        slots = slots + count * drawn.sum(0)
        if some_rare.numel():
            part = z.detach().index_select(z.dim() - 1 - len(grid.event), some_rare)
            found = grid.is_rare(part, [rows[i] for i in some_rare.tolist()])
            met[:, some_rare] += found.sum(0)
        return f(z, q)

    counted, context = CountedObjective(noted), prepared.context[index]  # not expanded: draws share their inputs
    with watch:
        estimate = call(prepared.estimator, grid.family, values, counted, generator, context)
    grads = gradients(estimate.surrogate, (*values, theta))
    flat = [
        (torch.zeros_like(leaf) if g is None else g).reshape(count, len(rows), -1)
        for g, leaf in zip(grads, (*values, theta), strict=True)
    ]
    found = torch.cat([*flat, estimate.value.detach()[..., None].to(DOUBLE)], -1)
    if not bool(found.isfinite().all()):
        bad = [grid.rows[rows[int(i)]] for i in (~found.isfinite()).any(-1).any(0).nonzero()[:1]]
        share = float((~found.isfinite()).any(-1).double().mean())
        raise Broken(f"{share:.2%} of the draws are not finite, first on {bad[0].objective} at level {bad[0].level:g}")
    exact = grid.exact[index]
    error = with_projection(found - exact, exact)
    untouched: list[str] = []
    if isinstance(watch, Forced):
        weight = watch.log_weight.exp()[..., None]
        error, met = error * weight, met * weight
        untouched = watch.untouched
    if not watch.draws:
        untouched = ["a source that torch does not show"]
    return Deviations(error, met, slots, untouched, float(estimate.value.detach().abs().max()))


def with_projection(error: Tensor, exact: Tensor) -> Tensor:
    """Errors [..., rows, K - 1] with one more column, the projection of the gradient's on the exact gradient.

    Args:
        error: of the gradient, of theta's gradient and of the value.
        exact: what they are to be in mean, [rows, K - 1].
    """
    gradient = exact[:, :-2]
    along = (error[..., :-2] * gradient).sum(-1, keepdim=True) / gradient.square().sum(-1).clamp_min(1e-24)[:, None]
    return torch.cat((error, along * (gradient.norm(dim=1) > 1e-9)[:, None]), -1)


def noise_of(prepared: Prepared, grid: Grid, generator: Generator) -> tuple[int, int]:
    """Numbers of noise that one row takes, and evaluations of f.

    Raises:
        Broken: see `call`.
    """
    draws, counted = PRIMES[-1], CountedObjective(grid.f(grid.theta))
    with Watch() as watch:
        values = [v.expand(draws, *v.shape).clone().requires_grad_() for v in grid.values]
        call(prepared.estimator, grid.family, values, counted, generator, prepared.context)
    return count_of(watch.draws, (draws, len(grid.rows))), counted.evaluations
