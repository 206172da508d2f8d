"""Gradient moments of an estimator on one toy, against its exact gradient."""

from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch.distributions import Distribution

from bench.config import Config
from bench.measure.points import exact_reference, measure_point
from bench.problems.toys import ToyPoint
from bench.seeds import stream
from estimators.base import Estimator, Objective
from estimators.distributions import event_shape, family, from_parameters, parameters


class ToyMoments(Config):
    """How a toy is measured."""

    kind: Literal["moments"] = "moments"
    draws: Annotated[int, Field(ge=3)] = 1000
    warm_up: Annotated[int, Field(ge=0)] = 50
    """Steps in which running state settles and own parameters learn at the toy before it is measured."""
    own_learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    """Rate of Adam, for own parameters."""


WARM_UP_ROWS = 64
"""Copies of the toy in a step of the warm-up, whose gradients of own parameters are averaged."""


def measure_toy(problem: ToyPoint, estimator: Estimator, config: ToyMoments, *, seed: int) -> dict[str, Any]:
    """One point: variance and bias at the toy's sharpness, in double precision on the CPU."""
    q, f = problem.q(), problem.f()
    method = "closed form" if problem.family == "gaussian" else "enumeration"
    reference = exact_reference(lambda q: [problem.expectation(q)], q, method)
    estimator.bind(event=event_shape(q), generator=stream("estimator", seed))
    if [*estimator.buffers(), *estimator.parameters()]:
        _warm_up(estimator.double().train(), q, f, config, seed)
    point = measure_point(estimator, q, f, reference, draws=config.draws, seed=seed)
    return {"points": [{"step": None, "elbo": None} | point]}


def _warm_up(estimator: Estimator, q: Distribution, f: Objective, config: ToyMoments, seed: int) -> None:
    """Let the estimator learn at the toy, whose q stands still."""
    generator = stream("warm-up", seed)
    own = list(estimator.parameters())
    optimiser = torch.optim.Adam(own, lr=config.own_learning_rate) if own else None
    rows = [p.expand(WARM_UP_ROWS, *event_shape(q)) for p in parameters(q)]
    for _ in range(config.warm_up):
        auxiliary = estimator(from_parameters(family(q), *rows), f, generator=generator).auxiliary
        if optimiser is not None and auxiliary is not None:
            optimiser.zero_grad()
            auxiliary.mean().backward()
            optimiser.step()
