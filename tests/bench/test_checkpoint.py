"""A training that goes on from what was kept of it: the same bits as one left alone, in the tensors that are there."""

import copy
import io
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import estimators
from bench.measure import elbo
from bench.measure.clock import Stopwatch
from bench.measure.elbo import TrainConfig
from bench.problems import base as problems
from bench.problems.vae import VAE, VAEConfig
from bench.seeds import stream
from bench.training.batches import Batches
from bench.training.checkpoint import (
    KEEPER,
    Keeper,
    Progress,
    State,
    misfit,
    module_state,
    restore_module,
    restore_optimiser,
)
from bench.training.settings import Optimisation
from bench.training.stopped import Stopped
from bench.training.trainer import Trainer
from tests.bench.plain import measure_training
from tests.bench.test_elbo_measure import PROBLEM, SETTINGS, digits
from tests.bench.test_step_program import one_by_one

CPU = torch.device("cpu")
BASELINES = ("moving-average", "input-dependent")
"""One has running state, the other parameters of its own."""


def stored(state: State) -> State:
    """As it comes back from a file."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    found: State = torch.load(file, weights_only=True)
    return found


class Interrupting(Keeper):
    """Stops a training after so many steps, and hands what it kept to the next."""

    def __init__(self, after: int, kept: State | None) -> None:
        self.after, self.kept = after, kept
        self.resumed = 0 if kept is None else 1

    inside = False

    def due(self) -> bool:
        self.after -= self.inside
        return self.after < 0

    @contextmanager
    def steps(self) -> Iterator[None]:
        self.inside = True
        yield
        self.inside = False

    def keep(self, state: Callable[[], State]) -> None:
        self.kept = stored(state())
        raise Stopped("a test")

    def load(self, present: State) -> State | None:
        assert self.kept is None or misfit(self.kept["parts"], present["parts"]) is None
        return self.kept


def in_parts(run: Callable[[], Any], after: int) -> tuple[Any, int]:
    """What a training comes to that is stopped after every so many steps, and how often it was."""
    kept, stops = None, 0
    while True:
        keeper = Interrupting(after, kept)
        token = KEEPER.set(keeper)
        try:
            return run(), stops
        except Stopped:
            kept, stops = keeper.kept, stops + 1
        finally:
            KEEPER.reset(token)


@pytest.mark.parametrize(("optimiser", "form"), [("adam", "eager"), ("sgd", "eager"), ("adam", "compiled")])
@pytest.mark.parametrize(
    "name", ["reinforce[baseline=moving-average]", "reinforce[baseline=input-dependent]", "relax", "arm"]
)
def test_a_training_in_parts_has_the_bits_of_one_left_alone(
    monkeypatch: pytest.MonkeyPatch, name: str, optimiser: str, form: str
) -> None:
    """Three seeds, with rows that are drawn anew in every batch and a pass that ends within a part."""
    monkeypatch.setattr("bench.training.program.compiled", one_by_one)
    monkeypatch.setattr("bench.training.steps.AT_ONCE", 1)  # so that compiled steps can be stopped at each too
    rows = digits()
    short = rows._replace(train=rows.train[:25])
    monkeypatch.setattr(problems, "load_once", lambda name: short)
    optimisation = SETTINGS.optimisation.model_copy(update={"optimiser": optimiser, "compile": form == "compiled"})
    settings = SETTINGS.model_copy(update={"optimisation": optimisation})

    def run() -> Any:
        found = measure_training(PROBLEM, estimators.create(name), settings, seed=11, device=CPU)
        assert len(found["curve"].pop("seconds")) == 4
        assert found["program"].pop("compiled") == (form == "compiled")
        del found["program"]
        return found

    alone = run()
    # Each part of a compiled training traces its step anew, which takes a second: those of one step and the longest.
    for after, stops in ((1, 6), (3, 2)) if form == "compiled" else ((1, 6), (2, 3), (3, 2)):
        found, stopped = in_parts(run, after)
        assert stopped == stops
        assert found.pop("resumed") == 1
        assert found == alone
    assert len({tuple(row) for row in alone["curve"]["train_elbo"]}) == 4, "nothing was trained"


def made(baseline: str, optimiser: str) -> tuple[Trainer, Batches]:
    data = digits()._replace(train=digits().train[:25])
    vae = VAE(VAEConfig(kind="vae", dataset="digits", family="bernoulli", latents=2, architecture=(4,)),
              data.train.mean(0), [0, 1])  # fmt: skip
    learner = estimators.get("reinforce").create(baseline=baseline, samples=2)
    learner.bind(stack=(2,), context_size=64, event=(2,), generator=stream("estimator", 1))
    trainer = Trainer(vae, learner, Optimisation(batch=10, learning_rate=0.05, optimiser=optimiser), noise_seed=3)
    return trainer, Batches(data, 10, [0, 1], CPU)


def take(trainer: Trainer, batches: Batches, steps: int) -> None:
    for x in itertools.islice(batches, steps):
        trainer.step(x)


def tensors(found: Any) -> Iterator[Tensor]:
    """All tensors of a state, in order."""
    match found:
        case Tensor():
            yield found
        case dict():
            for key in sorted(found, key=str):
                yield from tensors(found[key])
        case list() | tuple():
            for value in found:
                yield from tensors(value)


def same(a: Any, b: Any) -> bool:
    first, second = list(tensors(a)), list(tensors(b))
    return len(first) == len(second) and all(map(torch.equal, first, second))


def written_to(trainer: Trainer, batches: Batches) -> list[int]:
    """The tensors that steps write to, but for the optimiser's, which has none before its first step."""
    own = [*trainer.model.parameters(), *trainer.estimator.buffers(), *trainer.estimator.parameters()]
    counts = [trainer.step_on_device, trainer.diverged_at, batches.order, batches.position]
    return list(map(id, own + counts))


@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
@pytest.mark.parametrize("baseline", BASELINES)
@pytest.mark.parametrize("before", [0, 4], ids=["fresh", "after steps of its own"])
def test_a_state_is_written_into_the_tensors_that_are_there(baseline: str, optimiser: str, before: int) -> None:
    """Whoever holds them, as a captured step does, reads the truth; after as many steps both are the same."""
    trainer, batches = made(baseline, optimiser)
    take(trainer, batches, 3)
    trainer.mark_diverged(torch.tensor([1.0, float("nan")]))
    kept = stored({"trainer": trainer.state(), "batches": batches.state()})
    take(trainer, batches, 4)

    again, others = made(baseline, optimiser)
    take(again, others, before)
    held = written_to(again, others)
    moments = list(tensors(again.optimiser.state_dict()["state"]))
    again.restore(kept["trainer"])
    others.restore(kept["batches"])
    assert same({"trainer": again.state(), "batches": others.state()}, kept)
    assert (again.steps, again.diverged_at.tolist()) == (3, [-1, 3])
    assert written_to(again, others) == held
    if before:
        assert list(map(id, tensors(again.optimiser.state_dict()["state"]))) == list(map(id, moments))
    take(again, others, 4)
    assert same(again.state(), trainer.state())
    assert same(others.state(), batches.state())
    assert others.left == batches.left


def test_an_optimiser_forgets_what_a_state_from_before_its_first_step_lacks() -> None:
    trainer, batches = made("moving-average", "adam")
    kept = copy.deepcopy(trainer.state())
    drawn = batches.state()
    x = next(batches)
    trainer.step(x)
    after = copy.deepcopy(trainer.state())
    assert kept["optimiser"] == {}
    trainer.restore(kept)
    moments = list(tensors(trainer.optimiser.state_dict()["state"]))
    assert moments and not any(tensor.any() for tensor in moments)
    trainer.step(x)
    assert same(trainer.state(), after)
    assert drawn["left"] == 0


def test_own_state_that_has_no_size_yet_gets_that_of_the_state() -> None:
    sized = estimators.get("reinforce").create(baseline="input-dependent")
    sized.bind(stack=(2,), context_size=5, event=(2,), generator=stream("estimator", 1))
    fresh = estimators.get("reinforce").create(baseline="input-dependent")
    own = list(fresh.parameters())
    restore_module(fresh, stored(module_state(sized)))
    assert list(map(id, fresh.parameters())) == list(map(id, own))
    assert same(module_state(fresh), module_state(sized))
    assert any(value is None for value in module_state(estimators.get("reinforce").create(baseline="input-dependent"))
               .values())  # fmt: skip


def test_a_buffer_that_no_state_dict_holds_is_kept_too() -> None:
    def module(value: float) -> nn.Module:
        found = nn.Linear(2, 1)
        found.register_buffer("hidden", torch.tensor(value), persistent=False)
        return found

    first, second = module(1.0), module(2.0)
    hidden = second.hidden
    restore_module(second, stored(module_state(first)))
    assert second.hidden is hidden
    assert (float(hidden), "hidden" in second.state_dict()) == (1.0, False)
    with pytest.raises(ValueError, match=r"state of \['weight'\], where the module has \['bias', 'hidden', 'weight'\]"):
        restore_module(second, {"weight": first.weight})


def test_an_optimiser_that_has_a_part_of_a_state_takes_the_rest() -> None:
    def trained(*which: int) -> tuple[list[nn.Parameter], torch.optim.Optimizer]:
        own = [nn.Parameter(torch.ones(2)) for _ in range(2)]
        optimiser = torch.optim.Adam(own, lr=0.5)
        for index in which:
            own[index].grad = torch.tensor([1.0, 2.0 + index])
            optimiser.step()
            own[index].grad = None
        return own, optimiser

    _, whole = trained(0, 1)
    _, part = trained(1)
    restore_optimiser(part, stored(whole.state_dict()["state"]))
    assert same(part.state_dict()["state"], whole.state_dict()["state"])
    assert part.param_groups[0]["lr"] == 0.5


@pytest.mark.parametrize(
    ("kept", "why"),
    [
        ({"a": torch.zeros(2), "b": [1, torch.zeros(3)], "c": 4, "optimiser": {0: torch.zeros(1)}}, None),
        ({"a": torch.ones(2), "b": [5, None], "c": 6, "optimiser": {}}, None),
        ({"a": torch.zeros(3), "b": [1, None], "c": 4, "optimiser": {}}, "state.a is [3] float32, where [2] float32"),
        ({"a": torch.zeros(2).double(), "b": [1, None], "c": 4, "optimiser": {}}, "state.a is [2] float64, where [2]"),
        ({"a": torch.zeros(2), "b": [1], "c": 4, "optimiser": {}}, "state.b is of another length"),
        ({"a": torch.zeros(2), "b": [1, 2], "c": 4, "optimiser": {}}, "state.b.1 is of another sort"),
        ({"a": torch.zeros(2), "b": [1, None], "c": "4", "optimiser": {}}, "state.c is of another sort"),
        ({"a": torch.zeros(2), "b": [1, None], "d": 4, "optimiser": {}}, "state holds other things: c, d"),
        ({"a": torch.zeros(2), "b": [1, None], "c": 4, "optimiser": {1: torch.zeros(2)}},
         "state.optimiser.1 is [2] float32, where [3] float32 is needed"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told_before_anything_is_written(kept: State, why: str | None) -> None:
    present = {"a": torch.zeros(2), "b": [1, torch.zeros(3)], "c": 4, "optimiser": {1: torch.zeros(3)}}
    found = misfit(kept, present)
    assert found is None if why is None else str(found).startswith(why), found


def test_what_stops_an_evaluation_leaves_the_state_between_two_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of four evaluations of two splits the fifth, after step 5, is stopped; it is made again."""
    calls = itertools.count()
    evaluate, interrupt = elbo.evaluate, [True]

    def stopped(*arguments: Any, **more: Any) -> Any:
        if next(calls) == 5 and interrupt:
            interrupt.pop()
            raise KeyboardInterrupt
        return evaluate(*arguments, **more)

    class Watching(Keeper):
        kept: State | None = None

        @contextmanager
        def stoppable(self, state: Callable[[], State]) -> Iterator[None]:
            try:
                yield
            except KeyboardInterrupt:
                self.kept = stored(state())
                raise

        def load(self, present: State) -> State | None:
            return self.kept

    def run() -> Any:
        found = measure_training(PROBLEM, estimators.get("rloo").create(), SETTINGS, seed=1, device=CPU)
        found["curve"].pop("seconds")
        return found

    alone = run()
    monkeypatch.setattr(elbo, "evaluate", stopped)
    keeper = Watching()
    token = KEEPER.set(keeper)
    try:
        with pytest.raises(KeyboardInterrupt):
            run()
        assert keeper.kept is not None
        assert (keeper.kept["step"], keeper.kept["steps"], len(keeper.kept["curve"])) == (5, 7, 2)
        assert run() == alone
    finally:
        KEEPER.reset(token)


def test_the_seconds_of_steps_go_on_from_those_that_were_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.bench.test_elbo_measure import Clock

    Clock(monkeypatch)

    def run() -> Any:
        return measure_training(PROBLEM, estimators.get("rloo").create(), SETTINGS, seed=1, device=CPU)

    assert in_parts(run, 2)[0]["curve"]["seconds"] == [0.0, 1.0, 2.5, 3.5]


def test_a_training_that_nobody_keeps_costs_nothing_and_says_nothing() -> None:
    keeper = KEEPER.get()
    assert type(keeper) is Keeper
    assert (keeper.due(), keeper.load({})) == (False, None)
    assert (keeper.seconds, keeper.resumed, keeper.elsewhere) == (0.0, 0, ())
    assert keeper.keep(dict) is None
    with keeper.steps(), keeper.stoppable(dict):
        pass
    assert isinstance(Stopped("why"), BaseException) and not isinstance(Stopped("why"), Exception)
    found = TrainConfig(optimisation=Optimisation())
    assert found.resumes
    assert "resumes" not in found.model_dump()


@pytest.mark.parametrize("form", ["eager", "compiled"])
def test_steps_of_one_form_do_not_go_on_with_those_of_the_other(form: str) -> None:
    trainer, batches = made("moving-average", "adam")
    kept, present = (
        Progress(Stopwatch(CPU), 3, each, trainer=trainer, batches=batches).state()["parts"] for each in (form, "eager")
    )
    why = "state holds other things: compiled steps, eager steps"
    assert misfit(kept, present) == (None if form == "eager" else why)
