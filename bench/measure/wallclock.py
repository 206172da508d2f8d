"""Wall clock of a training step beside its floor, interleaved so that the ratio survives a noisy machine.

What remains above the floor (`bench.measure.floor`) is the estimator's own work.
"""

import os
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field

from bench.bounds import AtMost, Seeds
from bench.config import EstimatorConfig
from bench.machine_load import Patience, busy_here, here
from bench.measure.base import Common, Measurement, Settings, register_measurement
from bench.measure.clock import interleaved
from bench.measure.cost import (
    Cost,
    Further,
    data_bytes,
    evaluations_a_row,
    evaluations_held,
    on_h100,
    step_bytes,
    typical,
)
from bench.measure.draws import probe
from bench.measure.floor import floor_of, plain
from bench.problems.base import Problem, TrainedProblem
from bench.records.results import Program, Quartiles, Ratio, Time
from bench.seeds import stream
from bench.statistics import median_log_se, quartiles
from bench.training.batches import Batches
from bench.training.capture import EagerSteps
from bench.training.settings import Optimisation
from bench.training.steps import Steps
from bench.training.trainer import Trainer
from estimators.base import Estimator

STEPS_A_ROUND = {"cpu": 1, "cuda": 20}
"""Steps between two readings of the clock: on a GPU waiting for the device would take as long as a step."""

TRIES = 3
"""Most tries at timing a step while the machine is busy with something else."""
MOST_ROUNDS, MANY_ROUNDS = 100_000, "their median is known to a hundredth of their spread"
PATIENCE = Patience(30.0)
"""Most seconds that a process waits, over all its cells, for the load to fall: that of an ended job falls by two fifths
in this time."""


@register_measurement("time")
class TimeSettings(Settings):
    """The [time] table of a suite: how a step is timed."""

    asks: ClassVar[type[Problem]] = TrainedProblem

    stacked: Seeds = 1
    """Seeds stacked in the timed step."""
    rounds: Annotated[int, Field(ge=5), AtMost(MOST_ROUNDS, MANY_ROUNDS)] = 30
    warm_up: Annotated[int, Field(ge=1), AtMost(MOST_ROUNDS, MANY_ROUNDS)] = 5

    def of(self, problem: Problem, common: Common) -> Measurement:
        """With the batch and optimiser of the suite."""
        return TimeConfig(**self.model_dump(), optimisation=common.optimisation)


class TimeConfig(TimeSettings, Measurement):
    """One timing cell."""

    alone: ClassVar[bool] = True
    order: ClassVar[int] = 2
    sizes: ClassVar[str] = "stacked, batch, samples or latents"

    kind: Literal["time"] = "time"
    floor: Literal["in kind"] = "in kind"
    """What steps are timed beside: see `bench.measure.floor`."""
    optimisation: Optimisation

    def cost(self, problem: TrainedProblem, config: EstimatorConfig) -> Cost | None:
        """Steps of three subjects, each with a model of its own."""
        evaluations = evaluations_a_row(problem, config)
        widths, further = problem.widths(evaluations), Further.of(problem, self.optimisation)
        if widths is None or further is None:
            return None
        steps = 3 * (self.rounds + self.warm_up) + 4
        rows = self.stacked * self.optimisation.batch
        held, made = step_bytes(widths, self.optimisation, self.stacked, evaluations_held(problem, config))
        spent = steps * rows * evaluations
        memory = data_bytes(problem, 3 * self.stacked) + 3 * held + made + further.memory(rows)
        seconds = typical(steps, spent, widths, backward=True) + further.seconds(steps, rows)
        return Cost(spent + steps * rows * further.evaluations, seconds, memory, on_h100=on_h100(steps, seconds))

    def run(self, problem: TrainedProblem, estimator: Estimator, *, seed: int, device: torch.device) -> Time:
        """A step beside its floor."""
        return measure_time(problem, estimator, self, seed=seed, device=device)


class Timing:
    """A step of an estimator beside its floor, each on a model and batches of its own; captured on a GPU.

    Where training would compile the step, its compiled form is timed beside it.

    Args:
        problem: the model.
        estimator: not bound yet.
        config: how it is trained and timed.
        seed: of its noise.
        device: where.
    """

    def __init__(
        self, problem: TrainedProblem, estimator: Estimator, config: TimeConfig, *, seed: int, device: torch.device
    ) -> None:
        dataset = problem.data()
        seeds = list(range(config.stacked))

        def steps(timed: Estimator) -> Steps:
            model = problem.model(dataset, seeds).to(device)
            sizes: dict[str, Any] = {"context_size": model.context_size, "event": model.event}
            timed.bind(stack=(len(seeds),), **sizes, generator=stream("estimator", seed)).to(device)
            batches = Batches(dataset, config.optimisation.batch, seeds, device)
            count = problem.importance_samples
            trainer = Trainer(model, timed, config.optimisation, noise_seed=seed, importance_samples=count)
            return Steps(trainer, batches)

        self.device, self.each = device, STEPS_A_ROUND[device.type]
        self.subject = steps(estimator)
        model, x = self.subject.trainer.model, next(self.subject.batches)
        with torch.no_grad():
            self.f_evals = probe(estimator, model.encode(x), model.objective(x), model.context(x)).evaluations
        self.peak = _peak_memory(self.subject.eager, device)
        self.floor = steps(floor_of(estimator, model, x, self.f_evals))
        # The same for all estimators of a problem, so that their times compare though they were taken at other moments.
        self.plain = steps(plain(estimator))
        self.tries, self.load_before = 1, here()

    def subjects(self) -> list[Callable[[], None]]:
        """A round's steps of the estimator, of its floor, the plain step, and the compiled one where there is one."""
        self.subject.prepare()
        forms = [self.subject.eager, self.floor.eager, self.plain.eager, self.subject.program]
        return [partial(form.run, self.each) for form in forms if form is not None]

    def measurements(self, taken: list[float], given: list[float], plain: list[float], *more: list[float]) -> Time:
        """What a record holds, from the seconds of rounds of the subjects."""
        step, floor, plain_step, *compiled = (
            Quartiles(**quartiles([seconds / self.each for seconds in rounds]))
            for rounds in (taken, given, plain, *more)
        )
        return Time(
            step=step,
            floor=floor,
            plain=plain_step,
            ratio=ratio_of(taken, given),
            plain_ratio=ratio_of(taken, plain),
            rows=self.f_evals,
            captured=self.subject.eager.graph is not None,
            program=Program(**self.subject.prepare()._asdict()),
            compiled=compiled[0] if compiled else None,
            compiled_ratio=ratio_of(taken, more[0]) if more else None,
            eager_because=self.subject.eager.eager_because,
            kernels=self._kernel_seconds(),
            peak_memory_bytes=self.peak,
            tries=self.tries,
            load_before=self.load_before,
            load=os.getloadavg(),
        )

    def _kernel_seconds(self) -> float | None:
        """Seconds that the kernels of a step take one after another; None on the CPU, which has none."""
        if self.device.type != "cuda":
            return None
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
            self.subjects()[0]()
            torch.cuda.synchronize(self.device)
        return float(sum(event.self_device_time_total for event in profile.key_averages())) * 1e-6 / self.each


def measure_time(
    problem: TrainedProblem, estimator: Estimator, config: TimeConfig, *, seed: int, device: torch.device
) -> Time:
    """Median and quartiles of a step, of its floor, and of their ratio round by round.

    Taken again, after waiting, where the machine did something else meanwhile; the last of the tries is measured.
    """
    timing = Timing(problem, estimator, config, seed=seed, device=device)
    for timing.tries in range(1, TRIES + 1):
        PATIENCE.wait()
        timing.load_before = here()
        seconds = interleaved(timing.subjects(), rounds=config.rounds, warm_up=config.warm_up, device=device)
        if not (busy_here() and PATIENCE.nap()):
            break
    return timing.measurements(*seconds)


def ratio_of(over: list[float], under: list[float]) -> Ratio:
    """Quartiles of a ratio round by round, and the standard error of the logarithm of its median."""
    rounds = np.divide(over, under).tolist()
    return Ratio(**quartiles(rounds), log_se=median_log_se(rounds))


def _peak_memory(steps: EagerSteps, device: torch.device) -> int | None:
    """Bytes at the peak of a step, data included; None on the CPU, where a process's peak says little of one step."""
    if device.type != "cuda":
        return None
    steps.run(1)  # makes the optimiser's state
    torch.cuda.reset_peak_memory_stats(device)
    steps.run(1)
    return torch.cuda.max_memory_allocated(device)
