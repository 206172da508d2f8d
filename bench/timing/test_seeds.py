"""Ten stacked seeds beside one, on the digits."""

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from bench.config import EstimatorConfig
from bench.measure.wallclock import TimeConfig, Timing
from bench.problems.vae import VAEConfig
from bench.timing.sides import note, side_by_side, timer
from bench.training.trainer import Optimisation
from estimators import registry

SEEDS = 10
PROBLEM = VAEConfig(kind="vae", dataset="digits", family="bernoulli", latents=6, architecture=(64,))


def _steps(name: str, seeds: int) -> Timing:
    config = TimeConfig(optimisation=Optimisation(batch=50), stacked=seeds)
    estimator = registry.get(EstimatorConfig(name=name).name).create()
    return Timing(PROBLEM, estimator, config, seed=0, device=torch.device("cpu"))


@pytest.mark.benchmark(timer=timer, group="ten stacked seeds, digits, batch 50")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", ["rloo", "disarm", "gumbel-sigmoid", "rebar", "relax"])
def test_stacked_seeds(benchmark: BenchmarkFixture, name: str, threads: int) -> None:
    """Time ten and one."""
    torch.set_num_threads(threads)
    ten, one = _steps(name, SEEDS), _steps(name, 1)
    taken, given = side_by_side(benchmark, ten.subjects()[0], one.subjects()[0], rounds=50, warm_up=10)
    note(benchmark, f"{SEEDS} seeds / 1 seed", taken, given, estimator=name)
    assert ten.subject.trainer.steps > 0
