"""Wall clock of a training step beside its floor, interleaved so that the ratio survives a noisy machine.

What remains above the floor (`bench.measure.floor`) is the estimator's own work.
"""

import os
from collections.abc import Callable
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field

from bench.capture import Steps
from bench.clock import interleaved
from bench.config import Config
from bench.datasets import load_once
from bench.measure.floor import floor_of
from bench.measure.moments import probe
from bench.problems.vae import VAE, VAEConfig
from bench.seeds import stream
from bench.training import Batches, Optimisation, Trainer
from estimators.base import Estimator

STEPS_A_ROUND = {"cpu": 1, "cuda": 20}
"""Steps between two readings of the clock: on a GPU waiting for the device would take as long as a step."""


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
    """Median and quartiles of a step, of its floor, and of their ratio round by round; captured on a GPU."""
    dataset = load_once(problem.dataset)
    seeds = list(range(config.stacked))

    def steps(timed: Estimator) -> Steps:
        vae = VAE(problem, dataset.train.mean(0), seeds).to(device)
        initial = stream("estimator", seed)
        pixels = dataset.train.shape[1]
        timed.bind(stack=(len(seeds),), context_size=pixels, event=vae.event, generator=initial).to(device)
        batches = Batches(dataset, config.optimisation.batch, seeds, device)
        return Steps(Trainer(vae, timed, config.optimisation, noise_seed=seed), batches)

    subject = steps(estimator)
    vae, x = subject.trainer.vae, next(subject.batches)
    with torch.no_grad():
        f_evals = probe(estimator, vae.encode(x), vae.objective(x), x).evaluations
    peak = _peak_memory(subject, device)
    floor = steps(floor_of(estimator, vae, x, f_evals))
    taken, given = interleaved(
        [_several(subject, device), _several(floor, device)],
        rounds=config.rounds,
        warm_up=config.warm_up,
        device=device,
    )
    each = STEPS_A_ROUND[device.type]
    return {
        "step": quartiles([seconds / each for seconds in taken]),
        "floor": quartiles([seconds / each for seconds in given]),
        "ratio": quartiles(np.divide(taken, given).tolist()),
        "rows": f_evals,
        "captured": subject.eager_because is None,
        "eager_because": subject.eager_because,
        "kernels": _kernel_seconds(subject, device),
        "peak_memory_bytes": peak,
        "load": list(os.getloadavg()),
    }


def _several(steps: Steps, device: torch.device) -> Callable[[], None]:
    """The steps of a round, between two synchronisations."""

    def run() -> None:
        for _ in range(STEPS_A_ROUND[device.type]):
            steps.step()

    return run


def _kernel_seconds(steps: Steps, device: torch.device) -> float | None:
    """Seconds that the kernels of a step take one after another; None on the CPU, where no such thing is."""
    if device.type != "cuda":
        return None
    each = STEPS_A_ROUND[device.type]
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        _several(steps, device)()
        torch.cuda.synchronize(device)
    return float(sum(event.self_device_time_total for event in profile.key_averages())) * 1e-6 / each


def _peak_memory(steps: Steps, device: torch.device) -> int | None:
    """Bytes at the peak of a step, data included; None on the CPU, where a process's peak says little of one step."""
    if device.type != "cuda":
        return None
    steps.step()  # makes the optimiser's state
    torch.cuda.reset_peak_memory_stats(device)
    steps.step()
    return torch.cuda.max_memory_allocated(device)


def quartiles(values: list[float]) -> dict[str, float]:
    """Median, quartiles and number of some seconds or ratios."""
    q25, median, q75 = np.quantile(values, [0.25, 0.5, 0.75]).tolist()
    return {"median": median, "q25": q25, "q75": q75, "n": len(values)}
