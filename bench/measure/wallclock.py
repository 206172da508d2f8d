"""Wall clock of a training step beside its floor, interleaved so that the ratio survives a noisy machine.

What remains above the floor (`bench.measure.floor`) is the estimator's own work.
"""

import os
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from bench.clock import interleaved
from bench.config import Config
from bench.datasets import load_once
from bench.measure.floor import floor_of
from bench.measure.moments import probe
from bench.problems.vae import VAE, VAEConfig
from bench.seeds import stream
from bench.training import Optimisation, Trainer, batches
from estimators.base import Estimator


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
    floor = trainer(floor_of(estimator, subject.vae, x, f_evals))
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
