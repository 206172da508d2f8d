"""The basket: every estimator measured at the same checkpoints of one reference trajectory.

The trajectory is one seed's training with a reference estimator. An estimator with running state or parameters of its
own is warmed up along it: it is called on every minibatch and learns from it, but does not train the model, so that at
a checkpoint its state is as settled as it would be in its own training.
"""

import copy
from collections.abc import Iterable, Iterator
from functools import cached_property, lru_cache
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.distributions import Distribution

from bench.config import EstimatorConfig
from bench.measure.base import Common, Measurement, Settings, register_measurement
from bench.measure.draws import frozen, gradients
from bench.measure.encoder import Encoder, recorded
from bench.measure.points import Reference, exact_reference, long_run_reference, measure_point
from bench.measure.toy import IntegratedMoments, LongRunMoments, ToyMoments
from bench.problems.base import PointProblem, Problem, TrainedProblem
from bench.problems.model import Model
from bench.records.results import Moments
from bench.seeds import derive, stream
from bench.training.batches import Batches, shared_rows
from bench.training.evaluation import evaluate
from bench.training.settings import Optimisation
from bench.training.steps import Steps
from bench.training.trainer import Trainer
from estimators import registry
from estimators.base import Estimator
from estimators.errors import BadInput
from estimators.exact import expectation_of_bound, expectation_parts
from estimators.families.quadrature import MAX_STATES

ELBO_SAMPLES = 100
STATE_ROWS = 2**14
"""Rows of joint states that the exact reference evaluates at once."""


@register_measurement("moments")
class MomentsSettings(Settings):
    """The [moments] table of a suite: where and how gradients are measured."""

    draws: Annotated[int, Field(ge=3)] = 1000
    rows: Annotated[int, Field(ge=3)] = 20
    """Rows of the fixed minibatch, drawn once from the train split."""
    checkpoints: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = (0, 100, 1000)
    """Steps of the reference trajectory."""
    references: tuple[EstimatorConfig, ...] = (
        EstimatorConfig(name="reparameterization"),
        EstimatorConfig(name="rloo"),
        EstimatorConfig(name="iwae-reparameterization"),
        EstimatorConfig(name="vimco"),
    )
    """The first that a problem allows trains its trajectory, and is the long-run reference without an exact one."""
    reference_draws: Annotated[int, Field(ge=1000)] = 20000
    trajectory_seed: Annotated[int, Field(ge=0)] = 0
    warm_up: Annotated[int, Field(ge=0)] = 50
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
        rate = common.optimisation.own_learning_rate
        shared: dict[str, Any] = {"draws": self.draws, "warm_up": self.warm_up, "own_learning_rate": rate}
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


class BasketConfig(Measurement):
    """One cell of the basket."""

    asks: ClassVar[type[Problem]] = TrainedProblem
    order: ClassVar[int] = 0

    kind: Literal["moments"] = "moments"
    draws: int
    rows: int
    checkpoints: tuple[int, ...]
    reference: EstimatorConfig
    reference_draws: int
    trajectory_seed: int
    optimisation: Optimisation

    def run(self, problem: TrainedProblem, estimator: Estimator, *, seed: int, device: torch.device) -> Moments:
        """A point a checkpoint."""
        return measure_basket(problem, estimator, self, seed=seed, device=device)


class Checkpoint:
    """A model on the trajectory, and the fixed minibatch there."""

    def __init__(self, step: int, problem: TrainedProblem, model: Model, rows: Tensor, config: BasketConfig) -> None:
        self.step, self.problem, self.model, self.config = step, problem, copy.deepcopy(model), config
        self.x = rows[None]  # a stack of one seed

    @cached_property
    def elbo(self) -> float:
        """ELBO of the minibatch in nats a row."""
        return float(evaluate(self.model, self.x[0], samples=ELBO_SAMPLES, seed=0)[0])

    @cached_property
    def reference(self) -> Reference:
        """The gradient of the whole loss: exact, or the long-run mean of the trajectory's estimator."""
        problem, config, model = self.problem, self.config, self.model
        q, f = model.encode(self.x), model.objective(self.x)
        states, samples = problem.states(), problem.importance_samples or 1
        if states is not None and states**samples <= MAX_STATES:

            def parts(q: Distribution) -> Iterator[Tensor]:
                if problem.bound == "iwae":
                    yield expectation_of_bound(q, f, samples)
                else:
                    rows = config.rows * problem.states_within_f()
                    yield from expectation_parts(q, f, max(1, STATE_ROWS // rows))
                if (closed := model.closed_form(q)) is not None:
                    yield closed

            return exact_reference(parts, q, "enumeration")
        estimator = problem.estimator(config.reference)
        estimator.bind(stack=(1,), event=model.event).to(self.x.device)
        context, closed_form = model.context(self.x), model.closed_form

        def draw(draws: int, seed: int) -> Iterator[Tensor]:
            more: Any = {"context": context, "closed_form": closed_form, "compile": config.optimisation.compile}
            return gradients(estimator, q, f, draws=draws, seed=seed, **more)

        return long_run_reference(draw, draws=config.reference_draws, seed=self.step, label=config.reference.label)


def travel(
    problem: TrainedProblem, config: BasketConfig, device: torch.device, learner: Estimator | None = None
) -> Iterator[Checkpoint]:
    """Train the reference trajectory and give its checkpoints, in order of steps.

    Args:
        problem: what is trained.
        config: how, and where the checkpoints are.
        device: where.
        learner: an estimator to warm up along it, bound; None for none.
    """
    dataset = problem.data()
    model = problem.model(dataset, [config.trajectory_seed]).to(device)
    reference = problem.estimator(config.reference)
    initial = stream("estimator", config.trajectory_seed)
    reference.bind(stack=(1,), context_size=model.context_size, event=model.event, generator=initial)
    trainer = Trainer(model, reference.to(device), config.optimisation, config.trajectory_seed, passenger=learner)
    steps = Steps(trainer, Batches(dataset, config.optimisation.batch, [config.trajectory_seed], device))
    rows = shared_rows(dataset.train, config.rows, dataset.dynamic).to(device)
    for step in sorted(set(config.checkpoints)):
        steps.run(step - trainer.steps)
        yield Checkpoint(step, problem, model, rows, config)


@lru_cache(maxsize=4)
def _checkpoints(
    problem: TrainedProblem, config: BasketConfig, device: torch.device, matmul_precision: str
) -> tuple[Checkpoint, ...]:
    """The trajectory with no estimator to warm up, trained once in a process and shared by its cells.

    The precision is that of torch, by which trajectories of one process may differ.
    """
    return tuple(travel(problem, config, device))


def measure_basket(
    problem: TrainedProblem, estimator: Estimator, config: BasketConfig, *, seed: int, device: torch.device
) -> Moments:
    """Points of one estimator, one a checkpoint: moments with respect to q's parameters and to encoder weights."""
    stops = _checkpoints(problem, config, device, torch.get_float32_matmul_precision())
    initial = stream("estimator", config.trajectory_seed)
    first = stops[0].model
    sizes: dict[str, Any] = {"stack": (1,), "context_size": first.context_size, "event": first.event}
    estimator.bind(**sizes, generator=initial).to(device)
    warm: Iterable[Checkpoint] = stops
    if [*estimator.buffers(), *estimator.parameters()]:  # trained along the trajectory up to each checkpoint
        warm = travel(problem, config, device, estimator)
    points = []
    for stop, _ in zip(stops, warm, strict=True):
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
                seed=derive("checkpoint", seed, stop.step),
                context=model.context(x),
                closed_form=model.closed_form,
                encoder=None if network is None else Encoder(q, layers),
                compile=config.optimisation.compile,
            )
        points.append(point.model_copy(update={"step": stop.step, "elbo": stop.elbo}))
    return Moments(points=tuple(points))
