"""Reference trajectories: trainings by a reference estimator, at whose checkpoints gradients are measured.

An estimator with running state or parameters of its own travels along: it is called on every minibatch and learns from
it, but does not train the model, so that at a checkpoint its state is as settled as it would be in its own training.

Rounding grows along a training, so that another machine comes to other weights. Where trajectories are replicated, the
weights at their checkpoints, rounded to half precision, are therefore kept beside the records: whoever has the file
measures at the same weights, and finds the same variances up to the rounding of one gradient.
"""

import copy
import hashlib
import json
from collections.abc import Iterator, Mapping
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution

from bench.config import Config, EstimatorConfig, added_later
from bench.measure.draws import gradients
from bench.measure.points import Reference, exact_reference, long_run_reference
from bench.problems.base import TrainedProblem
from bench.problems.model import Model
from bench.seeds import derive, stream
from bench.training.batches import Batches, shared_rows
from bench.training.checkpoint import KEEPER, State, module_state, restore_module
from bench.training.evaluation import evaluate
from bench.training.settings import Optimisation
from bench.training.steps import Steps
from bench.training.trainer import Trainer
from estimators.base import Estimator
from estimators.exact import expectation_of_bound, expectation_parts
from estimators.families.quadrature import MAX_STATES

ELBO_SAMPLES = 100
STATE_ROWS = 2**14
"""Rows of joint states that the exact reference evaluates at once."""
KEPT_NUMBERS = 4096
"""Size of an estimator's own state up to which it is kept beside the weights."""


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

        seed = self.step if self.replicate is None else self.seed("place")
        return long_run_reference(draw, draws=config.reference_draws, seed=seed, label=config.reference.label)


def _minibatches(problem: TrainedProblem, config: Trajectories, trajectory: int, device: torch.device) -> list[Tensor]:
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
    trainer = Trainer(model, reference.to(device), config.optimisation, seed, passenger=learner)
    steps = Steps(trainer, Batches(dataset, config.optimisation.batch, [seed], device))
    minibatches = _minibatches(problem, config, trajectory, device)
    for step in sorted(set(config.checkpoints)):
        steps.run(step - trainer.steps)
        there = copy.deepcopy(model)
        for k, rows in enumerate(minibatches):
            yield Checkpoint(step, problem, there, rows, config, (trajectory, k) if config.replicated else None)


def _name(*parts: Any) -> str:
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@lru_cache(maxsize=4)
def _digest(rows: Tensor) -> str:
    """The hash of a data set's rows, which are the same object for all cells of a process."""
    return hashlib.sha256(rows.cpu().contiguous().numpy().tobytes()).hexdigest()[:16]


class Weights(NamedTuple):
    """A trajectory's weights in half precision, by checkpoint and name."""

    of_steps: Mapping[str, Mapping[str, Tensor]]

    @property
    def digest(self) -> str:
        """16 hex digits of their hash."""
        found = hashlib.sha256()
        for step, weights in sorted(self.of_steps.items()):
            for name, value in sorted(weights.items()):
                found.update(f"{step} {name} {tuple(value.shape)}".encode())
                found.update(value.contiguous().numpy().tobytes())
        return found.hexdigest()[:16]

    def __hash__(self) -> int:
        return hash(self.digest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Weights) and self.digest == other.digest


def _halves(model: Model) -> dict[str, Tensor]:
    """The parameters in half precision.

    Raises:
        FloatingPointError: one is not finite there, as of a training that diverged.
    """
    found = {name: value.detach().half().cpu() for name, value in model.named_parameters()}
    if bad := [name for name, value in found.items() if not value.isfinite().all()]:
        raise FloatingPointError(f"the reference trajectory diverged: {bad[0]} is not finite in half precision")
    return found


@lru_cache(maxsize=16)
def _trained(
    problem: TrainedProblem, config: Trajectories, device: torch.device, matmul_precision: str, trajectory: int
) -> dict[str, dict[str, Tensor]]:
    """The weights of a trajectory with no estimator to warm up, trained once in a process."""
    return {str(stop.step): _halves(stop.model) for stop in travel(problem, config, device, trajectory=trajectory)}


@lru_cache(maxsize=16)
def _along(
    problem: TrainedProblem,
    config: Trajectories,
    device: torch.device,
    matmul_precision: str,
    trajectory: int,
    weights: Weights | None,
) -> tuple[Checkpoint, ...]:
    """The checkpoints of a trajectory, made once in a process and shared by its cells.

    Without weights they are of a training with no estimator to warm up. The precision is that of torch, by which
    trajectories of one process may differ.
    """
    if weights is None:
        return tuple(travel(problem, config, device, trajectory=trajectory))
    dataset, seed = problem.data(), config.trajectory_seed + trajectory
    found = []
    minibatches = _minibatches(problem, config, trajectory, device)
    for step in sorted(set(config.checkpoints)):
        model = problem.model(dataset, [seed])
        kept = weights.of_steps.get(str(step), {})
        if {name: p.shape for name, p in model.named_parameters()} != {name: p.shape for name, p in kept.items()}:
            raise ValueError(
                f"the weights that are kept for step {step} are not those of this model: delete their file"
            )
        with torch.no_grad():
            for name, value in model.named_parameters():
                value.copy_(kept[name])
        model.to(device)
        found += [Checkpoint(step, problem, model, rows, config, (trajectory, k)) for k, rows in enumerate(minibatches)]
    return tuple(found)


class Stops(NamedTuple):
    """The checkpoints of a trajectory, each with the estimator as warm as it is there."""

    places: list[tuple[Checkpoint, Estimator]]
    weights: str
    """The hash of the weights that are kept; empty where none are."""


def stops_of(
    problem: TrainedProblem, estimator: Estimator, config: Trajectories, device: torch.device, trajectory: int
) -> Stops:
    """Where an estimator is measured on one of the trajectories.

    Args:
        problem: what is trained.
        estimator: not bound yet; bound to one seed where it has no state, else copied.
        config: how, and where.
        device: where it computes.
        trajectory: which of them.
    """
    precision, weights = torch.get_float32_matmul_precision(), None
    keeper = KEEPER.get()
    key: tuple[Any, ...] = ()
    of = (type(problem), type(problem.estimator(config.reference)))
    if config.replicated:
        key = (problem.model_dump(mode="json"), config.training(trajectory), _digest(problem.data().train))
        made = keeper.shared(_name(*key), lambda: _trained(problem, config, device, precision, trajectory), of=of)
        weights = Weights(made)
    stops = _along(problem, config, device, precision, trajectory, weights)
    first, initial = stops[0].model, stream("estimator", config.trajectory_seed + trajectory)
    sizes: dict[str, Any] = {"stack": (1,), "context_size": first.context_size, "event": first.event}
    estimator.bind(**sizes, generator=initial).to(device)
    digest = weights.digest if weights else ""
    if not [*estimator.buffers(), *estimator.parameters()]:
        return Stops([(stop, estimator) for stop in stops], digest)

    def warmed() -> dict[int, Estimator]:
        """The estimator at each step, trained along the trajectory."""
        learner, found = copy.deepcopy(estimator), dict[int, Estimator]()
        for stop in travel(problem, config, device, learner, trajectory):
            if stop.step not in found:
                found[stop.step] = copy.deepcopy(learner)
        return found

    if weights is None or sum(t.numel() for t in (*estimator.buffers(), *estimator.parameters())) > KEPT_NUMBERS:
        warm = warmed()
    else:
        name = _name(*key, repr(estimator))

        def made_now() -> State:
            return {str(step): module_state(one) for step, one in warmed().items()}

        states = keeper.shared(name, made_now, of=of, own=True)
        warm = {stop.step: _with_state(estimator, states[str(stop.step)]) for stop in stops}
    return Stops([(stop, warm[stop.step]) for stop in stops], digest)


def _with_state(estimator: Estimator, state: State) -> Estimator:
    own = copy.deepcopy(estimator)
    restore_module(own, state)
    return own
