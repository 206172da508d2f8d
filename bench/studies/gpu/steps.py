"""Training steps a second of one case: dynamic MNIST, 784-200-784, batch 50, Adam at 1e-4, own parameters at 1e-3.

The prior is learned and the decoder takes 2z - 1: the protocol of Dong et al. 2020, arXiv:2006.10680. Where MNIST is
not at hand, the rehearsal on a CPU takes the digits.
"""

import gc
from collections.abc import Iterator
from functools import cache, partial
from typing import Any

import numpy as np
import torch

from bench.config import EstimatorConfig
from bench.datasets import DataError, load
from bench.measure.clock import Stopwatch, interleaved
from bench.problems.vae import VAEConfig
from bench.run.cell import matmul_precision
from bench.seeds import stream
from bench.studies.gpu.cases import VARIANTS, Case, Sizes
from bench.studies.results import Row
from bench.training.batches import Batches
from bench.training.settings import Optimisation
from bench.training.steps import Steps
from bench.training.trainer import Trainer
from estimators.errors import BadInput

BATCH, RATE = 50, 1e-4
WARM_UP = 25
"""Steps before the clock: eager ones, the capture, and a first graph of several steps."""
PROFILED = 20
MNIST, DIGITS = "mnist-dynamic", "digits"
LATENTS = {MNIST: 200, DIGITS: 6}


@cache
def dataset(device: str) -> str:
    """The data set that steps are taken on.

    Raises:
        BadInput: MNIST is not at hand, and what is asked of a GPU cannot be judged without it.
    """
    try:
        load(MNIST, download=False)
    except DataError as error:
        if device == "cpu":
            return DIGITS
        raise BadInput(f"{error}; docs/speed.md says which files a machine without network needs") from error
    return MNIST


def problem_of(case: Case, device: str) -> VAEConfig:
    """The model."""
    data = dataset(device)
    return VAEConfig(
        kind="vae",
        dataset=data,
        family="bernoulli",
        latents=LATENTS[data],
        architecture=case.architecture,
        signed_decoder_input=True,
        prior="learned",
    )


def steps_of(case: Case, device: str) -> Steps:
    """Steps of the case in the form that it names, none of them taken."""
    variant, problem, seeds = VARIANTS[case.variant], problem_of(case, device), list(range(case.seeds))
    data = problem.data()
    model = problem.model(data, seeds).to(device)
    estimator = problem.estimator(EstimatorConfig.model_validate(case.estimator))
    sizes: dict[str, Any] = {"context_size": model.context_size, "event": model.event}
    estimator.bind(stack=(len(seeds),), **sizes, generator=stream("estimator", 0)).to(device)
    optimisation = Optimisation(batch=BATCH, learning_rate=RATE, own_learning_rate=10 * RATE, compile=variant.compile)
    trainer = Trainer(model, estimator, optimisation, noise_seed=0)
    return Steps(trainer, Batches(data, BATCH, seeds, torch.device(device)), capture=variant.capture)


def measure(case: Case, device: str, sizes: Sizes) -> Iterator[Row]:
    """Steps a second, seconds until they run, and on a GPU the kernels of a step: each row as soon as it is known."""
    with matmul_precision(case.precision):
        clock = Stopwatch(torch.device(device))
        with clock:
            steps = steps_of(case, device)
            made = steps.prepare()
            steps.run(min(WARM_UP, sizes.steps))
        about = case.about() | {"captured": steps.captured, "compiled": made.compiled, "because": made.because}
        yield Row(quantity="seconds until ready", unit="s", value=clock.seconds, case=about)
        if made.seconds is not None:
            yield Row(quantity="seconds to compile", unit="s", value=made.seconds, case=about)
        (seconds,) = interleaved([partial(steps.run, sizes.steps)], rounds=sizes.rounds, warm_up=1, device=device)
        target = case.target if judged(device) else None
        rates = sizes.steps / np.asarray(seconds)
        yield Row.repeated("steps a second", rates, unit="1/s", case=about, target=target, at_least=True)
        if device == "cuda":
            yield from _kernels(steps, about)
    del steps
    gc.collect()  # graphs keep their memory for as long as a cycle holds them


def judged(device: str) -> bool:
    """Whether targets apply: they are those of a GPU, on MNIST."""
    return device == "cuda" and dataset(device) == MNIST


def _kernels(steps: Steps, about: dict[str, Any]) -> Iterator[Row]:
    """How many kernels a step launches, and the seconds that they take one after another."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        steps.run(PROFILED)
        torch.cuda.synchronize()
    events = profile.key_averages()
    seconds = 1e-6 * sum(event.self_device_time_total for event in events)
    yield Row(quantity="kernels a step", value=sum(event.count for event in events) / PROFILED, case=about)
    yield Row(quantity="kernel seconds a step", unit="s", value=seconds / PROFILED, case=about)
