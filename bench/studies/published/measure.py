"""What a setting is asked: our numbers for it, and how far a published one may lie from the truth for its draws."""

from collections.abc import Mapping
from functools import singledispatch
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from bench.measure.draws import gradients
from bench.measure.exact import NotExact, exact_moments
from bench.published.judge import Number
from bench.statistics import variance_interval
from estimators.base import Estimator, Objective
from estimators.objective import checked

Numbers = Mapping[str, Number]
"""By quantity."""
DRAWS = 400_000
"""Of a gradient, where no integral over its noise is known: a variance then has a standard error of half a percent, or
of one where its tails are heavy."""
ONE_ERROR = 0.6826894921370859
"""Level of the interval that reaches one standard error to either side."""
BUDGET = 3e8
"""Of `exact_moments`: some ten seconds a row."""


@singledispatch
def measure(protocol: Any, label: str) -> Numbers:
    """Our numbers.

    Args:
        protocol: one of `bench.published.protocols`.
        label: our estimator, as a person types it.
    """
    raise TypeError(f"nothing here measures {protocol!r}")


@singledispatch
def scatter(protocol: Any, label: str, draws: int) -> Mapping[str, float]:
    """By quantity: root mean square distance from the truth of a number that was made of so many draws."""
    raise TypeError(f"nothing here samples {protocol!r}")


def variances(estimator: Estimator, q: Distribution, f: Objective, draws: int = DRAWS) -> tuple[Tensor, list[Number]]:
    """Mean [P] and variances of the gradient of q's only row, coordinate by coordinate, exact where they can be."""
    try:
        found = exact_moments(estimator, q, f, budget=BUDGET)
    except NotExact:
        objective = checked(f, q, estimator)
        blocks = gradients(estimator, objective.given.q, objective, draws=draws, seed=0)
        drawn = torch.cat([block.squeeze(1).double() for block in blocks])  # n x P
        return drawn.mean(0), [sampled_variance(of) for of in drawn.T]
    return found.mean.flatten(), [Number(one, abs(one) * found.tolerance) for one in found.variance.flatten().tolist()]


def sampled_variance(drawn: Tensor) -> Number:
    """Variance of draws [n], or [n, P] summed over P, with its standard error by the jackknife."""
    distances = (drawn - drawn.mean(0)).square().reshape(len(drawn), -1).sum(1).numpy()
    one = variance_interval(distances, level=ONE_ERROR)
    return Number(one.estimate, 0.0, (one.high - one.low) / 2, len(drawn))


def one_row(*values: float) -> Tensor:
    """[1, D] in double precision."""
    return torch.tensor([values], dtype=torch.float64)
