"""Gradient moments of an estimator on one toy, against its exact gradient."""

from typing import Annotated, Literal

from pydantic import Field

from bench.config import Config
from bench.measure.points import exact_reference, measure_point
from bench.measure.warm import warmed
from bench.problems.toys import ToyPoint
from bench.records.results import Moments
from bench.seeds import stream
from estimators.base import Estimator
from estimators.distributions import event_shape


class ToyMoments(Config):
    """How a toy is measured."""

    kind: Literal["moments"] = "moments"
    draws: Annotated[int, Field(ge=3)] = 1000
    warm_up: Annotated[int, Field(ge=0)] = 50
    """Steps in which running state settles and own parameters learn at the toy before it is measured."""
    own_learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    """Rate of Adam, for own parameters."""


def measure_toy(problem: ToyPoint, estimator: Estimator, config: ToyMoments, *, seed: int) -> Moments:
    """One point: variance and bias at the toy's sharpness, in double precision on the CPU."""
    q, f = problem.q(), problem.f()
    reference = exact_reference(lambda q: [problem.expectation(q)], q, problem.exact_method)
    estimator.bind(event=event_shape(q), generator=stream("estimator", seed))
    if [*estimator.buffers(), *estimator.parameters()]:
        rate = config.own_learning_rate
        estimator = warmed(estimator.double(), q, f, seed=seed, steps=config.warm_up, learning_rate=rate)
    point = measure_point(estimator, q, f, reference, draws=config.draws, seed=seed)
    return Moments(points=(point.model_copy(update={"step": None, "elbo": None}),))
