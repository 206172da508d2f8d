"""The step as one program: on the same noise it gives the numbers of the eager step, for every registered estimator."""

import math
import os
import random
import re
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from types import SimpleNamespace
from typing import ClassVar

import numpy
import pytest
import torch
import torch._inductor
from pydantic import ValidationError
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.fx import GraphModule

import bench.datasets
import estimators
from bench.measure.draws import gradients
from bench.problems.vae import VAE, VAEConfig
from bench.seeds import stream
from bench.training import evaluation
from bench.training.batches import Batches
from bench.training.capture import EagerSteps
from bench.training.noise import Given, Noted, Untraceable, aligned
from bench.training.program import Program
from bench.training.program_steps import AHEAD, ProgramSteps
from bench.training.settings import Optimisation
from bench.training.step_program import look_at
from bench.training.steps import Steps
from bench.training.trainer import Trainer
from bench.training.worth import Worth
from estimators import Estimate, Estimator, Noise
from estimators.base import Objective
from estimators.entry import Entry
from tests.bench.test_floor import CASES, bound_to

CPU = torch.device("cpu")
IDS = [f"{entry.name}-{family}" for entry, family in CASES]
DIGITS = bench.datasets.load("digits")
DRAWN = DIGITS._replace(train=0.5 * DIGITS.train.double(), dynamic=True)


def training(
    entry: Entry | None = None,
    family: str = "bernoulli",
    *,
    own: Estimator | None = None,
    device: torch.device = CPU,
    batch: int = 500,
    config: VAEConfig | None = None,
    **optimisation: object,
) -> tuple[Trainer, Batches]:
    """Two seeds on grey digits, drawn to bits anew for each batch: two batches a pass; in double precision."""
    estimator, model, _ = bound_to(entry or estimators.get("rloo"), family)
    estimator = own or estimator
    data = DRAWN if config is None or config.dataset == "digits" else bench.datasets.load(config.dataset)
    data = data._replace(train=data.train.double())
    vae = VAE(config or model.config, data.train.mean(0), [0, 1]).to(device).double()
    estimator.bind(stack=(2,), context_size=64, event=vae.event, generator=stream("own", 0)).to(device).double()
    settings = Optimisation.model_validate({"learning_rate": 0.1, "own_learning_rate": 0.1} | optimisation)
    return Trainer(vae, estimator, settings, noise_seed=0), Batches(data, batch, [0, 1], device)


def in_two_forms(trainer: Trainer, batches: Batches) -> tuple[EagerSteps, ProgramSteps]:
    """Eager steps and those of a compiled program on one state, which may take turns."""
    steps = Steps(trainer, batches)
    trainer.optimisation = trainer.optimisation.model_copy(update={"compile": True})
    assert steps.prepare().compiled
    assert steps.program is not None
    return steps.eager, steps.program


def state(trainer: Trainer, batches: Batches) -> dict[str, Tensor]:
    """A copy of all that a step changes, but for what an optimiser keeps."""
    found = {
        **{f"model.{name}": value.detach() for name, value in trainer.model.state_dict().items()},
        **{f"estimator.{name}": value.detach() for name, value in trainer.estimator.state_dict().items()},
        "steps": trainer.step_on_device,
        "diverged": trainer.diverged_at,
        "position": batches.position,
        **{f"noise.{i}": generator.get_state() for i, generator in enumerate(trainer.generators)},
        **{f"binarisation.{i}": generator.get_state() for i, generator in enumerate(batches.noise)},
    }
    return {name: value.clone() for name, value in found.items()}


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, value in found.items():
        where = f"{name}: {{}}".format
        torch.testing.assert_close(value, expected[name], rtol=1e-8, atol=1e-11, msg=where)


COMPILE_ALL = "GRADEST_COMPILE_ALL" in os.environ


@pytest.fixture
def uncompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The traced operations one by one, since compiling all of them takes minutes; `tox -e programs` compiles them."""
    if not COMPILE_ALL:
        monkeypatch.setattr("bench.training.program.compiled", one_by_one)


def one_by_one(graph: GraphModule, tensors: Sequence[Tensor], **more: object) -> GraphModule:
    """The graph as it is, but for views: operations may leave numbers in another order than the trace supposed."""
    for node in graph.graph.nodes:
        if node.target is torch.ops.aten.view.default:
            node.target = torch.ops.aten.reshape.default
    graph.recompile()
    return graph


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize(("entry", "family"), CASES, ids=IDS)
def test_the_program_of_every_estimator_gives_the_eager_numbers_on_the_same_noise(entry: Entry, family: str) -> None:
    """By plain descent, which leaves rounding errors as small as they are; Adam divides them by what is near zero."""
    eager, fused = (training(entry, family, optimiser="sgd") for _ in range(2))
    program = ProgramSteps(*fused, look_at(*fused), capture=False)
    for _ in range(3):  # into the second pass
        trainer, batches = eager
        trainer.step(next(batches))
        program.run(1)
        assert_same(state(*fused), state(*eager))
    assert fused[0].steps == 3


MODELS: list[tuple[str, dict[str, object]]] = [
    ("disarm", {"family": "bernoulli", "activation": "tanh", "architecture": (5, 4), "decoder": (6,)}),
    ("straight-through-gumbel-softmax", {"family": "categorical", "embedding": "integer", "categories": 3}),
    ("rloo", {"family": "bernoulli", "dataset": "digits-grey"}),
    ("rloo", {"family": "bernoulli", "kl_weight": 0.5, "kl_warm_up": 2}),
]


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize(("name", "factors"), MODELS, ids=[str([*factors][1]) for _, factors in MODELS])
def test_the_program_of_other_models_gives_the_eager_numbers(name: str, factors: dict[str, object]) -> None:
    """Of the factors that a model has beside its family and its bound."""
    given = {"kind": "vae", "dataset": "digits", "latents": 3, "architecture": (5,)} | factors
    config, entry = VAEConfig.model_validate(given), estimators.get(name)
    eager, fused = (training(entry, config.family, config=config, optimiser="sgd") for _ in range(2))
    program = ProgramSteps(*fused, look_at(*fused), capture=False)
    for _ in range(3):
        eager[0].step(next(eager[1]))
        program.run(1)
        assert_same(state(*fused), state(*eager))


def test_adam_and_running_state_go_on_where_the_other_form_left_them() -> None:
    """Steps of a compiled program and eager ones take turns on one state; both know what the other did."""
    mixed, alone = (training(estimators.get("reinforce"), own=moving_average()) for _ in range(2))
    eager, program = in_two_forms(*mixed)
    for form in (eager, program, program, eager, program):
        form.run(1)
        alone[0].step(next(alone[1]))
    for p, expected in zip(mixed[0].parameters, alone[0].parameters, strict=True):
        found, other = mixed[0].optimiser.state[p], alone[0].optimiser.state[expected]
        assert found.keys() == other.keys()
        for name, value in found.items():
            torch.testing.assert_close(value, other[name], rtol=1e-7, atol=1e-10)
    assert [int(state["step"]) for state in mixed[0].optimiser.state.values()] == [5] * len(mixed[0].parameters)
    assert_same(dict(mixed[0].estimator.named_buffers()), dict(alone[0].estimator.named_buffers()))
    assert any(value.any() for value in mixed[0].estimator.buffers())
    assert mixed[0].steps == 5
    assert torch.equal(mixed[0].generator.get_state(), alone[0].generator.get_state())


def moving_average() -> Estimator:
    return estimators.create("reinforce[baseline=moving-average]")


class Odd(Estimator):
    """An estimator with a fault."""

    made: ClassVar[int] = 0
    noted: ClassVar[list[int]] = []
    shared: ClassVar[Tensor] = torch.zeros(3)

    def __init__(self, fault: Callable[["Odd", Distribution], object]) -> None:
        super().__init__(1)
        self.fault, self.calls, self.history, self.mean = fault, 0, list[int](), torch.zeros(2, 1)
        self.box = SimpleNamespace(count=0)
        self.register_buffer("seen", torch.zeros(2, 1))

    def forward(self, q, f, *, generator=None, context=None) -> Estimate:
        self.fault(self, q)
        return rloo()(q, f, generator=generator)


def rloo() -> Estimator:
    return estimators.create("rloo")


def count(odd: Odd, q: Distribution) -> None:
    odd.calls += 1


def remember(odd: Odd, q: Distribution) -> None:
    odd.history.append(1)


def replace_plain(odd: Odd, q: Distribution) -> None:
    odd.mean = 0.9 * odd.mean + 1


def change_plain(odd: Odd, q: Distribution) -> None:
    odd.mean += 1


def deep(odd: Odd, q: Distribution) -> None:
    odd.box.count += 1


def once(odd: Odd, q: Distribution) -> None:
    odd.calls = 1


def by_data(odd: Odd, q: Distribution) -> None:
    odd.seen.data = odd.seen.data + 1


def behind_the_version(odd: Odd, q: Distribution) -> None:
    odd.mean.data.add_(1)


def count_in_class(odd: Odd, q: Distribution) -> None:
    Odd.made += 1


def note_in_class(odd: Odd, q: Distribution) -> None:
    Odd.noted.append(1)


def share(odd: Odd, q: Distribution) -> None:
    Odd.shared += 1


def read(odd: Odd, q: Distribution) -> None:
    if q.logits.mean() > 0:
        odd.seen += 1


def bernoulli(odd: Odd, q: Distribution) -> None:
    q.sample()


def python(odd: Odd, q: Distribution) -> None:
    random.random()


def of_numpy(odd: Odd, q: Distribution) -> None:
    numpy.random.rand()


@pytest.mark.parametrize(
    ("fault", "because"),
    [
        (count, "Odd.calls changes from step to step and is no buffer: see register_buffer"),
        (remember, "Odd.history changes from step to step and is no buffer: see register_buffer"),
        (replace_plain, "Odd.mean changes from step to step and is no buffer: see register_buffer"),
        (change_plain, "Odd.mean changes from step to step and is no buffer: see register_buffer"),
        (deep, "Odd.box changes from step to step and is no buffer: see register_buffer"),
        (once, "Odd.calls is set by the first step, and is no buffer: see register_buffer"),
        (by_data, "seen.data is assigned in a step"),
        (behind_the_version, "Odd.mean changes from step to step and is no buffer: see register_buffer"),
        (count_in_class, "Odd.made changes from step to step and is no buffer: see register_buffer"),
        (note_in_class, "Odd.noted changes from step to step and is no buffer: see register_buffer"),
        (share, "Odd.shared changes from step to step and is no buffer: see register_buffer"),
        (read, "aten._local_scalar_dense.default reads values back"),
        (bernoulli, "aten.bernoulli.default draws numbers that cannot be drawn ahead"),
        (python, "it draws numbers from Python's or numpy's generator"),
        (of_numpy, "it draws numbers from Python's or numpy's generator"),
    ],
)
def test_what_cannot_be_a_program_stays_as_it_is_and_says_why(fault: Callable[..., object], because: str) -> None:
    """A third party's estimator may do in Python what no trace sees; it is found out before, and not frozen."""
    trainer, batches = training(own=Odd(fault), compile=True)
    before, of_class = state(trainer, batches), (Odd.made, list(Odd.noted), Odd.shared.tolist())
    steps = Steps(trainer, batches)
    assert steps.prepare() == (False, None, because)
    assert_same(state(trainer, batches), before)
    assert (Odd.made, Odd.noted, Odd.shared.tolist()) == of_class
    steps.run(2)
    assert (trainer.steps, steps.captured) == (2, False)


def test_a_buffer_may_be_replaced_rather_than_changed() -> None:
    def fault(odd: Odd, q: Distribution) -> None:
        odd.seen = odd.seen + q.logits.detach().mean(-1).mean(-1, keepdim=True)

    eager, fused = (training(own=Odd(fault), optimiser="sgd") for _ in range(2))
    program = ProgramSteps(*fused, look_at(*fused), capture=False)
    for _ in range(3):
        eager[0].step(next(eager[1]))
        program.run(1)
    assert_same(state(*fused), state(*eager))
    assert fused[0].estimator.seen.abs().min() > 0


@pytest.mark.usefixtures("uncompiled")
def test_buffers_may_take_each_others_values() -> None:
    def fault(odd: Odd, q: Distribution) -> None:
        odd.seen, odd.before = odd.seen + q.logits.detach().mean(), odd.seen

    class Two(Odd):
        def __init__(self) -> None:
            super().__init__(fault)
            self.register_buffer("before", torch.zeros(2, 1))

    eager, fused = (training(own=Two(), optimiser="sgd") for _ in range(2))
    program = ProgramSteps(*fused, look_at(*fused), capture=False)
    for _ in range(3):
        eager[0].step(next(eager[1]))
        program.run(1)
    assert_same(state(*fused), state(*eager))
    assert not torch.equal(fused[0].estimator.before, fused[0].estimator.seen)


class Weighted(Estimator):
    """Multiplies the surrogate by a parameter of its own that it holds by another way too."""

    def __init__(self, held: Callable[[nn.Parameter], object]) -> None:
        super().__init__(1)
        self.weight = nn.Parameter(torch.ones(()))
        self.held = held(self.weight)

    def forward(self, q, f, *, generator=None, context=None) -> Estimate:
        found = self.held() if callable(self.held) else self.held[0]
        estimate = rloo()(q, f, generator=generator)
        return estimate._replace(surrogate=estimate.surrogate * found)


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize("held", [lambda p: [p], lambda p: lambda: p], ids=["list", "closure"])
def test_a_parameter_is_found_by_its_module_or_not_at_all(held: Callable[[nn.Parameter], object]) -> None:
    """A trace would take the one in a list for a constant, and its gradient for none."""
    eager, fused = (training(own=Weighted(held), optimiser="sgd", compile=wish) for wish in (False, True))
    steps = Steps(*fused)
    assert not steps.prepare().compiled
    for _ in range(3):
        eager[0].step(next(eager[1]))
    steps.run(3)
    assert_same(state(*fused), state(*eager))


def test_hooks_and_other_settings_of_an_optimiser_keep_a_step_eager() -> None:
    trainer, batches = training(compile=True)
    trainer.optimiser.param_groups[0]["amsgrad"] = True
    because = "the optimiser has amsgrad = True, which a program does not know"
    assert Steps(trainer, batches).prepare() == (False, None, because)
    trainer, batches = training(compile=True)
    trainer.parameters[0].register_hook(lambda g: g.clamp(-1, 1))
    assert Steps(trainer, batches).prepare() == (False, None, "a parameter has hooks, which a program would not call")


@pytest.mark.usefixtures("uncompiled")
def test_a_program_is_made_anew_where_more_than_values_changed() -> None:
    eager, fused = (training(own=moving_average(), optimiser="sgd", compile=wish) for wish in (False, True))
    steps = Steps(*fused)
    steps.run(2)
    first = steps.program
    assert first is not None
    for _ in range(2):
        eager[0].step(next(eager[1]))
    for trainer, _ in (eager, fused):
        trainer.estimator.eval()
        trainer.parameters[0].data = trainer.parameters[0].data * 0.5
    steps.run(2)
    for _ in range(2):
        eager[0].step(next(eager[1]))
    assert steps.program is not first
    assert_same(state(*fused), state(*eager))


def test_a_generator_of_ones_own_goes_on_where_it_was() -> None:
    class Drawing(Odd):
        def __init__(self) -> None:
            super().__init__(lambda odd, q: None)
            self.generator = torch.Generator().manual_seed(5)

        def forward(self, q, f, *, generator=None, context=None) -> Estimate:
            estimate = rloo()(q, f, generator=generator)
            noise = torch.rand(q.logits.shape[:-1], dtype=torch.float64, generator=self.generator)
            return estimate._replace(surrogate=estimate.surrogate * noise * torch.rand((), dtype=torch.float64))

    eager, fused = (training(own=Drawing(), optimiser="sgd", compile=wish) for wish in (False, True))
    torch.manual_seed(0)
    for _ in range(3):
        eager[0].step(next(eager[1]))
    torch.manual_seed(0)
    steps = Steps(*fused)
    steps.run(3)
    assert steps.program is not None
    assert_same(state(*fused), state(*eager))


def test_noise_by_rejection_is_not_drawn_ahead() -> None:
    class Rejecting(Estimator):
        def estimate(self, q: Distribution, f: Objective, noise: Noise) -> Estimate:
            noise.gamma(1, q.logits.exp())
            return rloo().estimate(q, f, noise)

    steps = Steps(*training(own=Rejecting(2), compile=True))
    made = steps.prepare()
    assert not made.compiled
    assert made.because is not None
    assert "_standard_gamma" in made.because


def test_without_a_compiler_steps_are_eager_and_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*arguments: object, **more: object) -> None:
        raise RuntimeError("\n\nNo working C++ compiler found\nin a long text")

    monkeypatch.setattr(torch._inductor, "compile", missing)
    made = Steps(*training(compile=True)).prepare()
    assert made == (False, None, "it does not compile here: RuntimeError: No working C++ compiler found")


def test_code_that_gives_other_numbers_than_the_step_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """As inductor of torch 2.11 made of RELAX: one gradient was off by a tenth."""

    def wrong(graph: GraphModule, tensors: Sequence[Tensor], **more: object) -> Callable[..., object]:
        def code(*given: Tensor) -> None:
            before = [tensor.clone() for tensor in given]
            one_by_one(graph, tensors)(*given)
            for tensor, old in zip(given, before, strict=True):
                if tensor.shape == (2, 64, 5) and not torch.equal(tensor, old):
                    tensor.copy_(old + 0.9 * (tensor - old))

        return code

    trainer, batches = training(compile=True)
    Steps(trainer, batches).eager.run(2)  # so that nothing is zero that ought to stay as it was
    before = state(trainer, batches)
    monkeypatch.setattr("bench.training.program.compiled", wrong)
    because = f"compiled by torch {torch.__version__} it gives other numbers than as it is written"
    assert Steps(trainer, batches).prepare() == (False, None, because)
    assert_same(state(trainer, batches), before)


@pytest.mark.parametrize(
    ("given", "agrees"), [([math.nan, 2.0 + 1e-9], True), ([3.0, 2.0], False), ([math.nan] * 2, False)]
)
def test_what_is_nan_is_to_be_nan_in_code_too(
    monkeypatch: pytest.MonkeyPatch, given: list[float], agrees: bool
) -> None:
    """A model without a bound of many samples has NaN there; the numbers beside it are rounded otherwise by code."""

    def function(out: Tensor) -> None:
        out.copy_(torch.tensor([math.nan, 2.0], dtype=torch.float64))

    def stub(graph: GraphModule, tensors: Sequence[Tensor], **more: object) -> Callable[..., object]:
        return lambda *tensors: tensors[-1].copy_(torch.tensor(given, dtype=torch.float64))

    monkeypatch.setattr("bench.training.program.compiled", stub)
    out = torch.zeros(2, dtype=torch.float64)
    with nullcontext() if agrees else pytest.raises(Untraceable, match="other numbers than as it is written"):
        Program(function, [out], [])


def test_a_buffer_may_keep_what_another_was_before() -> None:
    """inductor gave it the other's new value, which the trial does not show while that value stays as it was."""

    def function(now: Tensor, before: Tensor, a: Tensor, b: Tensor, on: Tensor, was: Tensor, gate: Tensor) -> None:
        before.copy_(now)
        now.mul_(torch.where(gate > 0, 2.0, 1.0))
        a_before = a.clone()
        a.copy_(b)
        b.zero_().add_(a_before)
        was.copy_(on)
        on.copy_(gate > 0)

    def tensors() -> list[Tensor]:
        flags = torch.tensor([False, False])
        return [torch.ones(2), torch.zeros(2), *torch.arange(4.0).chunk(2), flags, ~flags, -torch.ones(2)]

    compiled, expected = tensors(), tensors()
    program = Program(function, compiled)
    for gate in (-1.0, 1.0, -1.0):
        for each, run in ((compiled, program.run), (expected, lambda: function(*expected))):
            each[-1].fill_(gate)
            with torch.no_grad():
                run()
        assert all(torch.equal(*pair) for pair in zip(compiled, expected, strict=True))


def test_where_one_way_of_compiling_fails_the_other_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    ways: list[bool] = []

    def one_way(graph: GraphModule, tensors: Sequence[Tensor], *, cpp_wrapper: bool) -> Callable[..., object]:
        ways.append(cpp_wrapper)
        if cpp_wrapper:
            raise Untraceable("it does not compile here")
        return one_by_one(graph, tensors)

    monkeypatch.setattr("bench.training.program.compiled", one_way)
    assert Steps(*training(compile=True)).prepare().compiled
    assert ways == [True, False]


def test_code_that_fails_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(graph: GraphModule, tensors: Sequence[Tensor], **more: object) -> Callable[..., object]:
        def code(*given: Tensor) -> None:
            given[-1].zero_()
            raise RuntimeError("aoti_torch_cpu_pow_Scalar failed\nat line 210")

        return code

    trainer, batches = training(compile=True)
    Steps(trainer, batches).eager.run(2)
    before = state(trainer, batches)
    monkeypatch.setattr("bench.training.program.compiled", failing)
    because = "compiled, it fails: RuntimeError: aoti_torch_cpu_pow_Scalar failed"
    assert Steps(trainer, batches).prepare() == (False, None, because)
    assert_same(state(trainer, batches), before)


def test_a_torch_that_compiles_to_wrong_numbers_compiles_nothing_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "__version__", "2.11.0+cpu")
    because = "torch 2.11.0+cpu compiles some steps on a CPU to wrong numbers; 2.13 does not"
    assert Steps(*training(compile=True)).prepare() == (False, None, because)


def test_auto_compiles_where_so_many_steps_pay_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.training.program.compiled", one_by_one)
    few, many = (Steps(*training(steps=steps)).prepare() for steps in (300, 100_000))
    assert few == (False, None, "300 steps are too few to compile for")
    assert many.compiled
    some = Steps(*training(steps=2000)).prepare()
    assert some.because is not None
    assert re.fullmatch(r"2000 steps of \d+ operations save less time than compiling takes", some.because)
    never = Steps(*training(steps=100_000, compile=False)).prepare()
    assert never == (False, None, "not asked for")


def test_compiling_pays_from_a_number_of_runs_on() -> None:
    worth = Worth(start=2.0, a_call=0.01, saved_a_call=1e-5, saved_a_number=1e-8)
    # Saved by a run of 100 operations and a thousand numbers: 1.01 ms; compiling takes 3 s, half as much again 4.5 s.
    assert not worth.pays(100, 4455, 1000)
    assert worth.pays(100, 4456, 1000)
    # Whatever the number of operations: from 1500 runs on, or where numbers alone save 3 s.
    assert [worth.may_pay(runs, 1000) for runs in (1499, 1501)] == [False, True]
    assert [worth.may_pay(100, numbers) for numbers in (2_999_999, 3_000_001)] == [False, True]


@pytest.mark.parametrize("compile", ["yes", "true", 1, 0, None])
def test_a_wish_is_auto_true_or_false(compile: object) -> None:
    with pytest.raises(ValidationError):
        Optimisation.model_validate({"compile": compile})


def test_the_default_leaves_the_ids_of_cells_as_they_were() -> None:
    assert "compile" not in Optimisation().model_dump()
    assert Optimisation(compile=True).model_dump()["compile"] is True


class Noisy(nn.Module):
    def forward(self) -> Tensor:
        return torch.rand(3) + torch.randn(2, 3, dtype=torch.float64) + torch.randint(2, 9, (3,))


def test_numbers_drawn_ahead_are_those_of_the_calls() -> None:
    torch.manual_seed(3)
    expected = [Noisy()() for _ in range(2)]
    torch.manual_seed(3)
    with Noted() as noted:
        Noisy()()
    assert [draw.kind for draw in noted.draws] == ["uniform", "normal", "whole"]
    torch.manual_seed(3)
    for value in expected:
        numbers = [draw.empty(1) for draw in noted.draws]
        for draw, place in zip(noted.draws, numbers, strict=True):
            draw.into(place[0])
        with Given(noted.draws, [place[0] for place in numbers]):
            assert torch.equal(Noisy()(), value)


def test_other_draws_than_before_are_refused() -> None:
    with Noted() as noted:
        torch.rand(3)
    with Given(noted.draws, [torch.zeros(3)]) as given:
        with pytest.raises(Untraceable, match="other numbers in one step than in the next"):
            torch.rand(4)
        with pytest.raises(Untraceable, match="other numbers"):
            given.check_all_used()
        torch.rand(3)
        with pytest.raises(Untraceable, match="other numbers"):
            torch.rand(3)


def test_steps_begin_where_a_tensor_of_their_own_may() -> None:
    numbers = aligned(3, (5, 7), torch.float32, CPU)
    assert numbers.shape == (3, 5, 7)
    assert [step.data_ptr() % 64 for step in numbers] == [0, 0, 0]
    assert all(step.is_contiguous() for step in numbers)
    assert aligned(2, (), torch.float64, CPU).shape == (2,)


@pytest.mark.parametrize("name", ["rloo", "disarm", "rebar"])
def test_compiled_draws_of_a_gradient_are_those_that_are_not(name: str) -> None:
    trainer, batches = training(estimators.get(name))
    estimator, vae, x = trainer.estimator, trainer.model, next(batches)[:, :5]
    q, f = vae.encode(x), vae.objective(x)
    q = torch.distributions.Bernoulli(logits=q.logits.detach())
    found, expected = (
        torch.cat(list(gradients(estimator, q, f, draws=700, seed=4, context=x, compile=wish)))
        for wish in (True, False)
    )
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-10)
    assert found.std(0).min() > 0


def test_draws_that_cannot_be_compiled_are_made_as_they_are_with_a_warning() -> None:
    trainer, batches = training(own=Odd(read))
    x = next(batches)
    vae = trainer.model
    q = torch.distributions.Bernoulli(logits=vae.encode(x).logits.detach())
    with pytest.warns(UserWarning, match="its draws are not compiled: .* reads values back"):
        (block,) = gradients(trainer.estimator, q, vae.objective(x), draws=5, seed=0, context=x, compile=True)
    assert len(block) == 5


def test_compiled_bounds_are_those_that_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows come in two parts of 7 and a rest of 3."""
    monkeypatch.setattr(evaluation, "EVALUATION_ROWS", 7 * 4 * 2)
    model = training()[0].model
    rows = DIGITS.test[:17].double()
    found, expected = (evaluation.evaluate(model, rows, samples=4, seed=2, compile=wish) for wish in (True, False))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=0)
        assert one.shape == (2,)


@pytest.mark.usefixtures("uncompiled")
def test_graphs_hold_twenty_steps_and_never_the_end_of_a_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU, with graphs that call what they hold: a pass of 28 batches is a graph of 20 and eight of one."""
    sizes = list[int]()

    def capture(body: Callable[[], object]) -> tuple[object, None]:
        size = 1 if not sizes else AHEAD
        sizes.append(size)

        def replay() -> None:
            sizes.append(size)
            body()

        return SimpleNamespace(replay=replay), None

    stream = SimpleNamespace(wait_stream=lambda other: None)
    monkeypatch.setattr("bench.training.program_steps.capture", capture)
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    alone, graphs = (training(batch=45) for _ in range(2))
    for _, batches in (alone, graphs):
        batches.dynamic, batches.noise = False, []  # numbers of one call alone come in the same order in larger draws
    program = ProgramSteps(*graphs, look_at(*graphs), capture=True)
    assert graphs[0].step_on_device == 0  # the steps before the capture are undone
    del sizes[:]
    for count in (5, 47):
        program.run(count)
    for _ in range(52):
        alone[0].step(next(alone[1]))
    assert sizes == [1] * 5 + [20, 1, 1, 1] + [20] + [1] * 4
    assert_same(state(*graphs), state(*alone))
    assert graphs[0].steps == 52


@pytest.mark.gpu
@pytest.mark.parametrize(("entry", "family"), CASES, ids=IDS)
def test_compiled_steps_on_a_gpu_give_the_numbers_of_eager_ones(entry: Entry, family: str) -> None:
    """Eager steps are given the very noise of the program's, which on a GPU is drawn for twenty steps at once."""
    device = torch.device("cuda")
    eager, fused = (training(entry, family, device=device, optimiser="sgd") for _ in range(2))
    program = ProgramSteps(*fused, look_at(*fused), capture=False)
    trainer, batches = eager
    for _ in range(3):
        program.run(1)
        batches.advance()
        numbers = [each[0] for each in program.program.program.numbers]
        with Given(program.program.program.draws, numbers):
            trainer.step(batches.gather())
        found, expected = (
            {name: value for name, value in state(*each).items() if not name.startswith(("noise", "binarisation"))}
            for each in (fused, eager)
        )
        assert_same(found, expected)


@pytest.mark.gpu
def test_a_graph_of_twenty_steps_takes_them_on_a_gpu() -> None:
    device = torch.device("cuda")
    trainer, batches = training(device=device, batch=45, compile=True)
    start = [p.detach().clone() for p in trainer.parameters]
    steps = Steps(trainer, batches)
    steps.run(50)
    assert steps.made is not None
    assert steps.made.compiled, steps.made.because
    assert steps.captured
    assert trainer.steps == int(trainer.step_on_device) == 50
    assert all(not torch.equal(p, before) for p, before in zip(trainer.parameters, start, strict=True))
    assert trainer.diverged_at.tolist() == [-1, -1]
