"""`compare`: estimators side by side at a point of a person's own model."""

import copy
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from numbers import Integral
from typing import Any, NamedTuple

import torch

from bench.config import EstimatorConfig
from bench.library.cells import OwnMoments, OwnPoint, OwnTime, of_a_person
from bench.library.comparison import Comparison
from bench.library.examine import Examination, looked_at, why_not
from bench.library.measured import Place, at_one, at_several, minibatch_variance, warm
from bench.library.minibatches import check_still, fresh_points
from bench.library.point import Given, Point, point_of
from bench.library.reference import reference_at
from bench.library.timing import time_step
from bench.measure.base import Measurement
from bench.measure.draws import refuse_inference_mode
from bench.measure.weights import Weights
from bench.problems.base import PointProblem
from bench.records.record import Record
from bench.records.results import Moments
from bench.run.cell import make_record
from bench.seeds import derive
from bench.suite.draws import MOST_EVALUATIONS, fitted
from bench.suite.schema import Cell
from estimators import registry
from estimators.base import Estimator, options_of
from estimators.distributions import parameters
from estimators.errors import BadInput, check_whole

REFERENCE_FACTOR = 20
"""Draws of a long run, for each draw of an estimator."""


class Subject(NamedTuple):
    """An estimator to measure."""

    config: EstimatorConfig
    made: Estimator | None
    """The object that a person passed, None where it is made from its label."""


def compare(
    point: Given | Callable[[], Any],
    estimators: Sequence[str | Estimator] | str | None = None,
    *,
    f_evals: int | None = None,
    draws: int = 1000,
    reference: str = "auto",
    warm_up: int | None = None,
    measure: Sequence[str] | str = (),
    seed: int = 0,
    minibatches: int = 20,
    timed: bool = True,
) -> Comparison:
    """Measure estimators at a point of a model: variance, bias, MSE, SNR and cosine of the gradient, and time.

    All gradients are those of the mean over rows, with respect to q's parameters. Estimators with state or parameters
    of their own are measured warm, on a copy.

    Args:
        point: a `Point`, a pair (q, f) or a problem of a suite; or a function that makes one with a fresh minibatch,
            drawn from torch's global generator, so that variance is split into the estimator's and the minibatch's.
        estimators: labels such as "reinforce[baseline=moving-average]", or estimators; None for every registered one
            that the point allows.
        f_evals: evaluations of f a row that every estimator spends; those that cannot are skipped, as is an estimator
            with a number of samples of its own. None for their default numbers of samples.
        draws: of each estimator, over all minibatches.
        reference: what bias is against: "exact" (by enumeration or quadrature), the label of an unbiased estimator (a
            long run of it, 20 times the draws), or "auto", exact where that takes no more evaluations of f.
        warm_up: steps of training for estimators with state of their own; see `gradient_moments`.
        measure: measurements of one's own besides, by their registered name or module:Class.
        seed: of all noise; the same gives the same numbers.
        minibatches: how many, where `point` is a function.
        timed: whether to time a step of each estimator beside the plain step, one evaluation of f and its gradient.

    Raises:
        BadInput: an argument that cannot be used, an f that cannot be measured (see `examine`), or no estimator that
            takes it.
    """
    _check_arguments(f_evals, draws, reference, warm_up, measure, seed, minibatches)
    with torch.enable_grad():
        if isinstance(point, Point | PointProblem | tuple) or not callable(point):
            points = [point_of(point)]
        else:
            points = [*fresh_points(point, minibatches, seed)]
        facts = looked_at(points[0])
        if facts.refused:
            raise BadInput(facts.refused[0])
        check_still(points)
        problem = OwnPoint.of(points[0], len(points))
        own = [of_a_person(name) for name in ([measure] if isinstance(measure, str) else measure)]
        chosen, skipped = _chosen(estimators, points[0], facts, problem, f_evals)
        total = REFERENCE_FACTOR * draws
        places = [
            Place(
                one,
                reference_at(one, reference, draws=max(1000, total // len(points)), seed=derive("reference", seed, k)),
                Weights(one.at, one.weights) if one.weights else None,
            )
            for k, one in enumerate(points)
        ]
        minibatch = minibatch_variance(places) if len(places) > 1 else None
        setting = OwnMoments(
            draws=draws,
            warm_up=warm_up,
            seed=seed,
            against=reference,
            through=sum(w.numel() for w in points[0].weights),
        )
        records: list[Record] = []
        for config, made in chosen:
            own_seed = derive(f"compare {config.label} {config.samples}", seed)
            records += _measured(config, made, problem, places, minibatch, setting, own, own_seed, timed)
    return Comparison(records, skipped)


def _check_arguments(
    f_evals: object, draws: object, reference: object, warm_up: object, measure: object, seed: object, count: object
) -> None:
    """Refuse arguments of the wrong type or size.

    Raises:
        BadInput: one line for the first of them.
    """
    for name, number, least in (("draws", draws, 3), ("seed", seed, 0), ("minibatches", count, 3)):
        check_whole(name, number, least)
    for name, number, least in (("f_evals", f_evals, 1), ("warm_up", warm_up, 0)):
        if number is not None:
            check_whole(name, number, least)
    if isinstance(f_evals, Integral) and int(f_evals) > MOST_EVALUATIONS:
        raise BadInput(f"f_evals = {f_evals} is more than {MOST_EVALUATIONS}")
    if not isinstance(reference, str):
        kind = type(reference).__name__
        raise BadInput(f"reference is of type {kind}; expected 'auto', 'exact' or the label of an estimator")
    if not isinstance(measure, str | list | tuple) or not all(isinstance(name, str) for name in measure):
        raise BadInput(f"measure is {measure!r}; expected names of measurements of your own")
    refuse_inference_mode("compare")


def _chosen(
    estimators: Sequence[str | Estimator] | str | None,
    point: Point,
    facts: Examination,
    problem: OwnPoint,
    f_evals: int | None,
) -> tuple[list[Subject], dict[str, str]]:
    """The estimators that can be measured, with their numbers of samples; the labels of the others, with reasons.

    Raises:
        BadInput: none can, or see `_subjects`.
    """
    chosen: list[Subject] = []
    skipped: dict[str, str] = {}
    for subject in _subjects(estimators):
        label = subject.config.label
        try:
            config = fitted(subject.config, problem, samples=None, f_evals=f_evals)
        except BadInput as error:  # its number of samples is none that it takes
            config = str(error)
        if isinstance(config, str):
            skipped[label] = config
        elif reason := why_not(point, label, facts):
            skipped[label] = reason
        else:
            chosen.append(Subject(config, subject.made))
    if not chosen:
        reasons = "; ".join(f"{label} {reason}" for label, reason in [*skipped.items()][:3])
        whose = "no registered estimator" if estimators is None else "none of the estimators"
        raise BadInput(f"{whose} can be measured here: {reasons}")
    return chosen, skipped


def _subjects(given: Sequence[str | Estimator] | str | None) -> Iterator[Subject]:
    """What is to be measured, each once.

    Raises:
        BadInput: an unknown name or option, two of one label, or what is no estimator.
    """
    if given is None:
        for entry in registry.available():
            yield Subject(EstimatorConfig(name=entry.name), None)
        return
    seen: set[str] = set()
    if not isinstance(given, str | Estimator | Sequence):
        raise BadInput(f"estimators is of type {type(given).__name__}; expected a list of labels or estimators")
    if not given and not isinstance(given, Estimator):
        raise BadInput("estimators is empty; leave it out for every estimator that fits")
    for one in [given] if isinstance(given, str | Estimator) else given:
        if isinstance(one, str):
            registry.create(one)
            subject = Subject(EstimatorConfig.model_validate(one), None)
        elif isinstance(one, Estimator) and one.entry is not None:
            options = {name: value for name, value in options_of(one).items() if value is not None}
            config = EstimatorConfig(name=one.entry.name, samples=one.samples, options=options)
            subject = Subject(config, one)
        else:
            what = "is not registered: put @register(...) over it" if isinstance(one, Estimator) else "is no estimator"
            raise BadInput(f"{type(one).__name__} {what}; expected labels such as 'rloo', or registered estimators")
        if subject.config.label in seen:
            raise BadInput(f"{subject.config.label!r} is given twice")
        seen.add(subject.config.label)
        yield subject


def _measured(
    config: EstimatorConfig,
    made: Estimator | None,
    problem: OwnPoint,
    places: Sequence[Place],
    minibatch: Any,
    setting: OwnMoments,
    own: Sequence[Measurement],
    seed: int,
    timed: bool,
) -> Iterator[Record]:
    """The records of one estimator."""
    points = [place.point for place in places]
    first = parameters(points[0].at)[0]

    def fresh() -> Estimator:
        if made is not None:
            return copy.deepcopy(made)
        context = points[0].context
        size = 0 if context is None else context.shape[-1]
        with torch.random.fork_rng([first.device] if first.is_cuda else []):
            torch.manual_seed(derive("estimator", seed))
            entry = registry.get(config.name)
            return entry.create(like=points[0].at, context_size=size, **config.arguments()).to(first.dtype)

    def moments() -> Moments:
        with warnings.catch_warnings(action="ignore", category=UserWarning):  # jumps were looked for before
            ready = warm(fresh(), points, steps=setting.warm_up, seed=seed)
            if len(places) == 1:
                return Moments(points=(at_one(ready, places[0], draws=setting.draws, seed=seed),))
            return Moments(points=(at_several(ready, places, minibatch, draws=setting.draws, seed=seed),))

    jobs: list[tuple[Measurement, Callable[[], Any]]] = [(setting, moments)]
    if timed:
        jobs.append((OwnTime(), lambda: time_step(fresh(), points[0])))
    jobs += [(one, partial(_run, one, problem, fresh, seed)) for one in own]
    for measurement, job in jobs:
        device: Any = first.device.type
        precision: Any = torch.get_float32_matmul_precision()
        cell = Cell(
            measurement=measurement,
            problem=problem,
            estimator=config,
            device=device,
            threads=torch.get_num_threads(),
            matmul_precision=precision,
        )
        started, clock = datetime.now(UTC), time.perf_counter()
        try:
            result, failure = job(), None
        except Exception as error:  # one that fails is a result; the others go on
            result, failure = {}, error
        yield make_record(cell, result, failure, started, time.perf_counter() - clock)


def _run(measurement: Measurement, problem: OwnPoint, fresh: Callable[[], Estimator], seed: int) -> Any:
    """A measurement of a person's own."""
    return measurement.run(problem, fresh(), seed=seed, device=parameters(problem.q())[0].device)
