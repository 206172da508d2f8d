"""Moments of a gradient beside the bare forward evaluations of f, and beside a plain loop of autograd passes."""

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor
from torch.distributions import Distribution

import estimators
from bench.measure import gradient_moments
from bench.measure.draws import CHUNK_NUMBERS, frozen, probe
from bench.seeds import stream
from bench.studies.models import DIGITS, MNIST, build
from bench.studies.timing.sides import note, side_by_side, timer
from estimators import Objective
from estimators.distributions import from_parameters, parameters, sample
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


class Case:
    """An estimator at a model of these shapes with random weights and rows, since times do not depend on them."""

    def __init__(self, entry: Entry, shape: str) -> None:
        setting = SETTINGS[shape]
        vae, self.estimator, self.x = build(entry.name, setting)
        with torch.no_grad():
            self.q: Distribution = vae.encode(self.x)
        self.f: Objective = vae.objective(self.x)
        self.evaluations = probe(self.estimator, self.q, self.f, self.x).evaluations
        self.rows = max(
            1, CHUNK_NUMBERS["cpu"] // (setting.pixels * setting.batch)
        )  # draws at once that suit the cache
        self.z = sample(self.q, self.rows, stream("timing"))

    def moments(self) -> None:
        """All draws, the fast way."""
        gradient_moments(self.estimator, self.q, self.f, draws=DRAWS, context=self.x, warm_up=0)

    @torch.no_grad()
    def forward(self) -> None:
        """As many evaluations of f, and nothing else."""
        for start in range(0, DRAWS * self.evaluations, self.rows):
            self.f(self.z[: DRAWS * self.evaluations - start], self.q)

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
