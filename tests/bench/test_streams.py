"""Which random streams a cell draws from, and what a process remembers, under which key."""

import os
from typing import Any

import pytest
import torch

import bench.datasets
import bench.measure.points
import bench.measure.trajectory
import bench.measure.warm
import bench.seeds
from bench.config import EstimatorConfig
from bench.measure.basket import BasketConfig
from bench.problems.vae import VAEConfig
from bench.run.cell import measure
from bench.seeds import derive
from bench.suite.load import override, parse_suite
from bench.suite.plan import plan
from bench.training.settings import Optimisation
from bench.training.trainer import Trainer
from estimators import registry
from tests.bench.plain import measure_basket
from tests.bench.test_suite import SMALL


def _noted(monkeypatch: pytest.MonkeyPatch) -> set[tuple[Any, ...]]:
    """Every purpose and its numbers that a stream is made of from now on."""
    seen: set[tuple[Any, ...]] = set()

    def noted(purpose: str, *keys: int) -> int:
        seen.add((purpose, *keys))
        return derive(purpose, *keys)

    for module in (bench.seeds, bench.measure.trajectory, bench.measure.points, bench.measure.warm):
        monkeypatch.setattr(module, "derive", noted)
    return seen


def test_the_streams_of_a_cell_are_of_its_id_and_those_that_estimators_share_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Weights, order of the data and rows are the same for all; noise and own parameters belong to the cell."""
    text = SMALL.replace("draws = 40", "draws = 3\nrows = 3\ntrajectory_seed = 7").replace("[0, 4]", "[0, 2]")
    few = "evaluations = 1\nevaluation_rows = 9\nevaluation_samples = 1\niwae_samples = 1"
    text = text.replace("evaluations = 2", few)
    text = text.replace("rounds = 5", "rounds = 5\nstacked = 3\nwarm_up = 1").replace("[8]", "[2]")
    suite = override(parse_suite(text.encode(), "x"), estimators=["reinforce[baseline=input-dependent]"])
    seen = _noted(monkeypatch)
    found = {}
    for cell in plan(suite).cells[1:]:
        seen.clear()
        measure(cell)
        found[cell.title.partition(" ")[0], cell.problem.kind] = int(cell.id[:8], 16), set(seen)
    assert len(found) == 4

    cell, streams = found["moments", "toy"]
    assert streams == {("estimator", cell), ("warm-up", cell), ("gradients", cell), ("probe",), ("determined",)}
    cell, streams = found["train", "vae"]
    of_seeds = {(purpose, seed) for purpose in ("weights", "data") for seed in range(2)}
    assert streams == of_seeds | {("estimator", cell), ("noise", cell), ("evaluate", 0), ("rows",), ("probe",)}
    cell, streams = found["time", "vae"]
    of_seeds = {(purpose, seed) for purpose in ("weights", "data") for seed in range(3)}
    assert streams == of_seeds | {("estimator", cell), ("noise", cell), ("probe",)}
    cell, streams = found["moments", "vae"]
    trajectory = {(purpose, 7) for purpose in ("weights", "data", "noise", "estimator", "passenger")}
    checkpoints = {("checkpoint", cell, 0), ("checkpoint", cell, 2)}
    draws = {("gradients", derive(*checkpoint)) for checkpoint in checkpoints}
    assert streams == trajectory | checkpoints | draws | {("evaluate", 0), ("rows",), ("probe",), ("determined",)}


VAE = VAEConfig(kind="vae", dataset="digits", family="bernoulli", latents=2)
RLOO = EstimatorConfig(name="rloo", samples=2)
ADAM = Optimisation(steps=2, batch=7, learning_rate=0.1)
BASKET = BasketConfig(
    draws=3, rows=4, checkpoints=(2,), reference=RLOO, reference_draws=1000, trajectory_seed=0, optimisation=ADAM
)


@pytest.mark.parametrize(
    ("problem", "basket", "optimisation"),
    [
        ({"prior": "learned"}, {}, {}),
        ({"latents": 3}, {}, {}),
        ({"centre_input": False}, {}, {}),
        ({}, {"trajectory_seed": 1}, {}),
        ({}, {"checkpoints": (1,)}, {}),
        ({}, {"rows": 5}, {}),
        ({}, {"reference": EstimatorConfig(name="rloo", samples=3)}, {}),
        ({}, {"reference": EstimatorConfig(name="disarm", samples=2)}, {}),
        ({}, {}, {"batch": 8}),
        ({}, {}, {"learning_rate": 0.2}),
        ({}, {}, {"optimiser": "sgd"}),
    ],
)
def test_a_trajectory_is_trained_once_and_shared_by_what_has_the_same_alone(
    monkeypatch: pytest.MonkeyPatch, problem: dict[str, Any], basket: dict[str, Any], optimisation: dict[str, Any]
) -> None:
    steps: list[int] = []
    step = Trainer.step

    def counted(self: Trainer, x: torch.Tensor) -> None:
        steps.append(1)
        step(self, x)

    monkeypatch.setattr(Trainer, "step", counted)

    def elbo(problem: VAEConfig, config: BasketConfig, name: str) -> float:
        """Of the last checkpoint, a number that hangs on every step before it."""
        estimator = registry.get(name).create()
        found = measure_basket(problem, estimator, config, seed=5, device=torch.device("cpu"))
        return float(found["points"][-1]["elbo"])

    first = elbo(VAE, BASKET, "rloo")
    steps.clear()
    assert elbo(VAE, BASKET, "arm") == first
    assert elbo(VAE.model_copy(), BASKET.model_copy(deep=True), "rloo") == first
    assert steps == []
    changed = BASKET.model_copy(update=basket | {"optimisation": ADAM.model_copy(update=optimisation)})
    other = elbo(VAE.model_copy(update=problem), changed, "rloo")
    assert len(steps) == changed.checkpoints[0]
    assert other != first


def test_data_are_remembered_by_name_and_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[tuple[str, str | None]] = []

    def load(name: str) -> tuple[str, str | None]:
        loads.append((name, os.environ.get("GRADEST_DATA")))
        return loads[-1]

    monkeypatch.setattr(bench.datasets, "load", load)
    bench.datasets._remembered.cache_clear()
    try:
        monkeypatch.setenv("GRADEST_DATA", "/one")
        first = bench.datasets.load_once("digits")
        assert first == ("digits", "/one")
        assert bench.datasets.load_once("omniglot") == ("omniglot", "/one")
        assert bench.datasets.load_once("digits") is first
        monkeypatch.setenv("GRADEST_DATA", "/two")
        assert bench.datasets.load_once("digits") == ("digits", "/two")
        monkeypatch.delenv("GRADEST_DATA")
        assert bench.datasets.load_once("digits") == ("digits", None)
        assert len(loads) == 4
    finally:
        bench.datasets._remembered.cache_clear()
