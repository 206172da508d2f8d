"""The basket: every estimator measured at the same checkpoints of one reference trajectory.

The trajectory is one seed's training with a reference estimator. An estimator with running state or parameters of its
own is trained beside it: it sees every minibatch and learns from it, but does not move the model, so that at a
checkpoint it is as warm as it would be in its own training.
"""

import copy
from collections.abc import Iterable, Iterator
from functools import cached_property, lru_cache
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.distributions import Distribution

from bench.config import Config, EstimatorConfig
from bench.datasets import load_once
from bench.measure.draws import frozen, gradients
from bench.measure.encoder import Encoder, recorded
from bench.measure.points import Reference, exact_reference, long_run_reference, measure_point
from bench.problems.per_layer import build
from bench.problems.vae import VAE, VAEConfig
from bench.records.results import Moments
from bench.seeds import derive, stream
from bench.training.batches import Batches, binarised, subset
from bench.training.evaluation import evaluate
from bench.training.trainer import Optimisation, Trainer, make_optimiser
from estimators.base import Estimator
from estimators.entry import MAX_STATES
from estimators.exact import expectation_of_bound, expectation_parts

ELBO_SAMPLES = 100
STATE_ROWS = 2**14
"""Rows of joint states that the exact reference evaluates at once."""


class MomentsSettings(Config):
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


class BasketConfig(Config):
    """One cell of the basket."""

    kind: Literal["moments"] = "moments"
    draws: int
    rows: int
    checkpoints: tuple[int, ...]
    reference: EstimatorConfig
    reference_draws: int
    trajectory_seed: int
    optimisation: Optimisation


class Checkpoint:
    """A model on the trajectory, and the fixed minibatch there."""

    def __init__(self, step: int, vae: VAE, rows: Tensor, config: BasketConfig) -> None:
        self.step, self.vae, self.config = step, copy.deepcopy(vae), config
        self.x = rows[None]  # a stack of one seed

    @cached_property
    def elbo(self) -> float:
        """ELBO of the minibatch in nats a row."""
        return float(evaluate(self.vae, self.x[0], samples=ELBO_SAMPLES, seed=0)[0])

    @cached_property
    def reference(self) -> Reference:
        """The gradient of the whole loss: exact, or the long-run mean of the trajectory's estimator."""
        problem, config, vae = self.vae.config, self.config, self.vae
        q, f = vae.encode(self.x), vae.objective(self.x)
        states, samples = problem.states(), problem.importance_samples or 1
        if states is not None and states**samples <= MAX_STATES:

            def parts(q: Distribution) -> Iterator[Tensor]:
                if problem.bound == "iwae":
                    yield expectation_of_bound(q, f, samples)
                else:
                    yield from expectation_parts(q, f, max(1, STATE_ROWS // (config.rows * problem.upper_states())))
                if (closed := vae.closed_form(q)) is not None:
                    yield closed

            return exact_reference(parts, q, "enumeration")
        estimator = build(problem, config.reference)
        estimator.bind(stack=(1,), event=vae.event).to(self.x.device)

        def draw(draws: int, seed: int) -> Iterator[Tensor]:
            return gradients(estimator, q, f, draws=draws, seed=seed, context=self.x, closed_form=vae.closed_form)

        return long_run_reference(draw, draws=config.reference_draws, seed=self.step, label=config.reference.label)


def travel(
    problem: VAEConfig, config: BasketConfig, device: torch.device, learner: Estimator | None = None
) -> Iterator[Checkpoint]:
    """Train the reference trajectory and stop at its checkpoints, in order of steps."""
    dataset = load_once(problem.dataset)
    vae = VAE(problem, dataset.train.mean(0), [config.trajectory_seed]).to(device)
    context_size = dataset.train.shape[1]
    driver = build(problem, config.reference)
    initial = stream("estimator", config.trajectory_seed)
    driver.bind(stack=(1,), context_size=context_size, event=vae.event, generator=initial)
    trainer = Trainer(vae, driver.to(device), config.optimisation, noise_seed=config.trajectory_seed)
    data = Batches(dataset, config.optimisation.batch, [config.trajectory_seed], device)
    generator = stream("passenger", config.trajectory_seed, device=device)
    own = list(learner.parameters()) if learner else []
    optimiser = None
    if own:
        rate = config.optimisation.own_learning_rate
        optimiser = make_optimiser(config.optimisation, [{"params": own, "lr": rate}])
    rows = binarised(subset(dataset.train, config.rows)).to(device)
    for step in range(max(config.checkpoints) + 1):
        if step in config.checkpoints:
            yield Checkpoint(step, vae, rows, config)
        x = next(data)
        if learner is not None:
            with torch.no_grad():
                q = vae.encode(x)
            with torch.set_grad_enabled(optimiser is not None):
                auxiliary = learner(q, vae.objective(x), generator=generator, context=x).auxiliary
            if optimiser is not None and auxiliary is not None:
                optimiser.zero_grad()
                auxiliary.mean().backward()
                optimiser.step()
        trainer.step(x)


@lru_cache(maxsize=4)
def _checkpoints(problem: VAEConfig, config: BasketConfig, device: torch.device) -> tuple[Checkpoint, ...]:
    """The trajectory by itself, trained once in a process and shared by its cells."""
    return tuple(travel(problem, config, device))


def measure_basket(
    problem: VAEConfig, estimator: Estimator, config: BasketConfig, *, seed: int, device: torch.device
) -> Moments:
    """Points of one estimator, one a checkpoint: moments with respect to q's parameters and to encoder weights."""
    stops = _checkpoints(problem, config, device)
    initial = stream("estimator", config.trajectory_seed)
    context_size, event = stops[0].x.shape[-1], stops[0].vae.event
    estimator.bind(stack=(1,), context_size=context_size, event=event, generator=initial).to(device)
    paces: Iterable[Checkpoint] = stops
    if [*estimator.buffers(), *estimator.parameters()]:
        paces = travel(problem, config, device, estimator.train())
    points = []
    for stop, _ in zip(stops, paces, strict=True):
        vae, x = stop.vae, stop.x
        with frozen(vae.decoder):
            with recorded(vae.encoder) as layers:
                q = vae.encode(x)
            point = measure_point(
                estimator,
                q,
                vae.objective(x),
                stop.reference,
                draws=config.draws,
                seed=derive("checkpoint", seed, stop.step),
                context=x,
                closed_form=vae.closed_form,
                encoder=Encoder(q, layers),
            )
        points.append(point.model_copy(update={"step": stop.step, "elbo": stop.elbo}))
    return Moments(points=tuple(points))
