"""Training steps: beside their floors, of ten stacked seeds beside one, and compiled beside eager.

Timing decides no test: what is asserted here is only that the steps were taken.
"""

from datetime import UTC, datetime
from functools import partial

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from bench.datasets import DataError
from bench.measure.wallclock import TimeConfig, Timing
from bench.problems.vae import VAEConfig
from bench.records.values import plain
from bench.run.cell import make_record
from bench.studies.timing.sides import note, side_by_side, timer
from bench.suite.load import load_suite, override
from bench.suite.plan import plan
from bench.suite.schema import Cell
from bench.training.settings import Optimisation
from estimators import Estimator, registry

DEVICES = ["cpu"] + ["cuda"] * torch.cuda.is_available()
CELLS = [cell for device in DEVICES for cell in plan(override(load_suite("timing"), device=device)).cells]
PROBLEMS = {
    "mnist": VAEConfig(kind="vae", dataset="mnist-static", family="bernoulli", latents=200),
    "digits": VAEConfig(kind="vae", dataset="digits", family="bernoulli", latents=6, architecture=(64,)),
}
SEEDS = 10


def timing_of(problem: VAEConfig, estimator: Estimator, config: TimeConfig, seed: int = 0, on: str = "cpu") -> Timing:
    """What is timed; the test is skipped where the data are not at hand."""
    try:
        return Timing(problem, estimator, config, seed=seed, device=torch.device(on))
    except DataError as error:
        pytest.skip(str(error))


@pytest.mark.benchmark(timer=timer)
@pytest.mark.parametrize("cell", CELLS, ids=[f"{c.device}-{c.problem.label}-{c.estimator.label}" for c in CELLS])
def test_step(benchmark: BenchmarkFixture, cell: Cell) -> None:
    """Time a cell of the suite `timing`, whose record goes into the JSON."""
    config, problem = cell.measurement, cell.problem
    assert isinstance(config, TimeConfig)
    assert isinstance(problem, VAEConfig)
    torch.set_num_threads(cell.threads)
    estimator = registry.get(cell.estimator.name).create(**cell.estimator.arguments())
    started = datetime.now(UTC)
    timing = timing_of(problem, estimator, config, int(cell.id[:8], 16), cell.device)
    benchmark.group = f"{problem.label} on {cell.device}"
    taken, *others = side_by_side(benchmark, *timing.subjects(), rounds=config.rounds, warm_up=config.warm_up)
    seconds = (datetime.now(UTC) - started).total_seconds()
    record = make_record(cell, timing.measurements(taken, *others), None, started, seconds)
    learns = any(p.requires_grad for p in estimator.parameters())
    note(benchmark, "step / floor", taken, others[0], learns=learns, record=plain(record))
    assert timing.subject.trainer.steps > 0


@pytest.mark.benchmark(timer=timer, group="ten stacked seeds, digits, batch 50")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", ["rloo", "disarm", "gumbel-sigmoid", "rebar", "relax"])
def test_stacked_seeds(benchmark: BenchmarkFixture, name: str, threads: int) -> None:
    """Time a step of ten seeds and one of one seed."""
    torch.set_num_threads(threads)
    ten, one = (
        timing_of(
            PROBLEMS["digits"],
            registry.get(name).create(),
            TimeConfig(optimisation=Optimisation(batch=50), stacked=seeds),
        )
        for seeds in (SEEDS, 1)
    )
    taken, given = side_by_side(benchmark, ten.subjects()[0], one.subjects()[0], rounds=50, warm_up=10)
    note(benchmark, f"{SEEDS} seeds / 1 seed", taken, given, estimator=name)
    assert ten.subject.trainer.steps > 0


@pytest.mark.benchmark(timer=timer, group="compiled steps beside eager ones, batch 50")
@pytest.mark.parametrize("seeds", [1, 5, 10])
@pytest.mark.parametrize("name", ["disarm", "rebar", "rloo"])
@pytest.mark.parametrize("shape", list(PROBLEMS))
def test_compiled_step(benchmark: BenchmarkFixture, shape: str, name: str, seeds: int) -> None:
    """Time ten steps of the program and ten eager ones, on the same model; compiling itself is noted beside them."""
    if (shape, seeds) in (("digits", 5), ("mnist", 10)):
        pytest.skip("the digits are timed with one seed and with ten, MNIST with one and with five")
    torch.set_num_threads(2 if shape == "mnist" else 1)
    config = TimeConfig(optimisation=Optimisation(batch=50, compile=True), stacked=seeds)
    steps = timing_of(PROBLEMS[shape], registry.get(name).create(), config).subject
    made = steps.prepare()
    assert steps.program is not None, made.because
    program, eager = partial(steps.program.run, 10), partial(steps.eager.run, 10)
    taken, given = side_by_side(benchmark, program, eager, rounds=30, warm_up=3)
    what = f"eager / compiled step, {shape}, {seeds} seed" + "s" * (seeds > 1)
    note(benchmark, what, given, taken, estimator=name, compile_seconds=made.seconds)
