"""What third parties do in a step that no trace sees: the numbers are those of eager steps, compiled or not."""

import itertools
import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Distribution

import estimators
from bench.measure.draws import gradients
from bench.training.batches import Batches
from bench.training.steps import Steps
from bench.training.trainer import Trainer
from estimators import Estimate, Estimator
from tests.bench.test_step_program import assert_same, rloo, state, training, uncompiled

__all__ = ["uncompiled"]
pytestmark = pytest.mark.usefixtures("uncompiled")

GLOBAL = torch.Generator()
Pair = tuple[Trainer, Batches]


class Scaled(Estimator):
    """Scales its surrogate by what it keeps somewhere."""

    late: ClassVar[Any] = None
    pair: ClassVar[tuple[int, ...]] = (0,)
    nested: ClassVar[dict[str, list[int]]] = {"calls": []}
    table: ClassVar[Any] = numpy.zeros(1)

    def __init__(self, scale: Callable[["Scaled", Distribution], Any]) -> None:
        super().__init__(1)
        self.scale, self.factor, self.calls = scale, 1.0, itertools.count(1)
        self.of_numpy, self.of_python = numpy.random.default_rng(0), random.Random(0)
        self.own, self.called, self.slots = torch.Generator().manual_seed(0), Called(), Slots()
        self.box = SimpleNamespace(generator=torch.Generator().manual_seed(0))
        self.register_buffer("mean", None)

    def forward(self, q, f, *, generator=None, context=None) -> Estimate:
        estimate = rloo()(q, f, generator=generator)
        return estimate._replace(surrogate=estimate.surrogate * self.scale(self, q))


class Called:
    """An object that is called, and counts."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> float:
        self.calls += 1
        return 0.5**self.calls


class Slots:
    """An object without a dict."""

    __slots__ = ("calls",)

    def __init__(self) -> None:
        self.calls = 0


def in_slots(scaled: Scaled, q: Distribution) -> float:
    scaled.slots.calls += 1
    return 0.5**scaled.slots.calls


def late_buffer(scaled: Scaled, q: Distribution) -> Tensor:
    now = q.logits.detach().abs().mean()
    scaled.mean = now if scaled.mean is None else 0.9 * scaled.mean + 0.1 * now
    return 1 + scaled.mean


def registered(scaled: Scaled, q: Distribution) -> Tensor:
    if "seen" not in scaled._buffers:
        scaled.register_buffer("seen", torch.zeros((), dtype=q.logits.dtype))
    scaled.seen.add_(q.logits.detach().abs().mean())
    return 1 + scaled.seen


def in_class(scaled: Scaled, q: Distribution) -> float:
    Scaled.late = 1 if Scaled.late is None else Scaled.late + 1
    return 0.5**Scaled.late


def in_tuple(scaled: Scaled, q: Distribution) -> float:
    Scaled.pair = (Scaled.pair[0] + 1,)
    return 0.5 ** Scaled.pair[0]


def nested(scaled: Scaled, q: Distribution) -> float:
    Scaled.nested["calls"].append(1)
    return 0.5 ** len(Scaled.nested["calls"])


def in_table(scaled: Scaled, q: Distribution) -> float:
    Scaled.table += 1
    return 0.5 ** float(Scaled.table[0])


FAULTS: dict[str, Callable[[Scaled, Distribution], Any]] = {
    "numpy's generator": lambda scaled, q: float(scaled.of_numpy.random()),
    "Python's generator": lambda scaled, q: scaled.of_python.random(),
    "a counter": lambda scaled, q: 1 / next(scaled.calls),
    "an object that is called": lambda scaled, q: scaled.called(),
    "an object without a dict": in_slots,
    "a buffer without a size": late_buffer,
    "a buffer that comes late": registered,
    "numpy's global generator": lambda scaled, q: numpy.random.rand(),
    "Python's global generator": lambda scaled, q: random.random(),
    "a global generator of torch": lambda scaled, q: torch.rand((), generator=GLOBAL, dtype=q.logits.dtype),
    "a generator in an object": lambda scaled, q: torch.rand((), generator=scaled.box.generator, dtype=q.logits.dtype),
    "a class": in_class,
    "a tuple of a class": in_tuple,
    "a list in a dict of a class": nested,
    "an array of a class": in_table,
}


def begin_anew() -> None:
    """All that is global, as it was."""
    torch.manual_seed(0)
    numpy.random.seed(0)
    random.seed(0)
    GLOBAL.manual_seed(0)
    Scaled.late, Scaled.pair = None, (0,)
    Scaled.nested["calls"].clear()
    Scaled.table.fill(0)


def after(make: Callable[[bool], Pair], wish: bool, change: Callable[[Trainer, Batches], object] | None = None) -> Any:
    """What steps end with, before a change and after it, and what came of compiling."""
    begin_anew()
    trainer, batches = make(wish)
    steps = Steps(trainer, batches)
    steps.run(3)
    first = steps.made
    if change is not None:
        change(trainer, batches)
    steps.run(3)
    return state(trainer, batches), first, steps.made


@pytest.mark.parametrize("fault", FAULTS)
def test_an_attempt_that_fails_leaves_everything_as_it_was(fault: str) -> None:
    def make(wish: bool) -> Pair:
        return training(own=Scaled(FAULTS[fault]), optimiser="sgd", compile=wish)

    (expected, *_), (found, made, _) = after(make, False), after(make, True)
    assert not made.compiled
    assert_same(found, expected)
    assert len(found) == len(expected)


def a_hook(trainer: Trainer, batches: Batches) -> None:
    trainer.parameters[0].register_hook(lambda g: 0 * g)


def a_forward_hook(trainer: Trainer, batches: Batches) -> None:
    trainer.model.encoder.register_forward_hook(lambda module, given, output: 0.5 * output)


def an_optimiser(trainer: Trainer, batches: Batches) -> None:
    trainer.optimiser = torch.optim.SGD([{"params": trainer.parameters, "lr": 1e-3}], fused=True)


def loaded_groups(trainer: Trainer, batches: Batches) -> None:
    trainer.optimiser.load_state_dict(trainer.optimiser.state_dict())
    trainer.optimiser.param_groups[0]["lr"] = 1e-3


def a_generator(trainer: Trainer, batches: Batches) -> None:
    trainer.estimator.own = torch.Generator().manual_seed(7)


def a_factor(trainer: Trainer, batches: Batches) -> None:
    trainer.estimator.factor = 0.25


def another_objective(trainer: Trainer, batches: Batches) -> None:
    objective = trainer.model.objective
    trainer.model.objective = lambda x: lambda z, q: 2 * objective(x)(z, q)


@pytest.mark.parametrize(
    "change", [a_hook, a_forward_hook, an_optimiser, loaded_groups, a_generator, a_factor, another_objective]
)
def test_what_is_replaced_between_steps_is_seen(change: Callable[[Trainer, Batches], None]) -> None:
    def scale(scaled: Scaled, q: Distribution) -> Tensor:
        return scaled.factor * torch.rand((), generator=scaled.own, dtype=q.logits.dtype)

    def make(wish: bool) -> Pair:
        return training(own=Scaled(scale), optimiser="sgd", compile=wish)

    (expected, *_), (found, made, _) = after(make, False, change), after(make, True, change)
    assert made.compiled
    assert_same(found, expected)


class Clipping(Trainer):
    """Does more in a step than a trainer does."""

    def backward(self, x: Tensor) -> Tensor:
        loss = super().backward(x)
        nn.utils.clip_grad_norm_(self.parameters, 0.01)
        return loss


def of_ones_own(trainer: Trainer) -> None:
    trainer.__class__ = Clipping


def another_rule(trainer: Trainer) -> None:
    trainer.optimiser = torch.optim.RMSprop(trainer.parameters, lr=1e-3)


def wrapped(trainer: Trainer) -> None:
    step = trainer.optimiser.step

    def clipped() -> None:
        nn.utils.clip_grad_norm_(trainer.parameters, 0.01)
        step()

    trainer.optimiser.step = clipped  # type: ignore[method-assign]


@pytest.mark.parametrize(
    ("change", "because"),
    [
        (of_ones_own, "the trainer takes steps of its own, which a program does not know"),
        (another_rule, "RMSprop has an update that a program does not know"),
        (wrapped, "the optimiser's step is not its own, and a program would not call it"),
    ],
)
def test_a_step_of_ones_own_stays_eager(change: Callable[[Trainer], None], because: str) -> None:
    def make(wish: bool) -> Pair:
        trainer, batches = training(own=rloo(), optimiser="sgd", compile=wish)
        change(trainer)
        return trainer, batches

    (expected, *_), (found, made, _) = after(make, False), after(make, True)
    assert made == (False, None, because)
    assert_same(found, expected)


def test_a_scheduler_of_learning_rates_is_followed() -> None:
    def make(wish: bool) -> Pair:
        trainer, batches = training(own=rloo(), optimiser="sgd", compile=wish)
        trainer.schedule = torch.optim.lr_scheduler.StepLR(trainer.optimiser, 1, 0.1)
        return trainer, batches

    def next_rate(trainer: Trainer, batches: Batches) -> None:
        trainer.schedule.step()

    (expected, *_), (found, made, then) = after(make, False, next_rate), after(make, True, next_rate)
    assert made.compiled and then is made
    assert_same(found, expected)


class Late(Scaled):
    """Has a parameter that takes part in training mode alone."""

    def __init__(self) -> None:
        super().__init__(lambda scaled, q: scaled.weight if scaled.training else 1.0)
        self.weight = nn.Parameter(torch.ones((), dtype=torch.float64))


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")
def test_a_parameter_whose_gradient_comes_late_keeps_its_own_count() -> None:
    def make(wish: bool) -> Pair:
        trainer, batches = training(own=Late(), compile=wish)
        trainer.estimator.eval()
        return trainer, batches

    def train(trainer: Trainer, batches: Batches) -> None:
        trainer.estimator.train()

    (expected, *_), (found, made, then) = after(make, False, train), after(make, True, train)
    assert made.compiled
    assert then == (False, None, "a parameter has taken fewer steps than the trainer, or more")
    assert_same(found, expected)


def test_a_buffer_of_nan_is_no_change() -> None:
    def scale(scaled: Scaled, q: Distribution) -> Tensor:
        return torch.where(scaled.best.isnan(), 1.0, 2.0)

    def make(wish: bool) -> Pair:
        own = Scaled(scale)
        own.register_buffer("best", torch.tensor(torch.nan, dtype=torch.float64))
        own.limit = float("nan")
        return training(own=own, optimiser="sgd", compile=wish)

    (expected, *_), (found, made, _) = after(make, False), after(make, True)
    assert made.compiled
    found.pop("estimator.best"), expected.pop("estimator.best")
    assert_same(found, expected)


def test_draws_of_an_estimator_that_changes_in_eval_are_its_own() -> None:
    class Running(Estimator):
        def __init__(self) -> None:
            super().__init__(1)
            self.register_buffer("mean", torch.zeros(()))

        def forward(self, q, f, *, generator=None, context=None) -> Estimate:
            estimate = estimators.create("reinforce")(q, f, generator=generator)
            self.mean.add_(0.1)
            return estimate._replace(surrogate=estimate.surrogate * (1 + self.mean))

    def drawn(wish: bool) -> tuple[list[Tensor], Tensor]:
        estimator, q = Running(), torch.distributions.Bernoulli(logits=torch.zeros(2, 3))
        blocks = gradients(estimator, q, lambda z, q: z.sum(-1), draws=600, seed=0, compile=wish)
        return list(blocks), estimator.mean

    expected, mean = drawn(False)
    with pytest.warns(UserWarning, match=r"its draws are not compiled: a buffer changes in eval"):
        found, again = drawn(True)
    assert torch.equal(mean, again)
    assert all(map(torch.equal, found, expected))
