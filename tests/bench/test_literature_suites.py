"""The suites that are published protocols: every factor written down, and each trains for 200 steps with them."""

import tomllib
from collections.abc import Iterator
from typing import Any

import pytest

from bench.config import EstimatorConfig
from bench.measure.elbo import TrainConfig
from bench.problems.base import PROBLEMS, TrainedProblem
from bench.records.record import Record
from bench.run.cell import run_cell
from bench.suite.load import SUITES, load_suite
from bench.suite.plan import plan
from bench.suite.schema import Cell
from bench.training.settings import TAKEN_BY, Optimisation
from tests.bench.test_datasets import needs

LITERATURE = ("disarm", "dreg", "hooper", "hooper-int", "mc-gradients", "reinmax", "relax", "rodeo")
STEPS, FEW = 200, 12
"""Of the first training of a model and its optimiser, and of those of the other estimators of a suite."""
SHORTER = {"steps", "warm_up", "rate_every", "compile"}
"""Settings of a training that 200 steps take another number for."""


@pytest.mark.parametrize("name", LITERATURE)
def test_every_factor_is_written_down(name: str) -> None:
    """A default that moves must not move a protocol; what is left out is what the rest of it rules out."""
    text = tomllib.loads((SUITES / f"{name}.toml").read_text())
    for problem in text["problems"]:
        optional = {"categories", "importance_samples", "signed_decoder_input"}
        optional |= {"latents"} if problem["kind"] == "logistic-regression" else set()  # as many as features
        optional |= {"slope"} if problem.get("activation") != "leaky-relu" else set()
        optional |= {"decoder", "activation", "slope"} if problem.get("architecture") == "linear" else set()
        assert set(PROBLEMS.get(problem["kind"]).model_fields) - set(problem) <= optional, problem["label"]
    training = text["training"]
    optional = {"momentum", "own_learning_rate" if "own_rate_ratio" in training else "own_rate_ratio"}
    optional |= {name for name, takers in TAKEN_BY.items() if training["optimiser"] not in takers}
    optional |= set() if training["warm_up"] else {"warm_up_from", "rate_every"}
    apart = {"prior_optimiser", "prior_learning_rate"}
    assert set(Optimisation.model_fields) - set(training) <= optional | apart
    assert {"evaluations", "evaluation_rows", "evaluation_samples", "iwae_samples"} <= set(text["elbo"])
    assert {"device", "threads", "matmul_precision", "seeds"} <= set(text)


ADAM = {"optimiser": "adam", "weight_decay": 0.0, "schedule": "constant", "warm_up": 0}
FACTS: dict[tuple[str, str, str], dict[str, Any]] = {
    ("disarm", "mnist-dynamic/linear", "disarm[samples=2]"): ADAM
    | {"steps": 10**6, "batch": 50, "learning_rate": 1e-4, "epsilon": 1e-7, "decoder_samples": 1}
    | {"prior_optimiser": "sgd", "prior_learning_rate": 0.01},
    ("disarm", "mnist-dynamic/linear", "relax-rebar[hidden=137,samples=1,scale=1.0,temperature=0.1]"): ADAM
    | {"own_learning_rate": 1e-4, "own_betas": (0.999, 0.999), "decoder_samples": 0, "prior_learning_rate": 0.5}
    | {"epsilon": 2e-9},
    ("rodeo", "mnist-dynamic/nonlinear", "rodeo[hidden=100,scale=0.0]"): ADAM
    | {"steps": 10**6, "batch": 100, "learning_rate": 1e-3, "own_learning_rate": 1e-3, "decoder_samples": 0},
    ("rodeo", "fashion-dynamic/nonlinear", "disarm[samples=2]"): {"learning_rate": 3e-4, "decoder_samples": 2},
    ("rodeo", "mnist-dynamic/nonlinear", "arms[copula=dirichlet,samples=3]"): {"decoder_samples": 3},
    ("rodeo", "fashion-dynamic/nonlinear", "relax-rebar[hidden=137,samples=1,scale=1.0,temperature=0.1]"): {
        "learning_rate": 3e-4, "own_learning_rate": 3e-4, "own_betas": (0.999, 0.999),
    },
    ("relax", "mnist-static/linear-2", "rebar[coupled=true,learn=true,samples=1,scale=1.0,temperature=0.5]"): ADAM
    | {"steps": 2 * 10**6, "batch": 24, "betas": (0.9, 0.99999), "own_betas": (0.9, 0.99999), "own_rate_ratio": 10.0},
    ("relax", "mnist-static/nonlinear", "relax-rebar[hidden=200,samples=1,scale=1.0,temperature=0.5]"): {
        "own_rate_ratio": 1.0,
    },
    ("reinmax", "mnist-grey/24x4", "reinmax[samples=1,temperature=1.5]"): {
        "steps": 96_000, "batch": 100, "optimiser": "radam", "learning_rate": 5e-4, "schedule": "constant",
    },
    ("reinmax", "mnist-grey/4x8", "reinmax[samples=1,temperature=1.3]"): {"optimiser": "adam", "learning_rate": 5e-4},
    ("reinmax", "mnist-grey/12x16", "reinmax[samples=1,temperature=1.5]"): {
        "optimiser": "radam", "learning_rate": 7e-4,
    },
    ("hooper", "mnist-grey/8x64", "zgr[samples=1]"): {
        "steps": 150_000, "batch": 200, "optimiser": "adamw", "weight_decay": 0.01, "schedule": "cosine",
        "warm_up": 3000, "warm_up_from": 1e-3, "rate_every": 300,
    },
    ("hooper-int", "mnist-grey/128x4-int", "zgr[samples=1]"): {"steps": 150_000, "batch": 200, "schedule": "cosine"},
    ("mc-gradients", "breast-cancer", "reparameterization"): {
        "steps": 5000, "batch": 32, "optimiser": "sgd", "momentum": 0.0, "weight_decay": 0.0, "learning_rate": 1e-3,
        "schedule": "quarter-cosine", "warm_up": 0,
    },
    ("dreg", "mnist-dynamic/iwae-64", "dreg"): ADAM | {"steps": 5 * 10**6, "batch": 32, "learning_rate": 3e-4},
}  # fmt: skip
"""What sources say of a training, typed here apart from the suite."""


@pytest.mark.parametrize(("name", "problem", "estimator"), FACTS)
def test_a_training_has_the_factors_that_its_source_states(name: str, problem: str, estimator: str) -> None:
    found = [
        cell
        for cell in plan(load_suite(name)).cells
        if (cell.problem.label, cell.estimator.label) == (problem, estimator) and cell.measurement.kind == "train"
    ]
    assert found
    for cell in found:
        assert isinstance(cell.measurement, TrainConfig)
        settings = cell.measurement.optimisation.model_dump()
        expected = Optimisation().model_dump() | {"betas": (0.9, 0.999)} | settings
        for factor, value in FACTS[name, problem, estimator].items():
            default = Optimisation.model_fields[factor].default
            assert expected.get(factor, default) == value, factor


def shorter(cell: Cell, steps: int) -> Cell:
    """A cell of one seed and so many steps on the CPU, in which a pass is five steps."""
    measurement = cell.measurement
    assert isinstance(measurement, TrainConfig)
    settings = measurement.optimisation
    part = {"steps": steps, "compile": False} | ({"warm_up": 10, "rate_every": 5} if settings.scheduled else {})
    looks = {"evaluations": 1, "evaluation_rows": 200, "evaluation_samples": 1, "iwae_samples": 1, "seeds": 1}
    options = dict(cell.estimator.options)
    options |= {"anneal_steps": steps - 5, "anneal_every": 5} if "anneal_steps" in options else {}
    return cell.model_copy(
        update={
            "measurement": measurement.model_copy(update=looks | {"optimisation": settings.model_copy(update=part)}),
            "estimator": EstimatorConfig(name=cell.estimator.name, samples=cell.estimator.samples, options=options),
            "device": "cpu",
        }
    )


def order(cell: Cell) -> tuple[int, float]:
    """Small problems first, and of a sweep the largest rate, which shows most in few steps."""
    measurement, problem = cell.measurement, cell.problem
    assert isinstance(measurement, TrainConfig) and isinstance(problem, TrainedProblem)
    return problem.latents * (problem.categories or 1), -measurement.optimisation.learning_rate


def cells(name: str, elsewhere: set[str]) -> Iterator[tuple[Cell, int]]:
    """One training of each form of a model and of its optimiser, and a shorter one of each other estimator.

    Args:
        name: of the suite.
        elsewhere: estimators that another suite trains in the same way.
    """
    seen: set[Any] = set()
    for cell in sorted((one for one in plan(load_suite(name)).cells if one.measurement.kind == "train"), key=order):
        problem: Any = cell.problem
        form = problem.model_copy(update={"label": "", "dataset": "", "latents": 1, "categories": None})
        optimiser = cell.measurement.optimisation.optimiser  # type: ignore[attr-defined]
        estimator, model = cell.estimator.label, (form, optimiser)
        if (
            ("mnist" in problem.dataset or problem.kind != "vae")
            and estimator not in elsewhere
            and not {estimator, model} <= seen
        ):
            yield cell, FEW if elsewhere or model in seen else STEPS
            seen |= {estimator, model}


ELSEWHERE = {"hooper-int": {config.label for config in load_suite("hooper").estimators}}


CELLS = [(name, *found) for name in LITERATURE for found in cells(name, ELSEWHERE.get(name, set()))]
"""Suite, cell and steps."""


@pytest.mark.parametrize(
    ("cell", "steps"),
    [
        pytest.param(cell, steps, id=f"{name}-{cell.title}-{steps}", marks=needs(cell.problem.dataset or ""))
        for name, cell, steps in CELLS
    ],
)
def test_a_protocol_trains(cell: Cell, steps: int) -> None:
    """200 steps raise the train ELBO from where it began, by the same draws; and no number is not finite."""
    short = shorter(cell, steps)
    record: Record = run_cell(short)
    assert record.status == "ok", record.reason
    found = record.model_dump(mode="json")["measurements"]
    began, ended = (values[0] for values in found["curve"]["train_elbo"])
    assert found["diverged"] == [None] and ended > began + (2 if steps == STEPS else -50), (began, ended)
    kept, now = (one.measurement.optimisation.model_dump() for one in (cell, short))  # type: ignore[attr-defined]
    assert {name for name in now | kept if now.get(name) != kept.get(name)} <= SHORTER


def test_each_suite_trains_for_200_steps_at_least_once() -> None:
    assert {name for name, _, steps in CELLS if steps == STEPS} == set(LITERATURE) - set(ELSEWHERE)
