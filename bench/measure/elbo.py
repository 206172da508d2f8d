"""ELBO of E stacked seeds along training, against steps, evaluations of f and seconds."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field, field_validator, model_validator
from torch import Tensor

import bench.datasets
from bench.bounds import AtMost, Draws, Few, RowCount, Seeds
from bench.config import EstimatorConfig, added_later
from bench.measure.base import Common, Done, Measurement, Settings, register_measurement
from bench.measure.clock import Stopwatch
from bench.measure.cost import (
    Cost,
    Further,
    data_bytes,
    evaluation_bytes,
    evaluations_a_row,
    evaluations_held,
    further_evaluations,
    on_h100,
    reach,
    step_bytes,
    typical,
)
from bench.measure.draws import probe
from bench.problems.base import Problem, TrainedProblem
from bench.records.results import Curve, Elbos, Final, Program, Rows, Training
from bench.seeds import stream
from bench.statistics.sweep import best_rate, beyond
from bench.training.batches import Batches, shared_rows
from bench.training.checkpoint import KEEPER, Progress
from bench.training.evaluation import evaluate, rows_at_once
from bench.training.settings import Optimisation
from bench.training.steps import Steps
from bench.training.trainer import Trainer
from estimators.base import Estimator

Target = Annotated[float, Field(ge=-1e6), AtMost(1e6, "no row of any data set here has so many nats")]


class Evaluation(Settings):
    """How training is evaluated."""

    asks: ClassVar[type[Problem]] = TrainedProblem

    evaluations: Annotated[int, Field(ge=1), AtMost(10_000, "no curve shows more points")] = 10
    """Points of the curve after the first, evenly spaced."""
    evaluation_rows: RowCount = 1000
    """Rows of the train and of the test split on which the ELBO is evaluated, drawn once; all of a split with fewer."""
    evaluation_samples: Draws = 10
    """Draws of z a row."""
    iwae_samples: Draws = 100
    """K of the bound at the end, on the whole test split."""
    target: Target | None = added_later(None)
    """Test ELBO in nats whose first crossing is told for every seed. It is a part of a cell's id, so that one which is
    moved after results were seen asks for other cells."""


LEAST_RATE, MOST_RATE = 1e-8, 100.0
"""Between which the learning rates of a sweep lie, and to which a grid grows.

A step of Adam moves a weight by about the rate. Weights near 0.1 in single precision are 7e-9 apart, so that less moves
none of them; more throws every one far out of the range that it was drawn from.
"""


@register_measurement("elbo")
class ElboSettings(Evaluation):
    """The [elbo] table of a suite: how training is evaluated, and with which learning rates it is done."""

    learning_rates: Annotated[
        tuple[Annotated[float, Field(gt=0)], ...], Few(100, "a hundred rates are 16 decades in steps of a sixth")
    ] = added_later(())
    """Each is a cell of its own; none stand for the one of [training], which moments and times keep in any case."""
    grow: Annotated[
        int, Field(ge=0), AtMost(10, "a grid grows by one ratio, and soon reaches rates at which nothing is learnt")
    ] = added_later(3)
    """How many rates may follow beyond each end of `learning_rates` while an estimator's best one lies there."""

    @field_validator("learning_rates")
    @classmethod
    def _ascending(cls, rates: tuple[float, ...]) -> tuple[float, ...]:
        twice = sorted({f"{rate:g}" for rate in rates if rates.count(rate) > 1})
        if twice:
            raise ValueError(f"learning_rates holds {', '.join(twice)} more than once: leave each rate there once")
        if odd := [rate for rate in rates if not LEAST_RATE <= rate <= MOST_RATE]:
            raise ValueError(
                f"learning_rates holds {odd[0]:g}, and a rate is expected between {LEAST_RATE:g} and {MOST_RATE:g}: a "
                "step of Adam moves a weight by about the rate, so that less moves none in single precision, and more "
                "throws all far away"
            )
        for one, following in pairwise(sorted(rates)):
            if f"{one:.3g}" == f"{following:.3g}":
                raise ValueError(
                    f"learning_rates holds {one!r} and {following!r}, which are {one:.3g} both in three digits, as a "
                    "report prints them: leave one out, or give rates that are further apart"
                )
        return tuple(sorted(rates))

    @model_validator(mode="after")
    def _can_grow(self) -> "ElboSettings":
        if "grow" in self.model_fields_set and self.grow and len(self.learning_rates) < 2:
            raise ValueError(
                f"grow = {self.grow} continues the ratio of neighbouring learning_rates, and there are "
                f"{len(self.learning_rates)}: give two at least, or leave grow out"
            )
        return self

    def of(self, problem: Problem, common: Common) -> "TrainConfig":
        """All seeds in one cell, with the learning rate of [training]."""
        evaluation = self.model_dump(exclude={"learning_rates", "grow"})
        return TrainConfig(**evaluation, optimisation=common.optimisation, seeds=common.seeds)

    def planned(self, problem: Problem, common: Common) -> list[Measurement]:
        """A cell a learning rate."""
        usual = self.of(problem, common)
        return [usual.at_rate(rate) for rate in self.learning_rates] or [usual]

    def further(self, problem: Problem, common: Common, done: Sequence[Done]) -> list[Measurement]:
        """The next learning rate, where the best so far is the last one of the grid at either end.

        A rate whose cell failed, or whose every seed diverged, cannot be the best (`bench.statistics.sweep.merit`).
        """
        ends = {}
        for measurement, record in done:
            assert isinstance(measurement, TrainConfig)
            ends[measurement.optimisation.learning_rate] = record.result(Training).ends
        best = best_rate(ends)
        if best is None or (following := beyond([*ends], best)) is None:
            return []
        if not LEAST_RATE <= following <= MOST_RATE:
            return []
        first, last = self.learning_rates[0], self.learning_rates[-1]
        added = [rate for rate in ends if (rate < first if following < first else rate > last)]
        return [self.of(problem, common).at_rate(following)] if len(added) < self.grow else []

    def growth(self) -> str:
        """What a run may add, where there is a ratio of two rates that a grid can go on with."""
        if not self.grow or len(self.learning_rates) < 2:
            return ""
        low, high = (f"{self.learning_rates[end]:g}" for end in (0, -1))
        return (
            f"where an estimator's best learning rate lies at an end of its grid, {low} or {high}, up to {self.grow} "
            "more follow there, a cell each"
        )


class TrainConfig(Evaluation, Measurement):
    """One training cell."""

    resumes: ClassVar[bool] = True
    sizes: ClassVar[str] = "seeds, batch, samples or latents"

    kind: Literal["train"] = "train"
    optimisation: Optimisation
    seeds: Seeds = 5

    def at_rate(self, learning_rate: float) -> "TrainConfig":
        """The same with another learning rate."""
        return self.model_copy(update={"optimisation": self.optimisation.at_rate(learning_rate)})

    def cost(self, problem: TrainedProblem, config: EstimatorConfig) -> Cost | None:
        """Steps of all seeds, and what evaluates them."""
        evaluations, optimisation = evaluations_a_row(problem, config), self.optimisation
        widths, further = problem.widths(evaluations), Further.of(problem, optimisation)
        if widths is None or further is None:
            return None
        train, _, test = bench.datasets.info(problem.dataset).rows
        steps, rows = optimisation.steps, self.seeds * optimisation.batch
        trained = steps * rows * evaluations
        looks = [(1, self.iwae_samples, test)]
        looks += [(self.evaluations + 1, self.evaluation_samples, min(self.evaluation_rows, n)) for n in (train, test)]
        seen = sum(times * n * self.seeds * samples for times, samples, n in looks)
        event = problem.event
        calls = sum(times * reach(n, rows_at_once(samples, self.seeds, event)) for times, samples, n in looks)
        held, made = step_bytes(widths, optimisation, self.seeds, evaluations_held(problem, config))
        made += further.memory(rows)
        made = max(made, *(evaluation_bytes(widths, self.seeds, samples, n, event) for _, samples, n in looks))
        seconds = typical(steps, trained, widths, backward=True) + further.seconds(steps, rows)
        seconds += typical(calls, seen, widths, backward=False)
        trained += steps * rows * further.evaluations
        memory, there = data_bytes(problem, self.seeds) + held + made, on_h100(steps + calls, seconds)
        return Cost(trained + seen, seconds, memory, steps=steps, on_h100=there)

    def run(self, problem: TrainedProblem, estimator: Estimator, *, seed: int, device: torch.device) -> Training:
        """Curves and final bounds."""
        return measure_training(problem, estimator, self, seed=seed, device=device)


def measure_training(
    problem: TrainedProblem, estimator: Estimator, config: TrainConfig, *, seed: int, device: torch.device
) -> Training:
    """Train all seeds in one go; time counts training steps alone, not evaluation.

    Train and test ELBO are of the same kind, and the final ones are the curve's last: each on its subset of rows, with
    as many draws from the same generator, so that their gap is the model's and not the rows'.
    """
    dataset = problem.data()
    seeds = list(range(config.seeds))
    model = problem.model(dataset, seeds).to(device)
    estimator.bind(
        stack=(len(seeds),),
        context_size=model.context_size,
        event=model.event,
        generator=stream("estimator", seed),
    ).to(device)
    count = problem.importance_samples
    trainer = Trainer(model, estimator, config.optimisation, noise_seed=seed, importance_samples=count)
    batches = Batches(dataset, config.optimisation.batch, seeds, device)
    steps = Steps(trainer, batches)
    train, test = (
        shared_rows(split, config.evaluation_rows, dataset.dynamic).to(device)
        for split in (dataset.train, dataset.test)
    )
    with torch.no_grad():
        x = train[:1].expand(len(seeds), 1, -1)
        per_row = probe(estimator, model.encode(x), model.objective(x), model.context(x)).evaluations
        per_row += further_evaluations(problem, config.optimisation)

    last = config.optimisation.steps
    stops = sorted({round(last * i / config.evaluations) for i in range(config.evaluations + 1)})
    clock = Stopwatch(device)
    made = steps.prepare()
    form = "compiled" if made.compiled else "eager"
    progress, keeper = Progress(clock, last, form, trainer=trainer, batches=batches), KEEPER.get()
    if (kept := keeper.load(progress.state())) is not None:
        progress.restore(kept)
    with keeper.stoppable(progress.state):
        for stop in stops[len(progress.curve) :]:
            while trainer.steps < stop:
                with keeper.steps(), clock:
                    while trainer.steps < stop and not keeper.due():
                        steps.run(min(steps.stride, stop - trainer.steps))
                if keeper.due():
                    keeper.keep(progress.state)
            bounds = [evaluate(model, rows, samples=config.evaluation_samples, seed=0)[0] for rows in (train, test)]
            trainer.mark_diverged(sum(bounds[1:], bounds[0]))
            f_evals = stop * config.optimisation.batch * per_row
            progress.curve.append((stop, f_evals, clock.seconds, *map(_finite, bounds)))
        samples = config.iwae_samples
        wish = config.optimisation.compile
        test_iwae = evaluate(model, dataset.test.to(device), samples=samples, seed=0, compile=wish)[1]
    columns = zip(*progress.curve, strict=True)
    curve = dict(zip(("step", "f_evals", "seconds", "train_elbo", "test_elbo"), columns, strict=True))
    diverged = tuple(None if at < 0 else at for at in trainer.diverged_at.tolist())
    found = Training(
        seeds=tuple(seeds),
        diverged=diverged,
        rows_per_step=config.optimisation.batch,
        evaluated_rows=Rows(train=len(train), test=len(test)),
        captured=steps.captured,
        program=Program(**made._asdict()),
        parameters=sum(p.numel() for p in model.parameters() if p.requires_grad) // len(seeds),
        curve=Curve.model_validate(curve),
        final=Final(
            train_elbo=curve["train_elbo"][-1],
            test_elbo=curve["test_elbo"][-1],
            test_iwae=_finite(test_iwae),
            iwae_samples=samples,
        ),
    )
    parts = {"resumed": keeper.resumed, "elsewhere": keeper.elsewhere}
    return found.model_copy(update={key: value for key, value in parts.items() if value})


def _finite(values: Tensor) -> Elbos:
    return tuple(value if math.isfinite(value) else None for value in values.tolist())
