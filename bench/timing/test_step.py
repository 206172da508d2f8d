"""One training step beside its floor: the cells of the suite `timing`, whose records go into the JSON.

Timing decides no test: what is asserted here is only that the steps were taken.
"""

from datetime import UTC, datetime

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from bench.datasets import DataError
from bench.measure.wallclock import TimeConfig, Timing
from bench.problems.vae import VAEConfig
from bench.run.runner import make_record
from bench.suite.load import load_suite, override
from bench.suite.plan import plan
from bench.suite.schema import Cell
from bench.timing.sides import note, side_by_side, timer
from estimators import registry

DEVICES = ["cpu"] + ["cuda"] * torch.cuda.is_available()
CELLS = [cell for device in DEVICES for cell in plan(override(load_suite("timing"), device=device)).cells]


@pytest.mark.benchmark(timer=timer)
@pytest.mark.parametrize("cell", CELLS, ids=[f"{c.device}-{c.problem.label}-{c.estimator.label}" for c in CELLS])
def test_step(benchmark: BenchmarkFixture, cell: Cell) -> None:
    """Time the steps."""
    config, problem = cell.measurement, cell.problem
    assert isinstance(config, TimeConfig)
    assert isinstance(problem, VAEConfig)
    torch.set_num_threads(cell.threads)
    estimator = registry.get(cell.estimator.name).create(**cell.estimator.arguments())
    started = datetime.now(UTC)
    try:
        timing = Timing(problem, estimator, config, seed=int(cell.id[:8], 16), device=torch.device(cell.device))
    except DataError as error:
        pytest.skip(str(error))
    benchmark.group = f"{problem.label} on {cell.device}"
    taken, *others = side_by_side(benchmark, *timing.subjects(), rounds=config.rounds, warm_up=config.warm_up)
    seconds = (datetime.now(UTC) - started).total_seconds()
    record = make_record(cell, timing.measurements(taken, *others), None, started, seconds)
    learns = any(p.requires_grad for p in estimator.parameters())
    note(benchmark, "step / floor", taken, others[0], learns=learns, record=record)
    assert timing.subject.trainer.steps > 0
