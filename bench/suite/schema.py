"""What a suite file may hold, checked by pydantic, and the cells that it becomes."""

from collections import ChainMap, Counter
from collections.abc import Mapping
from functools import cached_property
from itertools import product
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    SerializeAsAny,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from bench.bounds import Draws, Few, Seeds, Threads, Title, Word
from bench.config import Config, EstimatorConfig, added_later
from bench.measure.base import MEASUREMENTS, Common, Measurement, Settings
from bench.measure.basket import MomentsSettings
from bench.measure.cost import Cost
from bench.measure.elbo import ElboSettings
from bench.measure.wallclock import TimeSettings
from bench.problems.base import PROBLEMS, Problem, TrainedProblem
from bench.records.identity import Identity, cell_id
from bench.suite.draws import MOST_EVALUATIONS, fits
from bench.training.settings import TAKEN_BY, Optimisation
from estimators import registry
from estimators.errors import unknown

Device = Literal["cpu", "cuda"]
MatmulPrecision = Literal["highest", "high", "medium"]
"""What `torch.set_float32_matmul_precision` takes: float32 throughout, or factors rounded to TF32 or to bfloat16 where
the device has fast products of those."""


KEPT = ("steps", "batch", "compile")
"""Settings of [training] that all trainings of a suite share."""
OWN_RATES = {"own_learning_rate", "own_rate_ratio"}
"""Two ways to say one thing: an override that gives one takes the place of either."""
OF_POINTS = {*OWN_RATES, "own_betas"}
"""What a problem whose q stays where it is takes of [training]: how an estimator's own parameters learn there."""
MOST_BUDGETS = 100
"""Each is a cell of every estimator."""
MOST_PAIRS = 20_000
"""Pairs of a problem and an estimator: a run of more has a table that nobody reads."""


def _problem(data: Any) -> Any:
    """A problem of the class that its `kind` names."""
    if not isinstance(data, dict):
        return data
    if "kind" not in data:
        raise ValueError(f"kind is missing: one of {', '.join(PROBLEMS.all())}, or module:Class")
    return PROBLEMS.get(str(data["kind"])).model_validate(data)


def _named(tables: Any) -> Any:
    """Tables of measurements, each with the name that it stands under as its `kind`."""
    if not isinstance(tables, dict):
        return tables
    for name in tables:
        if name in Suite.model_fields:
            raise ValueError(f"{name} is a table of its own, [{name}]")
    return {name: table | {"kind": name} if isinstance(table, dict) else table for name, table in tables.items()}


def _measurement(table: Any) -> Any:
    """A measurement of the class that its `kind` names."""
    return MEASUREMENTS.get(table["kind"]).model_validate(table) if isinstance(table, dict) else table


def _budgets(given: Any) -> Any:
    """A number of evaluations of f, or several in ascending order."""
    several = isinstance(given, list | tuple)
    numbers = given if several else [] if given is None else [given]
    for number in numbers:
        whole = isinstance(number, int) and not isinstance(number, bool)
        if not whole or not 1 <= number <= MOST_EVALUATIONS:
            raise ValueError(f"expected a whole number from 1 to {MOST_EVALUATIONS}, or a list of such")
    if len(numbers) > MOST_BUDGETS:
        raise ValueError(f"expected at most {MOST_BUDGETS} numbers of evaluations of f, and there are {len(numbers)}")
    if several and not numbers:
        raise ValueError("expected at least one number of evaluations of f")
    if len(set(numbers)) < len(numbers):
        raise ValueError("a number of evaluations stands there twice; give each once")
    return tuple(sorted(numbers)) if several else given


def _as_tuple(f_evals: int | tuple[int, ...] | None) -> tuple[int, ...]:
    if f_evals is None:
        return ()
    return (f_evals,) if isinstance(f_evals, int) else f_evals


AnyProblem = Annotated[SerializeAsAny[Problem], BeforeValidator(_problem)]
AnyMeasurement = Annotated[SerializeAsAny[Measurement], BeforeValidator(_measurement)]


class Pairs(Config):
    """Some problems with some estimators of a suite."""

    problems: Annotated[tuple[Word, ...], Few(1000, "no suite has more")] = ()
    """Labels; none stand for all."""
    estimators: Annotated[tuple[EstimatorConfig, ...], Few(1000, "no suite has more")] = ()
    """As the suite has them; none stand for all."""

    def takes(self, problem: str, estimator: str) -> bool:
        """Whether it is for these two labels."""
        if self.problems and problem not in self.problems:
            return False
        return not self.estimators or any(estimator == config.label for config in self.estimators)


class Override(Pairs):
    """What trainings of some problems or estimators have in the place of a suite's [training].

    Published protocols have such: another rate for one data set, other decays for the parameters of one estimator.
    """

    training: Annotated[dict[str, Any], Field(min_length=1)]
    """Settings of [training] but for `KEPT`, which all trainings of a suite share."""

    @model_validator(mode="after")
    def _of_some(self) -> "Override":
        if not (self.problems or self.estimators):
            raise ValueError(
                "problems and estimators are missing: give one of them, or write what is for all into [training]"
            )
        changeable = [name for name in Optimisation.model_fields if name not in KEPT]
        for name in self.training:
            if name in KEPT:
                raise ValueError(f"{name} is the same for all trainings of a suite: give it in [training]")
            if name not in changeable:
                raise ValueError(unknown("setting of training", name, changeable))
        return self


class LeftOut(Pairs):
    """Pairs that a suite does not measure: published protocols have an option of an estimator for one problem alone."""

    problems: Annotated[tuple[Word, ...], Field(min_length=1), Few(1000, "no suite has more")]
    """Labels."""
    estimators: Annotated[tuple[EstimatorConfig, ...], Field(min_length=1), Few(1000, "no suite has more")]
    """As the suite has them."""


class Suite(Config):
    """A suite file. Every estimator meets every problem that its tags allow, but for pairs that are left out."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=100)]
    title: Title = ""
    device: Device = "cpu"
    threads: Threads = 1
    """Torch threads of a cell; part of what decides a result's last bits."""
    matmul_precision: MatmulPrecision = added_later("highest")
    """How exactly a cell's products of matrices in float32 are taken; part of what decides its numbers."""
    seeds: Seeds = 5
    samples: Draws | None = None
    """Draws of z a row for estimators that do not say otherwise, where legal for them."""
    f_evals: Annotated[int | tuple[int, ...] | None, BeforeValidator(_budgets)] = None
    """Evaluations of f a row that every estimator spends, which decides its draws; one that cannot is skipped. Of
    several numbers each is a budget of its own, at which every estimator is measured that can spend it. Where there is
    a bound, its K decides. The `decoder_samples` of a training are spent beside it."""
    problems: Annotated[tuple[AnyProblem, ...], Field(min_length=1), Few(1000, "every estimator meets each of them")]
    estimators: Annotated[tuple[EstimatorConfig, ...], Field(min_length=1), Few(1000, "each meets every problem")]
    training: Optimisation = Optimisation()
    overrides: Annotated[tuple[Override, ...], Few(100, "each is another protocol")] = added_later(())
    """Trainings that differ from [training]."""
    leave_out: Annotated[tuple[LeftOut, ...], Few(100, "each may hold any number of pairs")] = added_later(())
    """Pairs of a problem and an estimator that are not measured."""
    elbo: ElboSettings | None = None
    moments: MomentsSettings | None = None
    time: TimeSettings | None = None
    measurements: (
        Annotated[
            dict[str, AnyMeasurement], BeforeValidator(_named), Few(100, "each is a cell of every pair", "tables")
        ]
        | None
    ) = None
    """Measurements of a person's own, each a table by its registered name or module:Class."""

    @field_validator("estimators", mode="before")
    @classmethod
    def _every_estimator(cls, given: Any, so_far: ValidationInfo) -> Any:
        """`"all"` stands for every registered estimator that fits a problem of the suite."""
        if given not in ("all", ["all"], ("all",)):
            return given
        samples, budgets = so_far.data.get("samples"), _as_tuple(so_far.data.get("f_evals"))
        every = [EstimatorConfig(name=entry.name) for entry in registry.available()]
        problems = so_far.data.get(
            "problems", ()
        )  # none where the problems are at fault, which is reported in their place
        fit = [c for c in every if any(fits(c, p, samples=samples, budgets=budgets).configs for p in problems)]
        return fit if problems else every

    @model_validator(mode="after")
    def _sensible(self) -> "Suite":
        if not self.tables():
            raise ValueError("nothing is measured: add one of [elbo], [moments], [time]")
        if self.samples is not None and self.f_evals is not None:
            raise ValueError("samples and f_evals both decide how many draws are taken: give one of them")
        if (pairs := len(self.problems) * len(self.estimators)) > MOST_PAIRS:
            raise ValueError(f"{pairs} pairs of a problem and an estimator are more than {MOST_PAIRS}: make two suites")
        fields = type(self).model_fields
        for problem in self.problems:
            points = problem.points()
            if not points:
                raise ValueError(f"problem {problem.label!r} has no points")
            if not any(isinstance(point, table.asks) for point in points for table in self.tables()):
                known = MEASUREMENTS.all().items()
                fit = [f"[{name}]" for name, table in known if name in fields and isinstance(points[0], table.asks)]
                raise ValueError(f"{problem.plural} are measured by {' or '.join(fit)}, which is missing")
        if self.moments and max(self.moments.checkpoints, default=0) > self.training.steps:
            raise ValueError(f"a checkpoint of [moments] lies beyond the {self.training.steps} steps of [training]")
        if self.training.prior_learning_rate is not None and not any(
            isinstance(problem, TrainedProblem) and problem.learns_prior for problem in self.problems
        ):
            raise ValueError(
                "training.prior_learning_rate is the rate of a learned prior, and no problem learns one: give one "
                'prior = "learned", or leave the rate out'
            )
        for name in ("problems", "estimators"):
            counts = Counter(part.label for part in getattr(self, name))
            for label, count in counts.items():
                if count > 1:
                    raise ValueError(f"two {name} are called {label!r}: give one a label of its own")
        return self

    @model_validator(mode="after")
    def _labels_that_are_known(self) -> "Suite":
        known = {"problem": [p.label for p in self.problems], "estimator": [e.label for e in self.estimators]}
        tables: dict[str, tuple[Pairs, ...]] = {"overrides": self.overrides, "leave_out": self.leave_out}
        for name, place, one in [(name, *each) for name, table in tables.items() for each in enumerate(table)]:
            named = {"problem": one.problems, "estimator": [config.label for config in one.estimators]}
            for kind, label in [(kind, label) for kind, labels in named.items() for label in labels]:
                if label not in known[kind]:
                    said = unknown(kind, label, known[kind], "the label of one of the suite's own")
                    raise ValueError(f"{name}.{place}: {said}")
        return self

    @model_validator(mode="after")
    def _overrides_that_are_used(self) -> "Suite":
        known = {"problem": [p.label for p in self.problems], "estimator": [e.label for e in self.estimators]}
        for place, one in enumerate(self.overrides):
            if vain := self._in_vain(one):
                raise ValueError(f"overrides.{place}: {vain}")
            if one.estimators and (self.moments or self.time):
                raise ValueError(
                    f"overrides.{place}: [moments] and [time] hold all estimators of a problem against one training, "
                    "and this is that of some: leave out estimators, or those tables"
                )
        checked = set()
        for problem, estimator in product(*known.values()) if self.overrides else ():
            places = tuple(place for place, one in enumerate(self.overrides) if one.takes(problem, estimator))
            if places in checked:
                continue
            checked.add(places)
            given = Counter(name for place in places for name in self.overrides[place].training)
            if twice := [name for name, count in given.items() if count > 1]:
                raise ValueError(
                    f"overrides.{places[-1]}: {twice[0]} of {estimator} on {problem} is given by another override too"
                )
            try:
                self.training_of(problem, estimator)
            except ValidationError as error:
                first = error.errors()[0]
                name = ".".join(["training", *map(str, first["loc"])])
                said = str(first["msg"]).removeprefix("Value error, ")
                raise ValueError(f"overrides.{places[-1]}: {name}: {said}") from error
        return self

    @model_validator(mode="after")
    def _decoders_that_are_known(self) -> "Suite":
        short = "training.decoder_samples = {} trains a decoder by draws of its own, and"
        trained = [problem for problem in self.problems if isinstance(problem, TrainedProblem)]
        for problem, estimator in product([one for one in trained if not one.learns_decoder], self.estimators):
            if draws := self.training_of(problem.label, estimator.label).decoder_samples:
                raise ValueError(
                    f"{short.format(draws)} {problem.label!r} does not say which of its weights are a decoder's "
                    "(learns_decoder, generative_weights): leave one of the two out"
                )
        if not trained and (draws := self.training.decoder_samples):
            raise ValueError(f"{short.format(draws)} no problem of the suite trains one: leave it out")
        return self

    def _in_vain(self, one: Override) -> str | None:
        """Why a setting of an override would change nothing, where one is such."""
        named = [problem for problem in self.problems if not one.problems or problem.label in one.problems]
        trained = [problem for problem in named if isinstance(problem, TrainedProblem)]
        if "learning_rate" in one.training and all(
            isinstance(table, ElboSettings) and table.learning_rates for table in self.tables()
        ):
            return "learning_rate is no training's here: [elbo] learning_rates has them all; leave one of the two out"
        followed = {"learning_rate"} if self.training.own_rate_ratio is not None else set()
        if not trained and (OF_POINTS | followed).isdisjoint(one.training):
            given = f"{', '.join(sorted(OF_POINTS - {'own_rate_ratio'}))} alone"
            return f"its problems are not trained, and take {given} from [training]: give one of these, or leave it out"
        if "prior_learning_rate" in one.training and not any(problem.learns_prior for problem in trained):
            return "prior_learning_rate is the rate of a learned prior, and none of its problems learns one"
        return None

    @property
    def budgets(self) -> tuple[int, ...]:
        """Each number of evaluations of f a row at which estimators are measured; none where draws are given."""
        return _as_tuple(self.f_evals)

    def leaves_out(self, problem: str, estimator: str) -> bool:
        """Whether an estimator is not to be measured on a problem, each by its label."""
        return any(one.takes(problem, estimator) for one in self.leave_out)

    def tables(self) -> list[Settings]:
        """What is measured."""
        own = (self.moments, self.elbo, self.time)
        return [*(table for table in own if table is not None), *(self.measurements or {}).values()]

    def common(self, problem: Problem, estimator: EstimatorConfig) -> Common:
        """What all measurements of a problem and an estimator share."""
        return Common(self.training_of(problem.label, estimator.label), self.seeds, self.samples)

    def training_of(self, problem: str, estimator: str) -> Optimisation:
        """How a problem is trained by an estimator, each by its label.

        Raises:
            ValidationError: an override that does not go with [training].
        """
        changes = [one.training for one in self.overrides if one.takes(problem, estimator)]
        if not changes:
            return self.training
        changed = dict(ChainMap(*changes))
        instead = {name for name, takers in TAKEN_BY.items() if changed.get("optimiser", takers[0]) not in takers}
        if not OWN_RATES.isdisjoint(changed):
            instead |= OWN_RATES
        elif self.training.own_rate_ratio is not None:
            instead.add("own_learning_rate")  # which follows from it
        return Optimisation.model_validate(self.training.model_dump(exclude=instead) | changed)


class Cell(Config):
    """One measurement of one estimator on one problem: the unit of work, and of resuming."""

    measurement: SerializeAsAny[Measurement]
    problem: SerializeAsAny[Problem]
    estimator: EstimatorConfig
    device: Device
    threads: int
    matmul_precision: MatmulPrecision = added_later("highest")

    def resolved(self) -> dict[str, Any]:
        """The configuration in plain values, defaults filled in, but those of settings that were added later."""
        return self.model_dump(mode="json")

    @cached_property
    def id(self) -> str:
        """16 hex digits of the hash of the resolved configuration."""
        return cell_id(self.resolved())

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> "Cell":
        """A copy, whose id, title and cost are its own."""
        copied = super().model_copy(update=update, deep=deep)
        for name in ("id", "title", "cost"):
            copied.__dict__.pop(name, None)
        return copied

    @cached_property
    def cost(self) -> Cost | None:
        """What it costs; None where its measurement or its problem does not say. Every look at a plan asks for it."""
        return self.measurement.cost(self.problem, self.estimator)

    @property
    def identity(self) -> Identity:
        """What a record says that it is of; made anew each time, since a run may hold a hundred thousand cells."""
        return Identity.model_validate(self.resolved())

    @cached_property
    def title(self) -> str:
        """What a progress bar shows."""
        return self.identity.title
