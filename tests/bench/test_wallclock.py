"""What a time cell holds, on a clock whose hands the test moves."""

import contextlib
import ctypes
import itertools
import math
import os
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import bench.datasets
import estimators
from bench import machine_load
from bench.machine_load import Patience, busy, busy_here
from bench.measure import wallclock
from bench.measure.clock import Stopwatch, interleaved
from bench.measure.floor import Given
from bench.measure.wallclock import TimeConfig, Timing
from bench.problems.per_layer import PerLayer
from bench.problems.vae import VAEConfig
from bench.seeds import stream
from bench.statistics import median_log_se
from bench.training import memory
from bench.training.batches import Batches
from bench.training.capture import EagerSteps
from bench.training.settings import Optimisation
from bench.training.trainer import Trainer
from tests.bench.plain import measure_time, values

CPU = torch.device("cpu")


class Clock:
    """The time of day, and what happened."""

    def __init__(self) -> None:
        self.now, self.events = 100.0, list[str]()

    def read(self) -> float:
        self.events.append("read")
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(time, "perf_counter", made.read)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: made.events.append(f"wait for {device}"))
    return made


def test_a_stopwatch_adds_up_its_blocks_alone(clock: Clock) -> None:
    watch = Stopwatch(CPU)
    for seconds in (2.0, 0.5):
        with watch:
            clock.now += seconds
        clock.now += 64.0
    assert watch.seconds == 2.5
    assert clock.events == ["read"] * 4
    with contextlib.suppress(RuntimeError), watch:
        clock.now += 8.0
        raise RuntimeError
    assert watch.seconds == 10.5


def test_a_gpu_is_waited_for_before_each_reading(clock: Clock) -> None:
    with Stopwatch(torch.device("cuda:3")):
        clock.events.append("work")
    assert clock.events == ["wait for cuda:3", "read", "work", "wait for cuda:3", "read"]


@pytest.mark.parametrize("device", ["cpu", "cuda:1"])
def test_each_round_that_counts_has_each_subjects_seconds(clock: Clock, device: str) -> None:
    """Call i of a subject takes i seconds, tens and hundreds of them: the first two are the warm-up's."""
    order = list[str]()

    def subject(name: str, unit: float) -> Callable[[], None]:
        calls = itertools.count()

        def call() -> None:
            order.append(name)
            clock.now += next(calls) * unit

        return call

    subjects = [subject("a", 1.0), subject("b", 10.0), subject("c", 100.0)]
    found = interleaved(subjects, rounds=3, warm_up=2, device=device)
    assert found == [[2.0, 3.0, 4.0], [20.0, 30.0, 40.0], [200.0, 300.0, 400.0]]
    assert "".join(order) == "abc" + "bca" + "cab" + "abc" + "bca"
    assert clock.events.count("wait for cuda:1") == (30 if device == "cuda:1" else 0)
    clock.events.clear()
    assert interleaved(subjects[:1], rounds=1, warm_up=0) == [[5.0]]
    assert clock.events == ["read", "read"]


# A time cell

SECONDS = {
    "step": [64.0, 64.0, 6.0, 3.0, 8.0, 12.0, 5.0],
    "floor": [32.0, 32.0, 2.0, 2.0, 4.0, 3.0, 1.0],
    "plain": [16.0, 16.0, 1.0, 0.5, 1.0, 2.0, 0.25],
}
"""Of a training step of the estimator, of its floor and of the plain step, the first two of them to warm up."""


def config(**more: Any) -> TimeConfig:
    return TimeConfig(optimisation=Optimisation(batch=10, compile=False), rounds=5, warm_up=2, **more)


def problem(**more: Any) -> VAEConfig:
    return VAEConfig(kind="vae", dataset="digits", family="bernoulli", latents=3, architecture=(4,), **more)


def test_a_time_cell_holds_medians_and_quartiles_of_each_and_of_ratios_round_by_round(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ratios to the floor are 3, 1.5, 2, 4 and 5, and to the plain step 6, 6, 8, 6 and 20."""
    subject = estimators.get("disarm").create(samples=4)
    taken = {name: iter(seconds) for name, seconds in SECONDS.items()}

    def step(trainer: Trainer, x: torch.Tensor) -> None:
        """Two evaluations of f a sample make the floor one of four; the plain step makes one."""
        if isinstance(trainer.estimator, Given):
            name = {4: "floor", 1: "plain"}[trainer.estimator.samples]
            assert name == "floor" or [made.rows for made in trainer.estimator.passes] == [1]
        else:
            assert trainer.estimator is subject
            name = "step"
        assert x.shape == (1, 10, 64)
        clock.now += next(taken[name])

    monkeypatch.setattr(Trainer, "step", step)
    monkeypatch.setattr(os, "getloadavg", lambda: (0.25, 0.5, 0.75))
    found = measure_time(problem(), subject, config(), seed=7, device=CPU)
    assert all(next(left, None) is None for left in taken.values())
    assert found == {
        "step": {"median": 6.0, "q25": 5.0, "q75": 8.0, "n": 5},
        "floor": {"median": 2.0, "q25": 2.0, "q75": 3.0, "n": 5},
        "plain": {"median": 1.0, "q25": 0.5, "q75": 1.0, "n": 5},
        "ratio": {"median": 3.0, "q25": 2.0, "q75": 4.0, "n": 5, "log_se": median_log_se([3, 1.5, 2, 4, 5])},
        "plain_ratio": {"median": 6.0, "q25": 6.0, "q75": 8.0, "n": 5, "log_se": median_log_se([6, 6, 8, 6, 20])},
        "rows": 4,
        "captured": False,
        "eager_because": "the device is cpu",
        "program": {"compiled": False, "seconds": None, "because": "not asked for"},
        "compiled": None,
        "compiled_ratio": None,
        "kernels": None,
        "peak_memory_bytes": None,
        "tries": 1,
        "load_before": 0.25,
        "load": [0.25, 0.5, 0.75],
    }


def test_the_three_train_models_of_the_same_seeds_on_batches_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stack of three; noise and initial values of an estimator come from the cell's seed, data from the stack's."""
    subject = estimators.get("reinforce").create(baseline="input-dependent", samples=2)
    settings = config(stacked=3).model_copy(update={"optimisation": Optimisation(batch=10, learning_rate=0.5)})
    timing = Timing(problem(), subject, settings, seed=7, device=CPU)
    made = [timing.subject, timing.floor, timing.plain]
    assert made[0].trainer.estimator is subject
    assert [steps.trainer.model.stack for steps in made] == [3, 3, 3]
    assert len({id(steps.trainer.model) for steps in made}) == len({id(steps.batches) for steps in made}) == 3
    for weights in zip(*(steps.trainer.model.parameters() for steps in made), strict=True):
        assert torch.equal(weights[0], weights[1]) and torch.equal(weights[0], weights[2])
    assert {steps.trainer.optimiser.param_groups[0]["lr"] for steps in made} == {0.5}
    for steps in made:
        assert torch.equal(steps.trainer.generator.get_state(), stream("noise", 7).get_state())
    data = Batches(bench.datasets.load("digits"), 10, [0, 1, 2], CPU)
    first, second = next(data), next(data)
    assert torch.equal(next(made[0].batches), second)  # the first was the look at what a step evaluates
    assert torch.equal(next(made[1].batches), first) and torch.equal(next(made[2].batches), first)
    same = estimators.get("reinforce").create(baseline="input-dependent", samples=2)
    same.bind(stack=(3,), context_size=64, event=(3,), generator=stream("estimator", 7))
    for own, expected in zip(subject.parameters(), same.parameters(), strict=True):
        assert torch.equal(own, expected)
    assert (timing.f_evals, timing.each, timing.tries) == (2, 1, 1)


def test_two_layers_have_a_plain_step_for_each() -> None:
    made = Timing(problem(stochastic_layers=2), PerLayer(*(estimators.get("rloo").create(samples=3) for _ in "12")),
                  config(), seed=0, device=CPU)  # fmt: skip
    plain = made.plain.trainer.estimator
    assert isinstance(plain, PerLayer)
    assert (plain.lower.samples, plain.upper.samples) == (1, 1)
    floor = made.floor.trainer.estimator
    assert isinstance(floor, PerLayer)
    assert (floor.lower.samples, floor.upper.samples) == (3, 3)


def on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> Timing:
    """A timing that believes itself on one: 20 steps lie between two readings of the clock."""
    timing = Timing(problem(), estimators.get("rloo").create(), config(), seed=0, device=CPU)
    timing.device, timing.each = torch.device("cuda"), wallclock.STEPS_A_ROUND["cuda"]
    monkeypatch.setattr(EagerSteps, "run", lambda steps, count: timing.events.extend(count * names[id(steps)]))
    timing.events, names = [], {id(timing.subject.eager): "s", id(timing.floor.eager): "f", id(timing.plain.eager): "p"}
    return timing


def test_on_a_gpu_a_rounds_seconds_are_those_of_twenty_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    timing = on_a_gpu(monkeypatch)
    for subject in timing.subjects():
        subject()
    assert "".join(timing.events) == 20 * "s" + 20 * "f" + 20 * "p"
    timing.events.clear()
    profiled: list[Any] = []

    @contextlib.contextmanager
    def profile(activities: list[object]) -> Any:
        profiled.extend(activities)
        yield SimpleNamespace(
            key_averages=lambda: [SimpleNamespace(self_device_time_total=time) for time in (30_000.0, 10_000.0)]
        )
        timing.events.append("end")

    monkeypatch.setattr(torch.profiler, "profile", profile)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: timing.events.append(f"wait for {device}"))
    timing.subject.eager.graph, timing.subject.eager.eager_because, timing.peak = object(), None, 2**20
    timing.tries, timing.load_before = 3, 1.75
    rounds = [[20.0, 40.0, 60.0, 100.0, 200.0], [10.0, 20.0, 20.0, 20.0, 20.0], [5.0, 4.0, 5.0, 10.0, 5.0]]
    found = values(timing.measurements(*rounds))
    assert found["step"] == {"median": 3.0, "q25": 2.0, "q75": 5.0, "n": 5}
    assert found["floor"] == {"median": 1.0, "q25": 1.0, "q75": 1.0, "n": 5}
    assert found["plain"] == {"median": 0.25, "q25": 0.25, "q75": 0.25, "n": 5}
    assert (found["ratio"]["median"], found["plain_ratio"]["median"]) == (3.0, 10.0)
    assert found["kernels"] == pytest.approx(0.04 / 20)  # microseconds, of 20 steps
    assert "".join(timing.events) == 20 * "s" + "wait for cuda" + "end"
    assert profiled == [torch.profiler.ProfilerActivity.CUDA]
    assert (found["captured"], found["eager_because"], found["peak_memory_bytes"]) == (True, None, 2**20)
    assert (found["tries"], found["load_before"]) == (3, 1.75)


def test_the_peak_is_that_of_a_second_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one makes what the optimiser keeps."""
    events = list[str]()
    steps: Any = SimpleNamespace(run=lambda count: events.extend(count * ["step"]))
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: events.append(f"reset {device}"))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: events.append(f"read {device}") or 12345)
    assert wallclock._peak_memory(steps, torch.device("cuda:2")) == 12345
    assert events == ["step", "reset cuda:2", "step", "read cuda:2"]
    assert wallclock._peak_memory(steps, CPU) is None
    assert len(events) == 4


# The machine


def test_a_machine_is_busy_above_the_number_of_its_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [busy(load, 4) for load in (3.9, 4.0, 4.1, math.nan)] == [False, False, True, False]
    assert not busy(9.0, math.nan)
    for cores, load_now, expected in ((2, 2.5, True), (3, 2.5, False), (None, 0.9, False), (None, 1.5, True)):
        monkeypatch.setattr(os, "cpu_count", lambda cores=cores: cores)
        monkeypatch.setattr(os, "getloadavg", lambda now=load_now: (now, 50.0, 0.0))
        assert busy_here() is expected
        assert machine_load.here() == load_now


@pytest.mark.parametrize(
    ("seconds", "worked", "spent", "nap"),
    [
        (30.0, 1000.0, 0.0, 5.0),
        (30.0, 1000.0, 26.5, 3.5),
        (30.0, 1000.0, 29.0, 1.0),
        (30.0, 1000.0, 29.5, 0.0),
        (30.0, 3.0, 0.0, 3.0),
        (30.0, 7.0, 4.0, 3.0),
        (30.0, 0.75, 0.0, 0.0),
        (2.0, 1000.0, 0.0, 2.0),
        (30.0, 7.0, 9.0, 0.0),
    ],
)
def test_a_nap_is_five_seconds_or_what_is_left_of_patience_and_work(
    seconds: float, worked: float, spent: float, nap: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "process_time", lambda: worked)
    patience = Patience(seconds)
    assert patience.spent == 0.0
    patience.spent = spent
    assert patience.nap() == nap
    assert patience.spent == spent


def test_waiting_ends_with_the_load_or_with_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A load that falls after 8 seconds, and one that never does, on two cores."""
    naps = list[float]()
    monkeypatch.setattr(time, "process_time", lambda: 1000.0)
    monkeypatch.setattr(time, "sleep", naps.append)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(os, "getloadavg", lambda: (1.0 if sum(naps) >= 8 else 3.0, 0.0, 0.0))
    patience = Patience(12.0)
    patience.wait()
    assert (naps, patience.spent) == ([5.0, 5.0], 10.0)
    naps.clear()
    patience.wait()
    assert (naps, patience.spent) == ([2.0], 12.0)
    patience.wait()
    assert (naps, patience.spent) == ([2.0], 12.0)


def test_a_cell_is_timed_three_times_at_most_with_half_a_minute_of_patience_for_all() -> None:
    assert (wallclock.TRIES, wallclock.PATIENCE.seconds) == (3, 30.0)
    assert wallclock.STEPS_A_ROUND == {"cpu": 1, "cuda": 20}


@pytest.mark.parametrize(
    ("answers", "kept"),
    [((1, 1), True), ((1, 0), False), ((0, 1), False), (OSError(), False), (AttributeError(), False)],
)
def test_malloc_is_asked_to_keep_a_gigabyte_of_what_is_freed(
    answers: Any, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """M_MMAP_THRESHOLD is -3 and M_TRIM_THRESHOLD -1 in glibc's malloc.h."""
    asked = []

    def library(name: str) -> Any:
        assert name == "libc.so.6"
        if isinstance(answers, OSError):
            raise answers
        if isinstance(answers, AttributeError):
            return SimpleNamespace()

        def mallopt(option: int, value: int) -> int:
            asked.append((option, value))
            return {-3: answers[0], -1: answers[1]}[option]

        return SimpleNamespace(mallopt=mallopt)

    monkeypatch.setattr(ctypes, "CDLL", library)
    assert memory.keep_freed_memory.__wrapped__() is kept
    if kept:
        assert sorted(asked) == [(-3, 2**30), (-1, 2**30)]


def test_settings_of_a_timing_have_their_defaults_and_bounds() -> None:
    defaults = wallclock.TimeSettings()
    assert (defaults.stacked, defaults.rounds, defaults.warm_up) == (1, 30, 5)
    for wrong in ({"stacked": 0}, {"rounds": 4}, {"warm_up": 0}):
        with pytest.raises(ValueError, match="greater than or equal to"):
            wallclock.TimeSettings(**wrong)
