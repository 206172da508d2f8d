"""The settings of [training] are torch's own: the same bits in eager steps, the same numbers in those of a program."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from pydantic import ValidationError

import estimators
from bench.training.program_steps import ProgramSteps
from bench.training.settings import Optimisation
from bench.training.step_program import look_at
from bench.training.trainer import Trainer
from tests.bench.test_step_program import assert_same, state, training, uncompiled

__all__ = ["uncompiled"]

LEARNS = "reinforce[baseline=input-dependent]"
Make = Callable[[list[Any], list[Any]], torch.optim.Optimizer]
"""torch's optimiser of the model's weights and the estimator's own."""


def groups(weights: list[Any], own: list[Any], common: dict[str, Any], **others: Any) -> list[dict[str, Any]]:
    return [{"params": weights, **common}, {"params": own, "lr": 0.03, **others}]


def adam(weights: list[Any], own: list[Any]) -> torch.optim.Optimizer:
    common = {"lr": 0.02, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.5}
    return torch.optim.Adam(groups(weights, own, common, betas=(0.999, 0.99)), fused=True)


def sgd(weights: list[Any], own: list[Any]) -> torch.optim.Optimizer:
    return torch.optim.SGD(groups(weights, own, {"lr": 0.02, "weight_decay": 0.5}), fused=True)


SETTINGS = {"learning_rate": 0.02, "own_learning_rate": 0.03, "weight_decay": 0.5}
OWN = {"betas": (0.8, 0.95), "epsilon": 1e-3, "own_betas": (0.999, 0.99)}
CASES = {"adam": (adam, {**SETTINGS, **OWN}), "sgd": (sgd, {"optimiser": "sgd", **SETTINGS})}


def learning(**settings: Any) -> tuple[Trainer, Any]:
    """Two stacked seeds, with an estimator that has parameters of its own."""
    return training(own=estimators.create(LEARNS), **settings)


def of_torch(make: Make, settings: dict[str, Any]) -> tuple[Trainer, Any]:
    """The same training with an optimiser that is written out here."""
    trainer, batches = learning(**settings)
    weights = [p for p in trainer.model.parameters() if p.requires_grad]
    trainer.optimiser = make(weights, list(trainer.estimator.parameters()))
    return trainer, batches


def stepped(trainer: Trainer, batches: Any, steps: int = 7) -> dict[str, torch.Tensor]:
    for _ in range(steps):
        trainer.step(next(batches))
    return state(trainer, batches)


@pytest.mark.parametrize("name", CASES)
def test_eager_steps_have_the_bits_of_torchs_optimiser(name: str) -> None:
    make, settings = CASES[name]
    found, expected = stepped(*learning(**settings)), stepped(*of_torch(make, settings))
    assert found.keys() == expected.keys()
    assert [key for key, value in found.items() if not torch.equal(value, expected[key])] == []


@pytest.mark.parametrize("name", CASES)
def test_every_setting_changes_what_it_is_of(name: str) -> None:
    """Those without `own_` the model's weights, the others the estimator's own parameters."""
    _, settings = CASES[name]
    for setting in settings.keys() - {"optimiser"}:
        steps = 2 if "betas" in setting else 1  # the first step of Adam depends on them by rounding alone
        base = stepped(*learning(**settings), steps)
        other = stepped(*learning(**{key: value for key, value in settings.items() if key != setting}), steps)
        moved = {
            key.partition(".")[0] for key, value in other.items() if not torch.allclose(value, base[key], rtol=1e-9)
        }
        assert moved == {"estimator" if setting.startswith("own_") else "model"}, setting


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize("name", CASES)
def test_a_program_gives_the_numbers_of_torchs_optimiser(name: str) -> None:
    make, settings = CASES[name]
    fused = learning(**settings)
    program = ProgramSteps(*fused, look_at(*fused), capture=False)
    program.run(7)
    assert_same(state(*fused), stepped(*of_torch(make, settings)))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"optimiser": "sgd", "betas": (0.9, 0.99)}, 'betas is a setting of Adam, and optimiser = "sgd" has none'),
        ({"optimiser": "sgd", "own_betas": (0.9, 0.99)}, "own_betas is a setting of Adam"),
        ({"optimiser": "sgd", "epsilon": 1e-8}, "epsilon is a setting of Adam"),
        ({"betas": (0.9, 1.0)}, "Input should be less than 1"),
        ({"betas": (0.9,)}, "Field required"),
        ({"epsilon": 0}, "Input should be greater than or equal to 0.00000000000000000001"),
        ({"weight_decay": -0.1}, "Input should be greater than or equal to 0"),
        ({"weight_decay": True}, "weight_decay = true is no number"),
    ],
)
def test_what_an_optimiser_has_not_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as raised:
        Optimisation.model_validate(given)
    assert said in str(raised.value)


def test_settings_at_their_defaults_are_not_written() -> None:
    """So that ids of cells, and with them all records, stay what they were."""
    old = {"steps": 1000, "batch": 50, "optimiser": "adam", "learning_rate": 1e-3, "own_learning_rate": 1e-3}
    assert Optimisation().model_dump(mode="json") == old
    plain = Optimisation(betas=(0.9, 0.999), own_betas=(0.9, 0.999), epsilon=1e-8, weight_decay=0)
    assert plain.model_dump(mode="json") == old
    for setting, value in ({**OWN, "weight_decay": 0.5}).items():
        written = Optimisation.model_validate({setting: value}).model_dump(mode="json")
        assert written == {**old, setting: list(value) if isinstance(value, tuple) else value}
