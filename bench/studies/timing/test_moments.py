"""Moments of a gradient beside the bare forward evaluations of f, and beside a plain loop of autograd passes."""

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor

import estimators
from bench.measure.draws import frozen
from bench.seeds import stream
from bench.studies.models import DIGITS, MNIST
from bench.studies.moments import MomentsCase
from bench.studies.timing.sides import note, side_by_side, timer
from estimators.distributions import from_parameters, parameters
from estimators.entry import Entry

DRAWS = 1000
LOOP = {"mnist": 50, "digits": 200}
"""Draws of the plain loop, whose time is taken by the draw."""
SETTINGS = {"mnist": MNIST._replace(batch=100), "digits": DIGITS._replace(batch=20)}
"""Of the digits, the rows of the suite `quick`."""
ENTRIES = [
    entry
    for entry in estimators.available("bernoulli", "elbo")
    if entry.needs == "neither" and not entry.enumerates and (entry.evaluations(entry.samples.default, (200,)) or 0) < 9
]


class Case(MomentsCase):
    """Both fast sides, and the plain one."""

    def __init__(self, entry: Entry, shape: str) -> None:
        super().__init__(entry.name, SETTINGS[shape], DRAWS)

    def loop(self, draws: int) -> tuple[Tensor, Tensor]:
        """The plain way: the surrogate of each draw, differentiated; theta's gradient comes with it, as in training."""
        generator = stream("loop")
        total = squares = torch.zeros((), dtype=torch.float64)
        with frozen(self.estimator):
            for _ in range(draws):
                (leaf,) = (p.clone().requires_grad_() for p in parameters(self.q))
                q = from_parameters("bernoulli", leaf)
                self.estimator(q, self.f, generator=generator, context=self.x).surrogate.sum().backward()
                assert leaf.grad is not None
                total, squares = total + leaf.grad, squares + leaf.grad.double().square()
        return total / draws, squares / draws


@pytest.mark.benchmark(timer=timer, group="moments of 1000 draws, MNIST shapes, beside forward evaluations of f")
@pytest.mark.parametrize("entry", ENTRIES, ids=[entry.name for entry in ENTRIES])
def test_moments(benchmark: BenchmarkFixture, entry: Entry) -> None:
    """Time the moments and as many forward evaluations."""
    torch.set_num_threads(2)
    case = Case(entry, "mnist")
    taken, given = side_by_side(benchmark, case.moments, case.forward, rounds=7, warm_up=1)
    note(benchmark, "rows a second / floor", given, taken, estimator=entry.name, draws=DRAWS)
    assert len(given) == len(taken)


@pytest.mark.benchmark(timer=timer, group="compiled moments of 1000 draws, beside forward evaluations of f")
@pytest.mark.parametrize("entry", ENTRIES, ids=[entry.name for entry in ENTRIES])
def test_compiled_moments(benchmark: BenchmarkFixture, entry: Entry) -> None:
    """Time moments whose draws are compiled, and as many forward evaluations that are not."""
    torch.set_num_threads(2)
    case = Case(entry, "mnist")
    start = timer()
    moments = case.compiled()
    seconds = timer() - start
    taken, given = side_by_side(benchmark, moments, case.forward, rounds=7, warm_up=1)
    what = "rows a second, compiled / floor"
    note(benchmark, what, given, taken, estimator=entry.name, draws=DRAWS, compile_seconds=seconds)
    assert len(given) == len(taken)


@pytest.mark.benchmark(timer=timer, group="moments beside a plain loop")
@pytest.mark.parametrize("shape", list(SETTINGS))
@pytest.mark.parametrize("name", ["rloo", "disarm", "gumbel-sigmoid"])
def test_loop(benchmark: BenchmarkFixture, name: str, shape: str) -> None:
    """Time the moments and a loop of fewer draws."""
    torch.set_num_threads(2 if shape == "mnist" else 1)
    case, draws = Case(estimators.get(name), shape), LOOP[shape]
    taken, given = side_by_side(benchmark, case.moments, lambda: case.loop(draws), rounds=7, warm_up=1)
    what = f"plain loop / moments, {shape}"
    note(benchmark, what, given, taken, scale=DRAWS / draws, estimator=name, draws=DRAWS)
    assert len(given) == len(taken)
