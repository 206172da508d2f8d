"""Where gradients are measured along reference trajectories, and what of it is trained once and kept.

Rounding grows along a training, so that another machine comes to other weights. Where trajectories are replicated, the
weights at their checkpoints, rounded to half precision, are therefore kept beside the records: whoever has the file
measures at the same weights, and finds the same variances up to the rounding of one gradient.
"""

import copy
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bench.measure.trajectory import Checkpoint, Trajectories, minibatches_of, travel
from bench.problems.base import TrainedProblem
from bench.problems.model import Model
from bench.records.identity import digest
from bench.seeds import stream
from bench.training.checkpoint import KEEPER, State, module_state, restore_module
from estimators import registry
from estimators.base import Estimator

KEPT_NUMBERS = 4096
"""Size of an estimator's own state up to which it is kept beside the weights."""


@lru_cache(maxsize=4)
def _of_rows(rows: Tensor) -> str:
    """The hash of a data set's rows, which are the same object for all cells of a process."""
    return hashlib.sha256(rows.cpu().contiguous().numpy().tobytes()).hexdigest()[:16]


@dataclass(frozen=True)
class Weights:
    """A trajectory's weights in half precision; equal where their hashes are."""

    digest: str
    """16 hex digits of their hash."""
    of_steps: Mapping[str, Mapping[str, Tensor]] = field(compare=False)
    """By checkpoint and name."""

    @classmethod
    def of(cls, steps: Mapping[str, Mapping[str, Tensor]]) -> "Weights":
        """With their hash."""
        found = hashlib.sha256()
        for step, weights in sorted(steps.items()):
            for name, value in sorted(weights.items()):
                found.update(f"{step} {name} {tuple(value.shape)}".encode())
                found.update(value.contiguous().numpy().tobytes())
        return cls(found.hexdigest()[:16], steps)


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
    minibatches = minibatches_of(problem, config, trajectory, device)
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
    of = (type(problem), registry.get(config.reference.name).cls)
    if config.replicated:
        key = (problem.model_dump(mode="json"), config.training(trajectory), _of_rows(problem.data().train))
        made = keeper.shared(digest(key), lambda: _trained(problem, config, device, precision, trajectory), of=of)
        weights = Weights.of(made)
    stops = _along(problem, config, device, precision, trajectory, weights)
    first, initial = stops[0].model, stream("estimator", config.trajectory_seed + trajectory)
    sizes: dict[str, Any] = {"stack": (1,), "context_size": first.context_size, "event": first.event}
    estimator.bind(**sizes, generator=initial).to(device)
    kept, numbers = weights.digest if weights else "", [*estimator.buffers(), *estimator.parameters()]
    if not numbers:
        return Stops([(stop, estimator) for stop in stops], kept)

    def warmed() -> dict[int, Estimator]:
        """The estimator at each step, trained along the trajectory."""
        learner, found = copy.deepcopy(estimator), dict[int, Estimator]()
        for stop in travel(problem, config, device, learner, trajectory):
            if stop.step not in found:
                found[stop.step] = copy.deepcopy(learner)
        return found

    if weights is None or sum(t.numel() for t in numbers) > KEPT_NUMBERS:
        warm = warmed()
    else:
        name = digest((*key, repr(estimator)))

        def made_now() -> State:
            return {str(step): module_state(one) for step, one in warmed().items()}

        states = keeper.shared(name, made_now, of=of, own=True)
        warm = {stop.step: _with_state(estimator, states[str(stop.step)]) for stop in stops}
    return Stops([(stop, warm[stop.step]) for stop in stops], kept)


def _with_state(estimator: Estimator, state: State) -> Estimator:
    own = copy.deepcopy(estimator)
    restore_module(own, state)
    return own
