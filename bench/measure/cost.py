"""What a measurement costs before it runs: evaluations of f, time on a typical core, and memory at the peak.

These are counts of what is computed and held: each measurement says its own (`Measurement.cost`), from
what its problem says of its models (`TrainedProblem.widths`). They decide what is refused and what is shown of a plan,
and never a number of a record. Memory is within a factor of two of what processes were seen to take.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import bench.datasets
from bench.config import EstimatorConfig, example
from bench.measure.draws import BLOCK_NUMBERS, CHUNK_NUMBERS, SHORTEST_BLOCK
from bench.problems.base import Problem, TrainedProblem
from bench.problems.widths import Widths
from bench.training.evaluation import rows_at_once
from bench.training.settings import Optimisation
from estimators import registry

SINGLE, DOUBLE = 4, 8
"""Bytes of a number."""
A_CALL, A_PRODUCT, A_NUMBER = 7e-4, 5e-11, 1e-9
"""Seconds of a call of an estimator or a model, of a product in a matrix product, and of a number that is written, on a
core of 2023. What a machine really takes is told by its records, or by a probe (`bench.run.probe`)."""
A_STEP_ON_H100, FASTER_ON_H100 = 2.5e-4, 150.0
"""Seconds of a captured step that computes next to nothing, and how much faster than on that core the rest is computed,
on an H100: fitted to what is recorded of one (results/timing-h100, results/disarm-linear-20k), of which 9 in 10 steps
are within a factor of two (tests/bench/test_cost.py)."""


class Cost(NamedTuple):
    """Of a cell, or of what several cells share."""

    evaluations: float
    """Of f, each at a row and a draw of z."""
    seconds: float
    """On a typical core."""
    memory: float = 0.0
    """Bytes at the peak, beside those of a process that has imported everything."""
    shared: "Cost | None" = None
    """What the first of the cells of a problem does for all of them, such as training a trajectory."""
    steps: float = 0.0
    """Of training; those of stacked seeds are taken at once."""
    on_h100: float | None = None
    """Seconds on an H100; None where nobody knows."""

    @property
    def first(self) -> float:
        """Evaluations of a cell that nothing was done for before."""
        return self.evaluations + (self.shared.evaluations if self.shared else 0.0)


def evaluations_a_row(problem: Problem, config: EstimatorConfig) -> float:
    """Evaluations of f for a row's gradient of a layer, as the estimator's tag has it, or all states."""
    entry = registry.get(config.name)
    samples = problem.importance_samples or config.samples or entry.samples.default
    said = entry.evaluations(samples, problem.event, config.options)
    states = problem.kind_of_latents.joint_states(problem.event) if entry.enumerates else None
    return float(said or states or samples)


class Further(NamedTuple):
    """The further draws of a training step, by which a decoder is trained where `decoder_samples` asks for them."""

    evaluations: int
    """Of f a row."""
    widths: Widths
    """Of a model, at one draw of each layer of latents."""

    @classmethod
    def of(cls, problem: TrainedProblem, optimisation: Optimisation) -> "Further | None":
        """Those of a problem; None where nothing is said of its models."""
        widths = problem.widths(1)
        return None if widths is None else cls(further_evaluations(problem, optimisation), widths)

    def seconds(self, steps: float, rows: float) -> float:
        """On a typical core, of so many steps on so many rows; a call of the model in each, if there are any."""
        if not self.evaluations:
            return 0.0
        return typical(steps, steps * rows * self.evaluations, self.widths, backward=True)

    def memory(self, rows: float) -> float:
        """Bytes that a step on so many rows makes beside what its estimate does."""
        return rows * self.evaluations * self.widths.of_f * SINGLE


def further_evaluations(problem: TrainedProblem, optimisation: Optimisation) -> int:
    """Evaluations of f a row, in each step, at the further draws by which a decoder is trained."""
    return optimisation.decoder_samples * (problem.importance_samples or 1)


def evaluations_held(problem: Problem, config: EstimatorConfig) -> float:
    """So many evaluations of f as take the memory of a row's gradient.

    Whoever differentiates f, or a network of its own in the place of f, holds gradients of as many numbers beside them.
    """
    entry = registry.get(config.name)
    differentiates = entry.needs != "neither" or bool(entry.own_parameters)
    return evaluations_a_row(problem, config) * (2 if differentiates else 1)


def has_state(config: EstimatorConfig) -> bool:
    """Whether an estimator has running state or parameters of its own, so that it is warmed up."""
    made = example(config)
    return any(True for _ in made.buffers()) or any(True for _ in made.parameters())


def typical(calls: float, evaluations: float, widths: Widths, *, backward: bool) -> float:
    """Seconds on a typical core.

    Args:
        calls: of an estimator or a model.
        evaluations: of f in all.
        widths: of the model.
        backward: whether gradients are propagated through f, which takes twice as much again.
    """
    passes = 3 if backward else 1
    return calls * A_CALL + evaluations * passes * (widths.products_of_f * A_PRODUCT + widths.of_f * A_NUMBER)


def on_h100(calls: float, seconds: float) -> float:
    """Seconds there of so many calls that take so many seconds on a typical core."""
    return calls * A_STEP_ON_H100 + max(0.0, seconds - calls * A_CALL) / FASTER_ON_H100


def data_bytes(problem: TrainedProblem, stack: int) -> float:
    """All rows of the data set, and an order of the train rows for each seed."""
    info = bench.datasets.info(problem.dataset)
    return sum(info.rows) * info.pixels * SINGLE + stack * info.rows[0] * DOUBLE


def step_bytes(widths: Widths, optimisation: Optimisation, stack: int, evaluations: float) -> tuple[float, float]:
    """What training holds from step to step, weights with the optimiser's state, and what a step makes besides.

    Args:
        widths: of one model.
        optimisation: its batch and optimiser.
        stack: models side by side.
        evaluations: of f for a row's gradient, as many as are held.
    """
    copies = 2 + optimisation.kept  # weights, their gradients, and what the optimiser keeps
    held = copies * stack * widths.weights * SINGLE
    rows = stack * optimisation.batch
    return held, rows * (widths.behind + evaluations * widths.of_f) * SINGLE


def evaluation_bytes(widths: Widths, stack: int, samples: int, rows: int, event: Sequence[int]) -> float:
    """What evaluating bounds makes, some rows at once (`bench.training.evaluation`)."""
    at_once = min(rows, rows_at_once(samples, stack, event))
    return at_once * stack * (widths.behind + samples * widths.at_once) * SINGLE


def gradients_bytes(draws: int, coordinates: int, behind: int = 0) -> float:
    """What many draws of a gradient hold at once (`bench.measure.draws`): a block of them, and their errors in double.

    Args:
        draws: in all.
        coordinates: of a gradient, over all rows.
        behind: numbers of what lies behind q's parameters, over all rows.
    """
    blocks = max(1, min(math.ceil(draws * coordinates / BLOCK_NUMBERS["cpu"]), draws // SHORTEST_BLOCK))
    block = math.ceil(draws / blocks)
    return block * (coordinates * (SINGLE + 2 * DOUBLE) + behind * SINGLE) + draws * 3 * DOUBLE


def calls_of(draws: int, largest: float) -> float:
    """Calls of an estimator for so many draws of a gradient, where a draw's largest tensor has so many numbers."""
    return reach(draws, max(1, CHUNK_NUMBERS["cpu"] // max(1, int(largest))))


def reach(count: float, limit: float) -> float:
    """How many parts there are of so much, each up to a limit."""
    return max(1.0, math.ceil(count / limit))
