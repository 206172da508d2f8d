"""From a suite to its cells: every estimator on every problem that its tags allow."""

from typing import Any, NamedTuple

import bench.datasets
from bench.config import EstimatorConfig
from bench.measure.basket import BasketConfig
from bench.measure.elbo import TrainConfig
from bench.measure.toy import ToyMoments
from bench.measure.wallclock import TimeConfig
from bench.problems.toys import ToyConfig
from bench.problems.vae import VAEConfig
from bench.suite.draws import draws_for, resolve, why_not
from bench.suite.schema import Cell, Suite
from estimators import registry
from estimators.errors import BadInput, unknown


class Skipped(NamedTuple):
    """A pair that tags rule out."""

    problem: str
    estimator: str
    reason: str


class Plan(NamedTuple):
    """What a suite comes to."""

    cells: list[Cell]
    skipped: list[Skipped]


def plan(suite: Suite) -> Plan:
    """All cells of a suite, cheap ones first, and the pairs that tags rule out.

    Raises:
        BadInput: an unknown estimator, option or data set, or an estimator that no problem allows.
    """
    entries = [registry.get(config.name) for config in suite.estimators]
    for problem in suite.problems:
        if isinstance(problem, VAEConfig):
            _check_data(suite, problem)
    cells: list[Cell] = []
    skipped: list[Skipped] = []
    for given, entry in zip(suite.estimators, entries, strict=True):
        resolve(given, entry, suite.samples)
        legal = 0
        preferred = suite.samples
        for problem in suite.problems:
            reason = entry.reason_against(family=problem.family, bound=problem.bound, states=problem.states())
            count = problem.importance_samples
            if reason is None and count and given.samples not in (None, count):
                reason = f"draws {given.samples} samples, where the bound has {count}"
            if reason is None and count and not entry.samples.allow(count):
                reason = f"cannot draw the {count} samples of the bound: it takes {entry.samples.words()}"
            if reason is None and suite.f_evals and not count:
                preferred = draws_for(suite.f_evals, given, entry, problem.event)
                if preferred is None:
                    reason = why_not(suite.f_evals, given, entry, problem.event)
            if reason is None:
                cells += _cells(suite, problem, resolve(given, entry, count or preferred))
                legal += 1
            else:
                skipped.append(Skipped(problem.label, given.label, reason))
        if not legal:
            raise BadInput(f"estimator {given.label!r} fits no problem of the suite: it {skipped[-1].reason}")
    order = {"moments": 0, "train": 1, "time": 2}
    cells.sort(
        key=lambda cell: (
            isinstance(cell.problem, VAEConfig),
            cell.problem.label,
            order[cell.measurement.kind],
        )
    )
    return Plan(cells, skipped)


def _check_data(suite: Suite, problem: VAEConfig) -> None:
    infos = {info.name: info for info in bench.datasets.available()}
    if problem.dataset not in infos:
        raise BadInput(unknown("data set", problem.dataset, list(infos), "gradest list datasets"))
    rows = infos[problem.dataset].rows[0]
    wanted = {"training.batch": suite.training.batch, "moments.rows": suite.moments.rows if suite.moments else 0}
    for key, count in wanted.items():
        if count > rows:
            raise BadInput(f"{key} = {count} is larger than the train split of {problem.dataset}, {rows} rows")


def _cells(suite: Suite, problem: VAEConfig | ToyConfig, config: EstimatorConfig) -> list[Cell]:
    shared: dict[str, Any] = {"estimator": config, "threads": suite.threads}
    if isinstance(problem, ToyConfig):
        assert suite.moments is not None
        rate = suite.training.own_learning_rate
        moments = ToyMoments(draws=suite.moments.draws, warm_up=suite.moments.warm_up, own_learning_rate=rate)
        return [Cell(measurement=moments, problem=point, device="cpu", **shared) for point in problem.points()]
    measurements: list[TrainConfig | BasketConfig | TimeConfig] = []
    if suite.moments:
        settings = suite.moments.model_dump(exclude={"references", "warm_up"})
        reference = _reference(suite, problem)
        measurements.append(BasketConfig(**settings, reference=reference, optimisation=suite.training))
    if suite.elbo:
        measurements.append(TrainConfig(**suite.elbo.model_dump(), optimisation=suite.training, seeds=suite.seeds))
    if suite.time:
        measurements.append(TimeConfig(**suite.time.model_dump(), optimisation=suite.training))
    return [Cell(measurement=m, problem=problem, device=suite.device, **shared) for m in measurements]


def _reference(suite: Suite, problem: VAEConfig) -> EstimatorConfig:
    """The first of the suite's references that is unbiased and legal for the problem."""
    assert suite.moments is not None
    for config in suite.moments.references:
        entry = registry.get(config.name)
        fits = entry.reason_against(family=problem.family, bound=problem.bound, states=problem.states()) is None
        count = problem.importance_samples or entry.samples.default
        if fits and entry.claims_unbiased(config.options) and entry.samples.allow(count):
            return resolve(config, entry, problem.importance_samples or suite.samples)
    raise BadInput(
        f"moments.references holds no unbiased estimator for {problem.label} ({problem.family}, {problem.bound}); "
        "add one (gradest list estimators)"
    )
