"""A step whose networks and likelihood went through torch.compile beside the eager step, and what compiling takes."""

import shutil

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from bench.datasets import DataError
from bench.measure.wallclock import TimeConfig, Timing
from bench.problems.vae import VAEConfig
from bench.timing.sides import note, side_by_side, timer
from bench.training.trainer import Optimisation
from estimators import registry

PROBLEMS = {
    "mnist": VAEConfig(kind="vae", dataset="mnist-static", family="bernoulli", latents=200),
    "digits": VAEConfig(kind="vae", dataset="digits", family="bernoulli", latents=6, architecture=(64,)),
}


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs g++ for the CPU")
@pytest.mark.filterwarnings("default")
@pytest.mark.benchmark(timer=timer, group="torch.compile")
@pytest.mark.parametrize("shape", list(PROBLEMS))
def test_compiled_step(benchmark: BenchmarkFixture, shape: str) -> None:
    """Time both."""
    torch.set_num_threads(2 if shape == "mnist" else 1)
    config = TimeConfig(optimisation=Optimisation(batch=100))
    try:
        compiled, eager = (
            Timing(PROBLEMS[shape], registry.get("rloo").create(), config, seed=0, device=torch.device("cpu"))
            for _ in range(2)
        )
    except DataError as error:
        pytest.skip(str(error))
    vae = compiled.subject.trainer.vae
    start = timer()
    object.__setattr__(vae, "log_likelihood", torch.compile(vae.log_likelihood))
    object.__setattr__(vae.encoder, "forward", torch.compile(vae.encoder.forward))
    for _ in range(3):
        compiled.subject.step()
    seconds = timer() - start
    taken, given = side_by_side(
        benchmark, compiled.subject.step, eager.subject.step, rounds=config.rounds, warm_up=config.warm_up
    )
    note(benchmark, f"compiled / eager step, {shape}", taken, given, estimator="rloo", compile_seconds=seconds)
    assert compiled.subject.trainer.steps > 3
