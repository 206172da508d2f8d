"""Reference trajectories: trainings by a reference estimator, at whose checkpoints gradients are measured.

An estimator with running state or parameters of its own travels along: it is called on every minibatch and learns from
it, but does not train the model, so that at a checkpoint its state is as settled as it would be in its own training.
"""

import copy
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from bench.config import Config, EstimatorConfig, added_later
from bench.measure.draws import gradients
from bench.measure.points import Reference, exact_reference, long_run_reference
from bench.problems.base import ENUMERATION, TrainedProblem
from bench.problems.model import Model
from bench.seeds import derive, stream
from bench.training.batches import Batches, shared_rows
from bench.training.evaluation import evaluate
from bench.training.settings import Optimisation
from bench.training.steps import Steps
from bench.training.trainer import Trainer
from estimators.base import Estimator
from estimators.exact import expectation_of_bound, expectation_parts

ELBO_SAMPLES = 100
STATE_ROWS = 2**14
"""Rows of joint states that the exact reference evaluates at once."""


class Trajectories(Config):
    """Where a basket is measured: how the trajectories are trained, and their checkpoints and minibatches."""

    rows: int
    checkpoints: tuple[int, ...]
    reference: EstimatorConfig
    reference_draws: int
    trajectory_seed: int
    trajectories: int = added_later(1)
    minibatches: int = added_later(1)
    optimisation: Optimisation

    @property
    def replicated(self) -> bool:
        """Whether there is more than one trajectory with one minibatch."""
        return self.trajectories * self.minibatches > 1

    def training(self, trajectory: int) -> dict[str, Any]:
        """All that the weights of one of them depend on, but for the problem."""
        own = {"reference", "optimisation", "checkpoints"}
        return {**self.model_dump(mode="json", include=own), "seed": self.trajectory_seed + trajectory}


class Checkpoint:
    """A model on a trajectory, and a fixed minibatch there."""

    def __init__(
        self,
        step: int,
        problem: TrainedProblem,
        model: Model,
        rows: Tensor,
        config: Trajectories,
        replicate: tuple[int, int] | None = None,
    ) -> None:
        self.step, self.problem, self.model, self.config = step, problem, model, config
        self.x = rows[None]  # a stack of one seed
        model.at_step(torch.tensor(step))  # its loss is that of the next step
        self.replicate = replicate
        """Which trajectory and which of its minibatches, where there are several."""

    @cached_property
    def elbo(self) -> float:
        """ELBO of the minibatch in nats a row."""
        return float(evaluate(self.model, self.x[0], samples=ELBO_SAMPLES, seed=0)[0])

    def seed(self, purpose: str, *keys: int) -> int:
        """A seed of this place alone."""
        return derive(purpose, *keys, self.step, *(self.replicate or ()))

    @cached_property
    def reference(self) -> Reference:
        """The gradient of the whole loss: exact, or the long-run mean of the trajectory's estimator."""
        problem, config, model = self.problem, self.config, self.model
        q, f = model.encode(self.x), model.objective(self.x)
        if (method := problem.exact_method) is not None:

            def parts(q: Distribution) -> Iterator[Tensor]:
                if method != ENUMERATION:
                    yield model.expectation(self.x, q)
                elif problem.bound == "iwae":
                    yield expectation_of_bound(q, f, problem.importance_samples or 1)
                else:
                    rows = config.rows * problem.states_within_f()
                    yield from expectation_parts(q, f, max(1, STATE_ROWS // rows))
                if (closed := model.closed_form(q)) is not None:
                    yield closed

            return exact_reference(parts, q, method)
        estimator = problem.estimator(config.reference)
        estimator.bind(stack=(1,), event=model.event).to(self.x.device)
        context, closed_form = model.context(self.x), model.closed_form

        def draw(draws: int, seed: int) -> Iterator[Tensor]:
            more: Any = {"context": context, "closed_form": closed_form, "compile": config.optimisation.compile}
            return gradients(estimator, q, f, draws=draws, seed=seed, **more)

        seed = self.step if self.replicate is None else self.seed("place")
        return long_run_reference(draw, draws=config.reference_draws, seed=seed, label=config.reference.label)


def minibatches_of(
    problem: TrainedProblem, config: Trajectories, trajectory: int, device: torch.device
) -> list[Tensor]:
    """The rows [B, X] of each minibatch of a trajectory, drawn once from the train split."""
    dataset, seed = problem.data(), config.trajectory_seed + trajectory
    keys = [(seed, k) for k in range(config.minibatches)] if config.replicated else [()]
    return [shared_rows(dataset.train, config.rows, dataset.dynamic, *key).to(device) for key in keys]


def travel(
    problem: TrainedProblem,
    config: Trajectories,
    device: torch.device,
    learner: Estimator | None = None,
    trajectory: int = 0,
) -> Iterator[Checkpoint]:
    """Train a reference trajectory and give its checkpoints, in order of steps, one for each minibatch.

    Args:
        problem: what is trained.
        config: how, and where the checkpoints are.
        device: where.
        learner: an estimator to warm up along it, bound; None for none.
        trajectory: which of them.
    """
    dataset, seed = problem.data(), config.trajectory_seed + trajectory
    model = problem.model(dataset, [seed]).to(device)
    reference = problem.estimator(config.reference)
    initial = stream("estimator", seed)
    reference.bind(stack=(1,), context_size=model.context_size, event=model.event, generator=initial)
    count = problem.importance_samples
    trainer = Trainer(model, reference.to(device), config.optimisation, seed, learner, importance_samples=count)
    steps = Steps(trainer, Batches(dataset, config.optimisation.batch, [seed], device))
    minibatches = minibatches_of(problem, config, trajectory, device)
    for step in sorted(set(config.checkpoints)):
        steps.run(step - trainer.steps)
        there = copy.deepcopy(model)
        for k, rows in enumerate(minibatches):
            yield Checkpoint(step, problem, there, rows, config, (trajectory, k) if config.replicated else None)
