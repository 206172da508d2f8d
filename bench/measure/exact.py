"""Moments of a gradient without sampling: an estimator is a function of its noise, which is integrated over."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution

from bench.measure.determined import check_determined
from bench.measure.draws import check_measurable, frozen, look_at, probe
from bench.measure.integrand import RowsIntegrand
from bench.measure.warm import warmed
from estimators.base import Estimator, Objective
from estimators.call import as_given, trusted
from estimators.distributions import row_shape
from estimators.errors import BadInput
from estimators.integration import NOT_FINITE, Moments, integrate
from estimators.objective import checked

BUDGET = 3e7
"""Nodes times numbers of noise that a row may take: some seconds."""
LIMIT = 1e-6
"""Largest relative error that is still called exact."""


class NotExact(BadInput):
    """The noise of an estimator cannot be integrated over, or not to the tolerance that was asked for."""


class ExactMoments(NamedTuple):
    """Moments of an estimator over its noise, by integration.

    A row's gradient is that of its surrogate with respect to its own parameters: the logits, [*B, D] or [*B, L, C], or
    loc and scale side by side, [*B, 2 D]; where q is an Independent, D counts all numbers of an event.
    """

    mean: Tensor
    """Shaped as the parameters; in double precision."""
    variance: Tensor
    """Shaped as the parameters."""
    total: float
    """Sum of `variance` over rows and coordinates, the trace of the covariance."""
    tolerance: float
    """Largest relative error over the rows: that of a row's mean as a share of the root mean square length of its
    gradient, or that of its total variance as a share of the mean square."""
    nodes: int
    """Values of the noise at which the estimator was called, summed over rows."""


def exact_moments(
    estimator: Estimator,
    q: Distribution,
    f: Objective,
    *,
    context: Tensor | None = None,
    limit: float = LIMIT,
    budget: float = BUDGET,
) -> ExactMoments:
    """Mean and variance of an estimator's gradient with respect to q's parameters, row by row, without sampling.

    An estimator is measured as it stands: one with running state or own parameters in `eval()`, given that state, so
    that these are the moments of the next draw and not of a training. What was never sized gets its initial values.
    `gradient_moments` measures a warm copy; give it `warm_up=0` to compare.

    All is computed in double precision, on the CPU. Where f takes no numbers in double, it computes in q's precision,
    whose rounding only finite sums bear: give f in double where a relaxation is to be integrated.

    Args:
        estimator: any estimator; left as it was, with its state, parameters and mode.
        q: the distribution, rows *B, on the CPU.
        f: the objective, a function of z and q alone, draw by draw.
        context: [*B, X] for input-dependent baselines.
        limit: largest `tolerance` to be content with.
        budget: largest number of nodes times numbers of noise, for one row; time and not memory grows with it.

    Raises:
        NotExact: a `BadInput`; the noise of a row cannot be integrated over, by the reason that is given.
        BadInput: f has noise of its own, mixes its draws, or is none that the estimator takes (see
            `Estimator.__call__`); the context has other rows than q; q is not on the CPU, or without rows.
        Broken: what the estimator returns breaks the contract.
        FloatingPointError: a gradient is not finite.
    """
    check_measurable("exact_moments", estimator)
    objective = checked(f, q, estimator)
    at = objective.given.q
    rows = row_shape(at)
    first, *others = as_given(q)
    if first.numel() == 0:
        raise BadInput(f"q has no rows to measure a gradient of: its parameters are {list(first.shape)}")
    if first.device.type != "cpu":
        raise BadInput(f"exact_moments computes on the CPU, and q is on {first.device}: bring q and f there")
    with trusted(), torch.enable_grad():  # `at` has finite logits, so that they need not be looked at
        if [*estimator.buffers(), *estimator.parameters()]:
            estimator = warmed(estimator, at, objective, seed=0, steps=0, context=context)
        look_at(estimator, objective, context)
        if probe(estimator, at, objective, context).plain:
            check_determined(objective, at)
        with frozen(estimator.double()):
            found = integrate(RowsIntegrand(estimator, objective, context), most=budget * rows.numel()).moments
    errors = _errors(found)
    if NOT_FINITE in found.reasons or not bool(errors[found.found].isfinite().all()):
        raise FloatingPointError("the gradient is not finite at some value of its noise")
    for row, (reason, error) in enumerate(zip(found.reasons, errors.tolist(), strict=True)):
        if error > limit:
            reason = f"the integral over its noise is known to {error:.1g} only"
        if reason is not None:
            where = [int(i) for i in torch.unravel_index(torch.tensor(row), rows)] if rows else []
            place = f"row {where} of q" if where else "this q"
            raise NotExact(f"{estimator.label}: no exact moments at {place}: {reason}; sample them by gradient_moments")
    mean, variance = (part.reshape((*rows, -1) if others else first.shape) for part in found[:2])
    return ExactMoments(mean, variance, float(variance.sum()), float(errors.max()), int(found.nodes.sum()))


def _errors(moments: Moments) -> Tensor:
    """Relative errors of B rows, [B]; see `ExactMoments.tolerance`."""
    square = (moments.mean.square() + moments.variance).sum(-1)
    errors = torch.maximum(moments.tolerance.norm(dim=-1) / square.sqrt(), moments.spread.sum(-1) / square)
    return errors.where(square != 0, 0.0)
