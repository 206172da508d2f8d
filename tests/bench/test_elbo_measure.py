"""What a training cell holds, beside a plain loop that trains and evaluates the same models."""

import itertools
import math
import time
from typing import Any

import pytest
import torch
from torch import Tensor

import bench.datasets
import estimators
from bench.measure import elbo
from bench.measure.elbo import ElboSettings, TrainConfig
from bench.problems import base as problems
from bench.problems.vae import VAE, VAEConfig
from bench.seeds import stream
from bench.training.batches import Batches, binarised, subset
from bench.training.evaluation import evaluate, rows_at_once
from bench.training.settings import Optimisation
from bench.training.trainer import Trainer
from estimators import Estimate, Estimator
from tests.bench.plain import measure_training
from tests.bench.scripted import told_by_bind

CPU = torch.device("cpu")
SETTINGS = TrainConfig(
    optimisation=Optimisation(steps=7, batch=10, learning_rate=0.05, own_learning_rate=0.02, optimiser="sgd"),
    seeds=3,
    evaluations=3,
    evaluation_rows=400,
    evaluation_samples=2,
    iwae_samples=3,
)
PROBLEM = VAEConfig(kind="vae", dataset="digits", family="bernoulli", latents=2, architecture=(4,))
STOPS = [0, 2, 5, 7]
"""Thirds of seven steps, to the nearest."""


def digits(name: str = "digits") -> Any:
    """With intensities in place of bits, so that rows have to be drawn; 1285 rows to train and 60 to test."""
    data = bench.datasets.load("digits")
    return data._replace(train=0.2 + 0.6 * data.train, test=0.1 + 0.7 * data.test[:60], dynamic=True)


def estimator() -> Estimator:
    return estimators.get("reinforce").create(baseline="input-dependent", samples=2)


class Clock:
    """Steps take half a second; evaluation, and looking at the clock, a thousand."""

    now = 0.0

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        take = Trainer.step

        def step(trainer: Trainer, x: Tensor) -> None:
            take(trainer, x)
            self.now += 0.5

        def evaluated(*arguments: Any, **more: Any) -> tuple[Tensor, Tensor]:
            self.now += 1000
            return evaluate(*arguments, **more)

        monkeypatch.setattr(Trainer, "step", step)
        monkeypatch.setattr(elbo, "evaluate", evaluated)
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)


def test_an_estimator_is_told_of_seeds_context_and_latents() -> None:
    learner = estimator()
    told = told_by_bind(learner)
    short = SETTINGS.model_copy(update={"optimisation": Optimisation(steps=1, batch=2), "evaluation_rows": 2})
    measure_training(PROBLEM, learner, short, seed=11, device=CPU)
    assert told.pop("generator").initial_seed() == stream("estimator", 11).initial_seed()
    assert told == {"stack": (3,), "context_size": 64, "event": (2,)}


def test_a_training_cell_beside_a_plain_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    data, seed = digits(), 11
    vae = VAE(PROBLEM, data.train.mean(0), [0, 1, 2])
    learner = estimator().bind(stack=(3,), context_size=64, event=(2,), generator=stream("estimator", seed))
    trainer = Trainer(vae, learner, SETTINGS.optimisation, noise_seed=seed)
    batches = Batches(data, 10, [0, 1, 2], CPU)
    train, test = binarised(subset(data.train, 400)), binarised(data.test)
    bounds: dict[str, list[list[float]]] = {"train": [], "test": []}
    for step in range(8):
        if step in STOPS:
            for name, rows in (("train", train), ("test", test)):
                bounds[name].append(evaluate(vae, rows, samples=2, seed=0)[0].tolist())
        if step < 7:
            trainer.step(next(batches))
    iwae = evaluate(vae, data.test, samples=3, seed=0)[1].tolist()

    Clock(monkeypatch)
    monkeypatch.setattr(problems, "load_once", digits)
    found = measure_training(PROBLEM, estimator(), SETTINGS, seed=seed, device=CPU)
    assert found == {
        "seeds": [0, 1, 2],
        "diverged": [None, None, None],
        "rows_per_step": 10,
        "evaluated_rows": {"train": 400, "test": 60},
        "captured": False,
        "program": {"compiled": False, "seconds": None, "because": found["program"]["because"]},
        "parameters": (64 * 4 + 4) + (4 * 2 + 2) + (2 * 4 + 4) + (4 * 64 + 64),
        "curve": {
            "step": STOPS,
            "f_evals": [0, 40, 100, 140],  # two samples of each of ten rows
            "seconds": [0.0, 1.0, 2.5, 3.5],
            "train_elbo": bounds["train"],
            "test_elbo": bounds["test"],
        },
        "final": {
            "train_elbo": bounds["train"][-1],
            "test_elbo": bounds["test"][-1],
            "test_iwae": iwae,
            "iwae_samples": 3,
        },
    }
    numbers = [*itertools.chain(*bounds["train"], *bounds["test"]), *iwae]
    assert len(set(numbers)) == len(numbers), "columns or seeds that cannot be told apart"


@pytest.mark.parametrize(
    ("steps", "evaluations", "stops"),
    [(7, 1, [0, 7]), (3, 10, [0, 1, 2, 3]), (10, 4, [0, 2, 5, 8, 10]), (1000, 2, [0, 500, 1000])],
)
def test_points_of_the_curve_are_the_nearest_steps_each_once(
    steps: int, evaluations: int, stops: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a step goes to the even neighbour."""
    monkeypatch.setattr(Trainer, "step", lambda trainer, x: setattr(trainer, "steps", trainer.steps + 1))
    monkeypatch.setattr(elbo, "evaluate", lambda vae, rows, **more: (torch.zeros(1), torch.zeros(1)))
    settings = TrainConfig(optimisation=Optimisation(steps=steps, batch=3), seeds=1, evaluations=evaluations)
    found = measure_training(PROBLEM, estimators.get("exact").create(), settings, seed=0, device=CPU)
    assert found["curve"]["step"] == stops
    assert found["curve"]["f_evals"] == [stop * 3 * 4 for stop in stops]  # two bits have four states


class Diverging(Estimator):
    """The loss of seed 1 is infinite in the second step, that of seed 2 no number in the third."""

    def __init__(self) -> None:
        super().__init__(1)
        self.inner, self.calls = estimators.get("reinforce").create(), -1  # the look at what a step evaluates

    def forward(self, q, f, *, generator=None, context=None) -> Estimate:
        estimate = self.inner(q, f, generator=generator)
        self.calls += 1
        value = estimate.value.clone()
        if self.calls in (2, 3):
            value[self.calls - 1] = {2: math.inf, 3: math.nan}[self.calls]
        return Estimate(estimate.surrogate, value)


def test_a_seed_diverges_at_its_first_loss_or_bound_that_is_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seed 0 has no test bound at the second stop, after step 2, seed 2 none at the last; numbers are not made up."""
    calls = itertools.count()

    def bounds(vae: VAE, rows: Tensor, **more: Any) -> tuple[Tensor, Tensor]:
        value = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64) + next(calls)
        if value[0] == 4.0:  # the fourth call, the test rows at the second stop
            value[0] = math.nan
        if value[0] == 8.0:
            value[2] = -math.inf
        return value, torch.tensor([5.0, math.inf, math.nan], dtype=torch.float64)

    monkeypatch.setattr(elbo, "evaluate", bounds)
    found = measure_training(PROBLEM, Diverging(), SETTINGS, seed=0, device=CPU)
    assert found["diverged"] == [2, 2, 3]
    assert found["curve"]["train_elbo"] == [[1.0, 2.0, 3.0], [3.0, 4.0, 5.0], [5.0, 6.0, 7.0], [7.0, 8.0, 9.0]]
    assert found["curve"]["test_elbo"] == [[2.0, 3.0, 4.0], [None, 5.0, 6.0], [6.0, 7.0, 8.0], [8.0, 9.0, None]]
    assert found["final"]["test_elbo"] == [8.0, 9.0, None]
    assert found["final"]["train_elbo"] == [7.0, 8.0, 9.0]
    assert found["final"]["test_iwae"] == [5.0, None, None]


def test_a_bound_of_the_train_rows_alone_marks_its_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    infinite = iter([math.nan, 0.0] + 8 * [0.0])
    monkeypatch.setattr(elbo, "evaluate", lambda *_, **more: (torch.tensor([0.0, 0.0, next(infinite)]), torch.zeros(3)))
    found = measure_training(PROBLEM, estimators.get("exact").create(), SETTINGS, seed=0, device=CPU)
    assert found["diverged"] == [None, None, 0]


def test_settings_of_an_evaluation_have_their_defaults_and_bounds() -> None:
    found = TrainConfig(optimisation=Optimisation())
    assert (found.kind, found.seeds, found.evaluations, found.evaluation_rows) == ("train", 5, 10, 1000)
    assert (found.evaluation_samples, found.iwae_samples) == (10, 100)
    for name in ("evaluations", "evaluation_rows", "evaluation_samples", "iwae_samples"):
        with pytest.raises(ValueError, match="greater than or equal to 1"):
            ElboSettings(**{name: 0})
    for seeds in (0, 1001):
        with pytest.raises(ValueError, match="than or equal to"):
            TrainConfig(optimisation=Optimisation(), seeds=seeds)


def test_wide_events_are_evaluated_in_smaller_parts() -> None:
    """Those up to 4096 numbers in as many rows as ever: other parts are other draws, and so other published numbers."""
    assert [rows_at_once(10, 5, event) for event in ((200,), (128, 4), (64, 64))] == [655, 655, 655]
    assert rows_at_once(10, 5, (128, 256)) == 2**27 // (128 * 256) // 50
    assert rows_at_once(1000, 1000, (4096, 4096)) == 1
