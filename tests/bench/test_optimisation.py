"""The settings of [training] are torch's own: the same bits in eager steps, the same numbers in those of a program."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.fx import GraphModule

import estimators
from bench.measure.base import Common
from bench.measure.basket import MomentsSettings
from bench.measure.cost import step_bytes
from bench.measure.toy import ToyMoments
from bench.problems.toys import ToyConfig
from bench.problems.vae import VAE
from bench.problems.widths import Widths
from bench.training.batches import Batches
from bench.training.capture import EagerSteps
from bench.training.settings import Optimisation
from bench.training.steps import Steps
from bench.training.trainer import Trainer
from tests.bench.plain import measure_training
from tests.bench.test_checkpoint import in_parts
from tests.bench.test_elbo_measure import PROBLEM
from tests.bench.test_elbo_measure import SETTINGS as SHORT
from tests.bench.test_step_program import DRAWN, assert_same, in_two_forms, one_by_one, state, training, uncompiled

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
    return training(own=estimators.create(LEARNS), batch=20, **settings)


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


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"optimiser": "sgd", "betas": (0.9, 0.99)},
            'betas is a setting of optimiser = "adam" | "adamw" | "radam", and "sgd" has none',
        ),
        ({"optimiser": "sgd", "own_betas": (0.9, 0.99)}, "own_betas is a setting of optimiser"),
        ({"optimiser": "sgd", "epsilon": 1e-8}, "epsilon is a setting of optimiser"),
        ({"betas": (0.9, 1.0)}, "Input should be less than 1"),
        ({"betas": (0.9,)}, "Field required"),
        (
            {"betas": (0.9, 0.99), "momentum": 0.9},
            'momentum is a setting of optimiser = "sgd", and "adam" has none: leave momentum out',
        ),
        ({"optimiser": "adamw"}, 'optimiser = "adamw" is "adam" but for its weight_decay, and that is 0'),
        ({"optimiser": "sgd", "momentum": 1}, "Input should be less than 1"),
        ({"prior_optimiser": "sgd"}, 'prior_optimiser = "sgd" has a rate of its own: give prior_learning_rate'),
        ({"steps": 9, "warm_up": 9}, "warm_up = 9 takes all of the 9 steps: give fewer, or more steps"),
        ({"warm_up_from": 0.1}, "warm_up_from = 0.1 is where a warm-up begins: give warm_up, its steps"),
        ({"rate_every": 5}, "rate_every = 5 is how seldom rates change, and none does"),
        ({"schedule": "cosine", "steps": 9, "rate_every": 9}, "rate_every = 9 leaves the rates as they are in all 9"),
        ({"schedule": "cosin"}, "Input should be 'constant', 'cosine', 'quarter-cosine' or 'iwae'"),
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
    for setting, value in ({**OWN, "weight_decay": 0.5, "schedule": "iwae", "warm_up": 3}).items():
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
    vae = VAE(config, DRAWN.train.mean(0), [0, 1]).double()
    return Trainer(vae, trainer.estimator, trainer.optimisation.model_copy(update=settings), noise_seed=0), batches


@pytest.mark.parametrize("name", PRIORS)
def test_a_learned_prior_has_a_rate_or_plain_descent_of_its_own(name: str) -> None:
    """With the bits of torch's optimisers side by side, one of them for the prior."""
    settings, make = PRIORS[name]
    settings = {"prior_learning_rate": 0.5, **settings}
    eager, expected = (with_prior(settings, **SETTINGS, **OWN) for _ in range(2))
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


def by_torch(optimiser: torch.optim.Optimizer) -> Any:
    """A warm-up of 4 steps from a tenth, then a cosine to zero over 6."""
    warm_up = torch.optim.lr_scheduler.LinearLR(optimiser, start_factor=0.1, total_iters=4)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=6)
    return torch.optim.lr_scheduler.SequentialLR(optimiser, [warm_up, cosine], milestones=[4])


CHANGING = {"steps": 10, "warm_up": 4, "warm_up_from": 0.1, "schedule": "cosine"}


def test_rates_are_those_of_torchs_schedulers() -> None:
    """Step by step, of every group."""
    optimiser = torch.optim.SGD([{"params": [torch.zeros(1)], "lr": 0.5}, {"params": [torch.ones(1)], "lr": 0.25}])
    scheduler, rates = by_torch(optimiser), []
    for _ in range(10):
        rates.append([group["lr"] for group in optimiser.param_groups])
        optimiser.step()
        scheduler.step()
    settings = {"learning_rate": 0.5, "own_learning_rate": 0.25, **CHANGING}
    trainer, batches = learning(**settings)
    for step, expected in enumerate(rates, 1):
        assert trainer.rates(step) == pytest.approx(expected, rel=1e-12)
        trainer.step(next(batches))
        assert [group["lr"] for group in trainer.optimiser.param_groups] == trainer.rates(step)
    assert trainer.rates(11) == trainer.rates(10), "whoever goes on beyond the last step has its rate"


def test_a_captured_step_finds_its_rate_where_it_was() -> None:
    """On a GPU rates are tensors, which are written into and not replaced."""
    trainer, _ = learning(**SETTINGS, **CHANGING)
    held = torch.tensor(0.0, dtype=torch.float64)
    trainer.groups[0]["lr"] = held
    for taken in (0, 3, 7):
        trainer.steps = taken
        trainer.set_rates()
        assert trainer.groups[0]["lr"] is held
        assert held.item() == trainer.rates(taken + 1)[0]
        assert trainer.groups[1]["lr"] == trainer.rates(taken + 1)[1]


@pytest.mark.parametrize("step", [1, 300, 301, 3000, 3001, 76_500, 76_501, 149_999, 150_000])
def test_a_schedule_by_passes_is_that_of_a_published_protocol(step: int) -> None:
    """500 epochs of 300 steps: 10 of warm-up from a thousandth, then a cosine, both changed once an epoch."""
    settings = Optimisation(steps=150_000, warm_up=3000, warm_up_from=1e-3, schedule="cosine", rate_every=300)
    epoch = (step - 1) // 300
    warm, cold = 1e-3 + (1 - 1e-3) * epoch / 10, (1 + math.cos(math.pi * (epoch - 10) / 490)) / 2
    assert settings.part(step) == pytest.approx(warm if epoch < 10 else cold, rel=1e-12)


def test_a_quarter_of_a_cosine_falls_from_all_of_a_rate_to_nothing() -> None:
    """After t of T steps cos(pi t / 2 T) of it, as 1906.10652's program has it: half of it after two thirds."""
    settings = Optimisation(steps=3000, schedule="quarter-cosine")
    for step, part in ((1, 1.0), (1001, math.sqrt(0.75)), (1501, math.sqrt(0.5)), (2001, 0.5)):
        assert settings.part(step) == pytest.approx(part, rel=1e-12)
    assert 0 < settings.part(3000) < 6e-4


def test_the_schedule_of_iwae_is_eight_rates_each_three_times_as_long_as_the_one_before() -> None:
    """20 steps a pass over the data, of which there are 1 + 3 + ... + 2187 = 3280."""
    settings, step = Optimisation(steps=20 * 3280, schedule="iwae"), 0
    for i in range(8):
        passes = 3**i
        for at in (step + 1, step + 20 * passes):
            assert settings.part(at) == pytest.approx(10 ** (-i / 7), rel=1e-12)
        step += 20 * passes
    assert step == settings.steps


ALL = {
    **CHANGING, **OWN, "optimiser": "adamw", "learning_rate": 0.02, "own_learning_rate": 0.03, "weight_decay": 0.5,
    "prior_optimiser": "sgd", "prior_learning_rate": 0.5, "rate_every": 2, "decoder_samples": 2,
}  # fmt: skip
MOVING = {
    "adam": {key: value for key, value in ALL.items() if key != "prior_optimiser"} | {"optimiser": "adam"},
    "adamw": ALL,
    "radam": ALL | {"optimiser": "radam"},
    "momentum": {key: value for key, value in ALL.items() if key not in OWN} | {"optimiser": "sgd", "momentum": 0.75},
}


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize("name", MOVING)
def test_all_settings_at_once_give_the_same_numbers_in_steps_of_either_form(name: str) -> None:
    """Eager steps and those of a program take turns on one state."""
    alone, mixed = (with_prior({}, **MOVING[name]) for _ in range(2))
    eager, program = in_two_forms(*mixed)
    for form in (program, eager, eager, program, program):
        form.run(2)
    assert_same(state(*mixed), stepped(*alone, 10))


@pytest.mark.gpu
@pytest.mark.parametrize("name", MOVING)
def test_captured_steps_have_all_settings_too(name: str) -> None:
    """Replays follow the rates, and begin and end where eager steps do."""
    ends = []
    for capture in (True, False):
        on_cpu, _ = with_prior({}, **MOVING[name])
        model, estimator = on_cpu.model.to("cuda"), on_cpu.estimator.to("cuda")
        trainer = Trainer(model, estimator, on_cpu.optimisation, noise_seed=0)
        steps = EagerSteps(trainer, Batches(DRAWN, 20, [0, 1], trainer.device), capture=capture)
        steps.run(10)
        assert (steps.graph is not None) == capture, steps.eager_because
        assert [float(group["lr"]) for group in trainer.groups] == pytest.approx(trainer.rates(10), rel=1e-6)
        ends.append([p.detach() for p in trainer.parameters])
    for captured, eager in zip(*ends, strict=True):
        torch.testing.assert_close(captured, eager, rtol=1e-6, atol=1e-9)


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_a_training_with_all_settings_goes_on_with_the_bits_of_one_left_alone(
    monkeypatch: pytest.MonkeyPatch, compiled: bool
) -> None:
    """Stopped once, after the warm-up and between two changes of the rates."""
    monkeypatch.setattr("bench.training.steps.AT_ONCE", 1)
    settings = SHORT.model_copy(update={"optimisation": Optimisation(batch=10, compile=compiled, **ALL)})
    problem = PROBLEM.model_copy(update={"prior": "learned"})

    def run() -> Any:
        found = measure_training(problem, estimators.create(LEARNS), settings, seed=11, device=torch.device("cpu"))
        del found["curve"]["seconds"]
        assert found.pop("program")["compiled"] == compiled
        return found

    alone, (found, stops) = run(), in_parts(run, 7)
    assert stops == 1
    assert found.pop("resumed") == 1
    assert found == alone


@pytest.mark.usefixtures("uncompiled")
def test_code_is_tried_at_the_whole_rates_where_the_first_step_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """By plain descent from a rate of zero, code with any gradient at all would give the numbers of the step."""

    def wrong(graph: GraphModule, tensors: Sequence[Tensor], **more: object) -> Callable[..., object]:
        code = one_by_one(graph, tensors)

        def half(*given: Tensor) -> None:
            before = [tensor.clone() for tensor in given]
            code(*given)
            for tensor, old in zip(given, before, strict=True):
                if tensor.shape == (2, 64, 5):
                    tensor.copy_((tensor + old) / 2)

        return half

    pair = training(optimiser="sgd", compile=True, steps=10, warm_up=4)
    monkeypatch.setattr("bench.training.program.compiled", wrong)
    made = Steps(*pair).prepare()
    assert not made.compiled
    assert str(made.because).endswith("it gives other numbers than as it is written")


def test_own_parameters_of_a_toy_take_the_decays_of_a_training() -> None:
    toy = ToyConfig(kind="toy", objective="cubic", family="bernoulli", latents=2, logits=(1.0,)).points()[0]
    common = Common(Optimisation(own_betas=(0.5, 0.75)), seeds=1, samples=None)
    measurement = MomentsSettings().of(toy, common)
    assert isinstance(measurement, ToyMoments)
    assert measurement.own_betas == (0.5, 0.75)
