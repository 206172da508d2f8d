"""The settings of [training] are torch's own: the same bits in eager steps, the same numbers in those of a program."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from pydantic import ValidationError

import estimators
from bench.measure.cost import step_bytes
from bench.problems.vae import VAE
from bench.problems.widths import Widths
from bench.training.program_steps import ProgramSteps
from bench.training.settings import Optimisation
from bench.training.step_program import look_at
from bench.training.trainer import Trainer
from tests.bench.test_step_program import GREY, assert_same, state, training, uncompiled

__all__ = ["uncompiled"]

LEARNS = "reinforce[baseline=input-dependent]"
Make = Callable[[list[Any], list[Any]], torch.optim.Optimizer]
"""torch's optimiser of the model's weights and the estimator's own."""


def groups(weights: list[Any], own: list[Any], common: dict[str, Any], **others: Any) -> list[dict[str, Any]]:
    return [{"params": weights, **common}, {"params": own, "lr": 0.03, **others}]


def adam(weights: list[Any], own: list[Any]) -> torch.optim.Optimizer:
    common = {"lr": 0.02, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.5}
    return torch.optim.Adam(groups(weights, own, common, betas=(0.999, 0.99)), fused=True)


def adamw(weights: list[Any], own: list[Any]) -> torch.optim.Optimizer:
    common = {"lr": 0.02, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.5}
    return torch.optim.AdamW(groups(weights, own, common, betas=(0.999, 0.99), weight_decay=0), fused=True)


def radam(weights: list[Any], own: list[Any]) -> torch.optim.Optimizer:
    common = {"lr": 0.02, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.5}
    return torch.optim.RAdam(groups(weights, own, common, betas=(0.999, 0.99)))


def momentum(weights: list[Any], own: list[Any]) -> torch.optim.Optimizer:
    return torch.optim.SGD(groups(weights, own, {"lr": 0.02, "weight_decay": 0.5, "momentum": 0.75}), fused=True)


def sgd(weights: list[Any], own: list[Any]) -> torch.optim.Optimizer:
    return torch.optim.SGD(groups(weights, own, {"lr": 0.02, "weight_decay": 0.5}), fused=True)


SETTINGS = {"learning_rate": 0.02, "own_learning_rate": 0.03, "weight_decay": 0.5}
OWN = {"betas": (0.8, 0.95), "epsilon": 1e-3, "own_betas": (0.999, 0.99)}
CASES = {
    "adam": (adam, {**SETTINGS, **OWN}),
    "adamw": (adamw, {"optimiser": "adamw", **SETTINGS, **OWN}),
    "radam": (radam, {"optimiser": "radam", **SETTINGS, **OWN}),
    "sgd": (sgd, {"optimiser": "sgd", **SETTINGS}),
    "momentum": (momentum, {"optimiser": "sgd", "momentum": 0.75, **SETTINGS}),
}


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
    needed = {"optimiser"} | ({"weight_decay"} if name == "adamw" else set())
    for setting in settings.keys() - needed:
        steps = 7 if name == "radam" else 2 if setting.endswith(("betas", "momentum")) else 1
        base = stepped(*learning(**settings), steps)
        other = stepped(*learning(**{key: value for key, value in settings.items() if key != setting}), steps)
        moved = {
            key.partition(".")[0] for key, value in other.items() if not torch.allclose(value, base[key], rtol=1e-9)
        }
        expected = "estimator" if setting.startswith("own_") else "model"
        assert moved == {expected} if steps < 3 else expected in moved, setting


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
        (
            {"optimiser": "sgd", "betas": (0.9, 0.99)},
            'betas is a setting of "adam" and "adamw" and "radam", and optimiser',
        ),
        ({"optimiser": "sgd", "own_betas": (0.9, 0.99)}, "own_betas is a setting of"),
        ({"optimiser": "sgd", "epsilon": 1e-8}, "epsilon is a setting of"),
        ({"betas": (0.9, 1.0)}, "Input should be less than 1"),
        ({"betas": (0.9,)}, "Field required"),
        ({"betas": (0.9, 0.99), "momentum": 0.9}, 'momentum is a setting of "sgd", and optimiser = "adam" has none'),
        ({"optimiser": "adamw"}, 'optimiser = "adamw" is "adam" but for its weight_decay, and that is 0'),
        ({"optimiser": "sgd", "momentum": 1}, "Input should be less than 1"),
        ({"prior_optimiser": "sgd"}, 'prior_optimiser = "sgd" needs a rate of its own'),
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
    for setting, value in ({**OWN, "weight_decay": 0.5, "prior_learning_rate": 0.5}).items():
        written = Optimisation.model_validate({setting: value}).model_dump(mode="json")
        assert written == {**old, setting: list(value) if isinstance(value, tuple) else value}


PRIORS: dict[str, tuple[dict[str, Any], Callable[[Any], torch.optim.Optimizer]]] = {
    "sgd": ({"prior_optimiser": "sgd"}, lambda p: torch.optim.SGD([p], lr=0.5)),
    "rate": ({}, lambda p: torch.optim.Adam([p], lr=0.5, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.5, fused=True)),
}


def with_prior(settings: dict[str, Any], **optimisation: Any) -> tuple[Trainer, Any]:
    """The same training of a VAE whose prior learns."""
    trainer, batches = learning(**optimisation)
    config = trainer.model.config.model_copy(update={"prior": "learned"})
    vae = VAE(config, GREY.train.mean(0), [0, 1]).double()
    return Trainer(vae, trainer.estimator, trainer.optimisation.model_copy(update=settings), noise_seed=0), batches


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize("name", PRIORS)
def test_a_learned_prior_has_a_rate_or_plain_descent_of_its_own(name: str) -> None:
    """With the bits of torch's optimisers side by side, one for the prior; a program has their numbers."""
    settings, make = PRIORS[name]
    settings = {"prior_learning_rate": 0.5, **settings}
    eager, fused, expected = (with_prior(settings, **SETTINGS, **OWN) for _ in range(3))
    trainer, batches = expected
    prior = trainer.model.prior_parameters
    weights = [p for p in trainer.model.parameters() if p is not prior]
    optimisers = adam(weights, list(trainer.estimator.parameters())), make(prior)
    for _ in range(7):
        loss = trainer.backward(next(batches))
        for optimiser in optimisers:
            optimiser.step()
        trainer.count(loss)
    found = stepped(*eager)
    assert [key for key, value in state(*expected).items() if not torch.equal(value, found[key])] == []
    assert prior.abs().min() > 0
    program = ProgramSteps(*fused, look_at(*fused), capture=False)
    program.run(7)
    assert_same(state(*fused), found)


def test_a_prior_that_is_fixed_stays_where_it_is() -> None:
    settings = {"prior_optimiser": "sgd", "prior_learning_rate": 0.5}
    trainer, batches = learning(**SETTINGS, **settings)
    assert trainer.optimisers == [trainer.optimiser]
    assert not stepped(trainer, batches)["model.prior_parameters"].any()


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({}, 2),
        ({"optimiser": "adamw", "weight_decay": 0.1}, 2),
        ({"optimiser": "radam"}, 2),
        ({"optimiser": "sgd"}, 0),
        ({"optimiser": "sgd", "momentum": 0.9}, 1),
    ],
)
def test_a_cost_counts_what_the_optimiser_keeps(given: dict[str, Any], kept: int) -> None:
    """Tensors as large as the weight, beside the weight and its gradient."""
    trainer, batches = learning(**given)
    trainer.step(next(batches))
    weight = trainer.parameters[0]
    assert sum(value.shape == weight.shape for value in trainer.optimiser.state[weight].values()) == kept
    weights = Widths(1000, 1, 1, 1, 1, 1)
    assert step_bytes(weights, trainer.optimisation, 3, 1)[0] == (2 + kept) * 3 * 1000 * 4
