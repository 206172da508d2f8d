"""Wall clock of a training step beside its floor, interleaved so that the ratio survives a noisy machine.

The floor is the same model, optimiser and number of decoder rows with samples and learning signal given: what remains
above it is the estimator's own work.
"""

import os
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
from pydantic import Field
from torch import Generator, Tensor
from torch.distributions import Distribution

from bench.clock import interleaved
from bench.config import Config
from bench.datasets import load_once
from bench.measure.moments import probe
from bench.problems.per_layer import PerLayer
from bench.problems.vae import VAE, VAEConfig
from bench.seeds import stream
from bench.training import Optimisation, Trainer, batches
from estimators.base import Estimate, Estimator, Objective
from estimators.distributions import parameters, sample, stopped


class TimeSettings(Config):
    """The [time] table of a suite: how a step is timed."""

    stacked: Annotated[int, Field(ge=1)] = 1
    """Seeds stacked in the timed step."""
    rounds: Annotated[int, Field(ge=5)] = 30
    warm_up: Annotated[int, Field(ge=1)] = 5


class TimeConfig(TimeSettings):
    """One timing cell."""

    kind: Literal["time"] = "time"
    optimisation: Optimisation


class Given(Estimator):
    """The floor: z and the learning signal are constants, drawn once; both models are still differentiated."""

    def __init__(self, samples: int) -> None:
        super().__init__(samples)
        self.z: Tensor | None = None

    def bind(
        self,
        *,
        stack: Sequence[int] = (),
        context_size: int = 0,
        event: Sequence[int] = (),
        generator: Generator | None = None,
    ) -> Self:
        """Forget the constants, whose shape may have changed."""
        self.z = None
        return self

    def forward(
        self,
        q: Distribution,
        f: Objective,
        *,
        generator: Generator | None = None,
        context: Tensor | None = None,
    ) -> Estimate:
        """Surrogate with f's own gradient and a constant gradient for q's parameters."""
        if self.z is None:
            self.z = sample(q, self.samples, generator)
        cost = f(self.z, stopped(q)).mean(0)
        event = (-1,) if parameters(q)[0].dim() == cost.dim() + 1 else (-2, -1)
        signal = torch.stack([p.sum(event) for p in parameters(q)]).sum(0)
        return Estimate(cost + signal, cost.detach())


def measure_time(
    problem: VAEConfig, estimator: Estimator, config: TimeConfig, *, seed: int, device: torch.device
) -> dict[str, Any]:
    """Median and quartiles of a step, of its floor, and of their ratio round by round."""
    dataset = load_once(problem.dataset)
    seeds = list(range(config.stacked))
    data = batches(dataset, config.optimisation.batch, seeds, device)

    def trainer(timed: Estimator) -> Trainer:
        vae = VAE(problem, dataset.train.mean(0), seeds).to(device)
        initial = stream("estimator", seed)
        pixels = dataset.train.shape[1]
        timed.bind(stack=(len(seeds),), context_size=pixels, event=vae.event, generator=initial).to(device)
        return Trainer(vae, timed, config.optimisation, noise_seed=seed)

    subject = trainer(estimator)
    x = next(data)
    with torch.no_grad():
        f_evals = probe(estimator, subject.vae.encode(x), subject.vae.objective(x), x).evaluations
    peak = _peak_memory(subject, x, device)
    floor = trainer(_floor_of(estimator, f_evals))
    steps, floors = interleaved(
        [lambda: subject.step(x), lambda: floor.step(x)], rounds=config.rounds, warm_up=config.warm_up, device=device
    )
    return {
        "step": quartiles(steps),
        "floor": quartiles(floors),
        "ratio": quartiles(np.divide(steps, floors).tolist()),
        "rows": f_evals,
        "peak_memory_bytes": peak,
        "load": list(os.getloadavg()),
    }


def _floor_of(estimator: Estimator, evaluations: int) -> Estimator:
    """The floor of an estimator that evaluates f so many times a row; each layer has one of its own."""
    if isinstance(estimator, PerLayer):
        return PerLayer(Given(evaluations), Given(estimator.upper.samples))
    return Given(evaluations)


def _peak_memory(subject: Trainer, x: Tensor, device: torch.device) -> int | None:
    """Bytes at the peak of a step, data included; None on the CPU, where a process's peak says little of one step."""
    if device.type != "cuda":
        return None
    subject.step(x)  # makes the optimiser's state
    torch.cuda.reset_peak_memory_stats(device)
    subject.step(x)
    return torch.cuda.max_memory_allocated(device)


def quartiles(values: list[float]) -> dict[str, float]:
    """Median, quartiles and number of some seconds or ratios."""
    q25, median, q75 = np.quantile(values, [0.25, 0.5, 0.75]).tolist()
    return {"median": median, "q25": q25, "q75": q75, "n": len(values)}
