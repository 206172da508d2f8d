"""Gradient moments of an estimator at a problem whose q stays where it is, such as a toy."""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.distributions import Distribution

from bench.bounds import AtMost, LongRun, Rate, Repeats
from bench.config import EstimatorConfig
from bench.measure.base import Measurement
from bench.measure.draws import gradients
from bench.measure.exact import NotExact
from bench.measure.exact_point import exact_point
from bench.measure.points import Reference, exact_reference, long_run_reference, measure_point
from bench.measure.warm import warmed
from bench.problems.base import PointProblem, Problem
from bench.records.results import Moments
from bench.seeds import stream
from estimators.base import Estimator
from estimators.distributions import event_shape

WarmUp = Annotated[int, Field(ge=0), AtMost(10**7, "what an estimator learns at a point stands still long before")]


class ToyMoments(Measurement):
    """How a problem with an exact gradient is measured."""

    asks: ClassVar[type[Problem]] = PointProblem
    order: ClassVar[int] = 0

    kind: Literal["moments"] = "moments"
    draws: Repeats = 1000
    warm_up: WarmUp = 50
    """Steps in which running state settles and own parameters learn at the problem before it is measured."""
    own_learning_rate: Rate = 1e-3
    """Rate of Adam, for own parameters."""

    def run(self, problem: PointProblem, estimator: Estimator, *, seed: int, device: torch.device) -> Moments:
        """One point; always on the CPU."""
        return measure_toy(problem, estimator, self, seed=seed)


class IntegratedMoments(ToyMoments):
    """How one is measured exactly, by integrating over the noise; by draws where that cannot be had."""

    exact: Literal[True] = True


class LongRunMoments(ToyMoments):
    """How a problem without an exact gradient is measured: against a long run of an unbiased estimator."""

    reference: EstimatorConfig
    reference_draws: LongRun


def measure_toy(problem: PointProblem, estimator: Estimator, config: ToyMoments, *, seed: int) -> Moments:
    """One point: variance and bias where the problem has its q, on the CPU."""
    q, f, context = problem.q(), problem.f(), problem.context()
    size = 0 if context is None else context.shape[-1]
    estimator.bind(context_size=size, event=event_shape(q), generator=stream("estimator", seed))
    if [*estimator.buffers(), *estimator.parameters()]:
        rate, steps = config.own_learning_rate, config.warm_up
        own = estimator.double()
        estimator = warmed(own, q, f, seed=seed, steps=steps, learning_rate=rate, context=context)
    reference = _reference(problem, q, config)
    of_problem: dict[str, Any] = {"context": context, "closed_form": problem.closed_form}
    why: dict[str, str] = {}
    if isinstance(config, IntegratedMoments):
        try:
            return Moments(points=(exact_point(estimator, q, f, reference, **of_problem),))
        except NotExact as error:
            why = {"method": "sampled", "sampled_because": str(error)}
    point = measure_point(estimator, q, f, reference, draws=config.draws, seed=seed, **of_problem)
    return Moments(points=(point.model_copy(update={"step": None, "elbo": None, **why}),))


def _reference(problem: PointProblem, q: Distribution, config: ToyMoments) -> Reference:
    """The exact gradient of the whole loss, or its mean over a long run."""
    if not isinstance(config, LongRunMoments):

        def parts(q: Distribution) -> Iterator[Tensor]:
            yield problem.expectation(q)
            if (closed := problem.closed_form(q)) is not None:
                yield closed

        return exact_reference(parts, q, problem.exact_method or "exact")
    unbiased, context = problem.estimator(config.reference), problem.context()

    def draw(draws: int, seed: int) -> Iterator[Tensor]:
        f, closed = problem.f(), problem.closed_form
        return gradients(unbiased, q, f, draws=draws, seed=seed, context=context, closed_form=closed)

    return long_run_reference(draw, draws=config.reference_draws, seed=0, label=config.reference.label)
