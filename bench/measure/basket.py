"""The basket: every estimator measured at the same checkpoints of the same reference trajectories.

One trajectory with one minibatch says what holds at that point. What holds of a problem is said by several of both:
minibatches drawn at random for each trajectory, whose spread `bench.statistics.replicates` turns into an interval.
"""

import copy
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field

from bench.bounds import AtMost, Few, LongRun, Repeats, SeedNumber
from bench.config import EstimatorConfig, added_later
from bench.measure.base import Common, Measurement, Settings, register_measurement
from bench.measure.cost import (
    A_NUMBER,
    SINGLE,
    Cost,
    Further,
    calls_of,
    data_bytes,
    evaluations_a_row,
    gradients_bytes,
    has_state,
    on_h100,
    step_bytes,
    typical,
)
from bench.measure.draws import CHUNK_NUMBERS, frozen
from bench.measure.encoder import Encoder, recorded
from bench.measure.points import measure_point
from bench.measure.stops import stops_of
from bench.measure.toy import IntegratedMoments, LongRunMoments, ToyMoments, WarmUp
from bench.measure.trajectory import ELBO_SAMPLES, STATE_ROWS, Checkpoint, Trajectories
from bench.problems.base import PointProblem, Problem, TrainedProblem
from bench.records.results import Moments, Point
from estimators import registry
from estimators.base import Estimator
from estimators.errors import BadInput

Place = Annotated[int, Field(ge=0), AtMost(10**8, "a hundred million steps are weeks of training")]
"""A step of a trajectory."""
Replicates = Annotated[int, Field(ge=1), AtMost(1000, "a thousand show a standard error of a thirtieth of the spread")]


@register_measurement("moments")
class MomentsSettings(Settings):
    """The [moments] table of a suite: where and how gradients are measured."""

    draws: Repeats = 1000
    rows: Annotated[int, Field(ge=3), AtMost(10**6, "no data set here has more rows")] = 20
    """Rows of a fixed minibatch, drawn once from the train split."""
    checkpoints: Annotated[tuple[Place, ...], Field(min_length=1), Few(1000, "each is measured by itself")] = (
        0,
        100,
        1000,
    )
    """Steps of the reference trajectory."""
    trajectories: Replicates = added_later(1)
    """How many, from `trajectory_seed` on; each has an initialisation and an order of the data of its own."""
    minibatches: Replicates = added_later(1)
    """How many of each trajectory, of `rows` rows each, drawn anew for each trajectory."""
    references: Annotated[tuple[EstimatorConfig, ...], Few(100, "the first that fits is taken")] = (
        EstimatorConfig(name="reparameterization"),
        EstimatorConfig(name="rloo"),
        EstimatorConfig(name="iwae-reparameterization"),
        EstimatorConfig(name="vimco"),
    )
    """The first that a problem allows trains its trajectory, and is the long-run reference without an exact one."""
    reference_draws: LongRun = 20000
    trajectory_seed: SeedNumber = 0
    warm_up: WarmUp = 50
    """Steps in which running state settles and own parameters learn at a toy, which has no trajectory."""
    exact: bool = False
    """Whether a toy with an exact gradient is measured by integrating over the noise, where that can be had."""

    def of(self, problem: Problem, common: Common) -> Measurement:
        """At checkpoints of a trajectory, or at a problem whose q stays where it is."""
        if isinstance(problem, TrainedProblem):
            return BasketConfig(
                **self.model_dump(exclude={"references", "warm_up", "exact"}),
                reference=self._reference(problem, common),
                optimisation=common.optimisation,
            )
        training = common.optimisation
        shared: dict[str, Any] = {"draws": self.draws, "warm_up": self.warm_up}
        shared |= {"own_learning_rate": training.own_learning_rate, "own_betas": training.own_betas}
        if isinstance(problem, PointProblem) and problem.exact_method is None:
            reference = self._reference(problem, common)
            return LongRunMoments(**shared, reference=reference, reference_draws=self.reference_draws)
        return (IntegratedMoments if self.exact else ToyMoments)(**shared)

    def _reference(self, problem: Problem, common: Common) -> EstimatorConfig:
        """The first of the references that is unbiased and legal for the problem."""
        for config in self.references:
            entry = registry.get(config.name)
            fits = entry.reason_against(family=problem.family, bound=problem.bound, states=problem.states()) is None
            count = problem.importance_samples or entry.samples.default
            if fits and entry.claims_unbiased(config.options) and entry.samples.allow(count):
                return config.resolved(problem.importance_samples or common.samples)
        raise BadInput(
            f"moments.references holds no unbiased estimator for {problem.label} ({problem.family}, "
            f"{problem.bound}); add one (gradest list estimators)"
        )


class BasketConfig(Trajectories, Measurement):
    """One cell of the basket."""

    asks: ClassVar[type[Problem]] = TrainedProblem
    order: ClassVar[int] = 0
    sizes: ClassVar[str] = "rows, samples or latents"

    kind: Literal["moments"] = "moments"
    draws: int

    def cost(self, problem: TrainedProblem, config: EstimatorConfig) -> Cost | None:
        """Draws at each checkpoint of each minibatch, and the way there."""
        evaluations, by_reference = evaluations_a_row(problem, config), evaluations_a_row(problem, self.reference)
        widths, of_reference = problem.widths(evaluations), problem.widths(by_reference)
        further, batch = Further.of(problem, self.optimisation), self.optimisation.batch
        if widths is None or of_reference is None or further is None:
            return None
        places = len(set(self.checkpoints)) * self.minibatches * self.trajectories
        coordinates = widths.parameters * (1 if problem.shares_latents else self.rows)
        last = max(self.checkpoints)
        steps = self.trajectories * last
        held, made = step_bytes(widths, self.optimisation, 1, max(evaluations, by_reference))

        # The trajectory, and the gradient that is held against: by the states, or by a long run.
        states, samples = problem.states(), problem.importance_samples or 1
        exact = problem.exact_method is not None  # which takes next to nothing where it is no enumeration
        looks = float(states or 0) ** samples if exact else self.reference_draws * by_reference
        known = places * self.rows * (looks + ELBO_SAMPLES)
        trained = steps * batch * by_reference
        shared = typical(steps, trained, of_reference, backward=True) + typical(
            places, known, of_reference, backward=False
        )
        trained += steps * batch * further.evaluations
        shared += further.seconds(steps, batch)
        first = Cost(trained + known, shared, steps=steps, on_h100=on_h100(steps + places, shared))

        drawn = places * self.draws * self.rows * evaluations
        calls = places * calls_of(self.draws, self.rows * evaluations * widths.of_f / 4)
        seconds = typical(calls, drawn, widths, backward=False) + places * self.draws * coordinates * 40 * A_NUMBER
        if has_state(config):
            calls += 2 * steps
            both = by_reference + evaluations
            seconds += typical(2 * steps, steps * batch * both, widths, backward=True) + further.seconds(steps, batch)
        block = gradients_bytes(self.draws, coordinates, self.rows * widths.behind // 2)
        if not exact:
            block = max(block, gradients_bytes(self.reference_draws, coordinates))
        a_call = max(4 * CHUNK_NUMBERS["cpu"], self.rows * evaluations * widths.at_once) * SINGLE
        at_states = min(looks, STATE_ROWS / self.rows) * self.rows * widths.of_f * SINGLE if exact else 0.0
        kept = (len(set(self.checkpoints)) * self.trajectories + 4) * widths.weights * SINGLE
        memory = data_bytes(problem, 1) + kept + max(held + made + further.memory(batch), block + a_call, at_states)
        return Cost(drawn, seconds, memory, first, on_h100=on_h100(calls, seconds))

    def run(self, problem: TrainedProblem, estimator: Estimator, *, seed: int, device: torch.device) -> Moments:
        """A point a checkpoint, of each minibatch of each trajectory."""
        return measure_basket(problem, estimator, self, seed=seed, device=device)


def measure_basket(
    problem: TrainedProblem, estimator: Estimator, config: BasketConfig, *, seed: int, device: torch.device
) -> Moments:
    """Points of one estimator: moments with respect to q's parameters and to encoder weights."""
    points, weights = [], []
    for trajectory in range(config.trajectories):
        own = estimator if config.trajectories == 1 else copy.deepcopy(estimator)
        stops = stops_of(problem, own, config, device, trajectory)
        weights.append(stops.weights)
        points += [_point(stop, warm, config, seed) for stop, warm in stops.places]
    more: dict[str, Any] = {"weights": tuple(weights)} if config.replicated else {}
    return Moments(points=tuple(points), **more)


def _point(stop: Checkpoint, estimator: Estimator, config: BasketConfig, seed: int) -> Point:
    model, x = stop.model, stop.x
    network = model.encoder_network()
    with frozen(*model.networks_of_f()):
        with recorded(network) as layers:
            q = model.encode(x)
        point = measure_point(
            estimator,
            q,
            model.objective(x),
            stop.reference,
            draws=config.draws,
            seed=stop.seed("checkpoint", seed),
            context=model.context(x),
            closed_form=model.closed_form,
            encoder=None if network is None else Encoder(q, layers),
            compile=config.optimisation.compile,
        )
    where: dict[str, Any] = {"step": stop.step, "elbo": stop.elbo}
    if stop.replicate is not None:
        where |= dict(zip(("trajectory", "minibatch"), stop.replicate, strict=True))
    return point.model_copy(update=where)
