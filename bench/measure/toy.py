"""Gradient moments of an estimator at a problem whose q stays where it is, such as a toy."""

import math
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.distributions import Distribution

from bench.bounds import AtMost, Betas, LongRun, Rate, Repeats
from bench.config import EstimatorConfig, added_later
from bench.measure.base import Measurement
from bench.measure.cost import A_CALL, A_NUMBER, DOUBLE, Cost, calls_of, evaluations_a_row, gradients_bytes, has_state
from bench.measure.draws import CHUNK_NUMBERS, gradients
from bench.measure.exact import NotExact
from bench.measure.exact_point import exact_point
from bench.measure.points import Reference, exact_reference, long_run_reference, measure_point
from bench.measure.warm import ROWS, warmed
from bench.problems.base import PointProblem, Problem
from bench.records.results import Moments
from bench.seeds import stream
from bench.training.settings import BETAS
from estimators.base import Estimator
from estimators.distributions import event_shape

WarmUp = Annotated[int, Field(ge=0), AtMost(10**7, "what an estimator learns at a point stands still long before")]


class ToyMoments(Measurement):
    """How a problem with an exact gradient is measured."""

    asks: ClassVar[type[Problem]] = PointProblem
    order: ClassVar[int] = 0
    sizes: ClassVar[str] = "latents, categories or samples"

    kind: Literal["moments"] = "moments"
    draws: Repeats = 1000
    warm_up: WarmUp = 50
    """Steps in which running state settles and own parameters learn at the problem before it is measured."""
    own_learning_rate: Rate = 1e-3
    """Rate of Adam, for own parameters."""
    own_betas: Betas = added_later(BETAS)
    """Adam's, for them."""

    def cost(self, problem: PointProblem, config: EstimatorConfig) -> Cost | None:
        """By draws: where the noise is integrated over, nobody knows beforehand how many values of it that takes."""
        rows, evaluations = problem.rows(), evaluations_a_row(problem, config)
        if rows is None:
            return None
        warm = self.warm_up if has_state(config) else 0
        shapes = problem.kind_of_latents.parameter_shapes(problem.event)
        coordinates, event = rows * sum(map(math.prod, shapes)), math.prod(problem.event)
        reference = self.of_reference(problem) * rows
        drawn = (self.draws + ROWS * warm) * rows * evaluations + reference
        calls = warm + calls_of(self.draws, rows * evaluations * event)
        numbers = drawn * event * 20 + self.draws * coordinates * 40
        states = rows * (problem.states() or 0) * event * 6 * DOUBLE
        a_call = max(4 * CHUNK_NUMBERS["cpu"], rows * evaluations * event * 20) * DOUBLE
        memory = max(states, gradients_bytes(self.draws, coordinates) + a_call)
        return Cost(drawn, calls * A_CALL + numbers * A_NUMBER, memory)

    def of_reference(self, problem: PointProblem) -> float:
        """Evaluations of f a row for the gradient that is held against."""
        return float(problem.states() or 0)

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

    def of_reference(self, problem: PointProblem) -> float:
        """Those of a long run."""
        return self.reference_draws * evaluations_a_row(problem, self.reference)


def measure_toy(problem: PointProblem, estimator: Estimator, config: ToyMoments, *, seed: int) -> Moments:
    """One point: variance and bias where the problem has its q, on the CPU."""
    q, f, context = problem.q(), problem.f(), problem.context()
    size = 0 if context is None else context.shape[-1]
    estimator.bind(context_size=size, event=event_shape(q), generator=stream("estimator", seed))
    if [*estimator.buffers(), *estimator.parameters()]:
        own = estimator.double()
        adam: dict[str, Any] = {"learning_rate": config.own_learning_rate, "betas": config.own_betas}
        estimator = warmed(own, q, f, seed=seed, steps=config.warm_up, context=context, **adam)
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
