"""Suites: a TOML file, checked by pydantic, becomes the list of cells to run."""

import tomllib
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args

from pydantic import Field, StringConstraints, ValidationError, model_validator

import bench.datasets
from bench.config import Config, EstimatorConfig
from bench.identity import cell_id
from bench.measure.basket import BasketConfig, MomentsSettings
from bench.measure.elbo import ElboSettings, TrainConfig
from bench.measure.toy import ToyMoments
from bench.measure.wallclock import TimeConfig, TimeSettings
from bench.problems.toys import ToyConfig, ToyPoint, event_of
from bench.problems.vae import VAEConfig
from bench.training.trainer import Optimisation
from estimators import registry
from estimators.errors import BadInput, unknown
from estimators.registry import Entry

SUITES = Path(__file__).parent / "suites"

Problem = Annotated[VAEConfig | ToyConfig, Field(discriminator="kind")]
Device = Literal["cpu", "cuda"]


class Suite(Config):
    """A suite file. Every estimator meets every problem that its tags allow."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    title: str = ""
    device: Device = "cpu"
    threads: Annotated[int, Field(ge=1)] = 1
    """Torch threads of a cell; part of what decides a result's last bits."""
    seeds: Annotated[int, Field(ge=1, le=1000)] = 5
    samples: Annotated[int, Field(ge=1)] | None = None
    """Draws of z a row for estimators that do not say otherwise, where legal for them."""
    f_evals: Annotated[int, Field(ge=1)] | None = None
    """Evaluations of f a row that every estimator spends, which decides its draws; one that cannot is skipped. Where
    there is a bound, its K decides."""
    problems: Annotated[tuple[Problem, ...], Field(min_length=1)]
    estimators: Annotated[tuple[EstimatorConfig, ...], Field(min_length=1)]
    training: Optimisation = Optimisation()
    elbo: ElboSettings | None = None
    moments: MomentsSettings | None = None
    time: TimeSettings | None = None

    @model_validator(mode="after")
    def _sensible(self) -> "Suite":
        if not (self.elbo or self.moments or self.time):
            raise ValueError("nothing is measured: add one of [elbo], [moments], [time]")
        if self.samples is not None and self.f_evals is not None:
            raise ValueError("samples and f_evals both decide how many draws are taken: give one of them")
        if self.moments is None and any(problem.kind == "toy" for problem in self.problems):
            raise ValueError("toys are measured by [moments], which is missing")
        if self.moments and max(self.moments.checkpoints, default=0) > self.training.steps:
            raise ValueError(f"a checkpoint of [moments] lies beyond the {self.training.steps} steps of [training]")
        for name in ("problems", "estimators"):
            counts = Counter(part.label for part in getattr(self, name))
            for label, count in counts.items():
                if count > 1:
                    raise ValueError(f"two {name} are called {label!r}: give one a label of its own")
        return self


class Cell(Config):
    """One measurement of one estimator on one problem: the unit of work, and of resuming."""

    measurement: Annotated[TrainConfig | BasketConfig | ToyMoments | TimeConfig, Field()]
    problem: VAEConfig | ToyPoint
    estimator: EstimatorConfig
    device: Device
    threads: int

    def resolved(self) -> dict[str, Any]:
        """The configuration in plain values, every default filled in."""
        return self.model_dump(mode="json")

    @property
    def id(self) -> str:
        """16 hex digits of the hash of the resolved configuration."""
        return cell_id(self.resolved())

    @property
    def title(self) -> str:
        """What a progress bar shows."""
        return title_of(self.resolved())


def title_of(config: dict[str, Any]) -> str:
    """A cell in a few words, from its resolved configuration."""
    problem = config["problem"]
    points = {"logit": "|logit|", "scale": "scale"}
    at = [f"at {words} {problem[key]:g}" for key, words in points.items() if problem.get(key) is not None]
    return " ".join([config["measurement"]["kind"], problem["label"], *at, config["estimator"]["label"]])


class Skipped(NamedTuple):
    """A pair that tags rule out."""

    problem: str
    estimator: str
    reason: str


class Plan(NamedTuple):
    """What a suite comes to."""

    cells: list[Cell]
    skipped: list[Skipped]


def load_suite(name: str) -> Suite:
    """Read a suite by name (those that come with the package) or by path.

    Raises:
        BadInput: no such suite, not TOML, or a key or value that a suite does not take.
    """
    path = Path(name)
    if path.suffix != ".toml":
        path = SUITES / f"{name}.toml"
    if not path.is_file():
        raise BadInput(unknown("suite", name, suite_names(), "or a path that ends in .toml"))
    return parse_suite(path.read_bytes(), path.name)


def suite_names() -> list[str]:
    """Names of the suites that come with the package."""
    return sorted(path.stem for path in SUITES.glob("*.toml"))


def parse_suite(text: bytes, source: str) -> Suite:
    """Check a suite file's text; `source` names it in messages.

    Raises:
        BadInput: see `load_suite`.
    """
    try:
        return Suite.model_validate(tomllib.loads(text.decode()))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{source} is not valid TOML: {error}") from error
    except ValidationError as error:
        raise BadInput(f"{source}: {explain(error)}") from error


_TABLES: dict[str, type[Config]] = {
    "vae": VAEConfig,
    "toy": ToyConfig,
    "training": Optimisation,
    "elbo": ElboSettings,
    "moments": MomentsSettings,
    "references": EstimatorConfig,
    "time": TimeSettings,
    "estimators": EstimatorConfig,
}


def explain(error: ValidationError) -> str:
    """The first fault of a suite in one line: where, what was typed, what is expected."""
    # A mistyped key often leaves another one missing: the typed one is the cause.
    first = min(error.errors(), key=lambda fault: fault["type"] != "extra_forbidden")
    location = [str(part) for part in first["loc"] if part not in ("vae", "toy")]
    where = ".".join(location) or "the suite"
    tables = [str(part) for part in first["loc"][:-1] if part in _TABLES]  # the last part is the key itself
    table = _TABLES[tables[-1]] if tables else Suite
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if first["type"] == "extra_forbidden":
        place = f"in {'.'.join(location[:-1])}" if location[1:] else "at the top"
        return unknown("key", location[-1], list(table.model_fields), place) + more
    if first["type"] == "missing":
        return f"{where} is missing{more}"
    if first["type"] == "too_short":
        return f"{where} is empty; it needs at least one item{more}"
    if "options" in location:
        where = ".".join(location[: location.index("options") + 2])
        return f"{where}: an option is a number, true, false or a word, got {first['input']!r}"
    message = str(first["msg"]).removeprefix("Value error, ")
    given = first["input"]
    said = isinstance(given, dict) or (isinstance(given, str) and repr(given) in message)
    typed = "" if said else f", got {given!r}"
    return f"{where}: {message}{typed}{more}"


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
        _resolve(given, entry, suite.samples)
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
                preferred = _draws_for(suite.f_evals, given, entry, event_of(problem.latents, problem.categories))
                if preferred is None:
                    reason = _why_not(suite.f_evals, given, entry, event_of(problem.latents, problem.categories))
            if reason is None:
                cells += _cells(suite, problem, _resolve(given, entry, count or preferred))
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


def _draws_for(evaluations: int, config: EstimatorConfig, entry: Entry, event: tuple[int, ...]) -> int | None:
    """Draws with which an estimator evaluates f so often, or None where there is no such number."""
    for samples in range(1, evaluations + 1) if config.samples is None else (config.samples,):
        if entry.samples.allow(samples) and entry.evaluations(samples, event, config.options) == evaluations:
            return samples
    return None


def _why_not(evaluations: int, config: EstimatorConfig, entry: Entry, event: tuple[int, ...]) -> str:
    """Why there is no such number of draws, in half a sentence with the nearest numbers of evaluations."""
    reason = f"cannot spend exactly {evaluations} evaluations of f a row"
    if entry.enumerates:
        return f"{reason}: it evaluates all joint states"
    if entry.f_evals is None:
        return f"{reason}: it does not say how many it takes; give @register(...) f_evals, a function of samples"
    most = max(2 * evaluations, entry.samples.min) + 2
    tried = range(1, most) if config.samples is None else (config.samples,)
    allowed = filter(entry.samples.allow, tried)
    possible = sorted({entry.evaluations(samples, event, config.options) or 0 for samples in allowed})
    near = [*[n for n in possible if n < evaluations][-1:], *[n for n in possible if n > evaluations][:1]]
    return f"{reason}; the nearest {'are' if near[1:] else 'is'} {' and '.join(map(str, near))}"


def _resolve(config: EstimatorConfig, entry: Entry, preferred: int | None) -> EstimatorConfig:
    """The estimator with its number of samples filled in; constructing it once checks its options."""
    samples = config.samples
    if samples is None and preferred is not None:
        samples = preferred if entry.samples.allow(preferred) else None
    if samples is None:
        samples = entry.samples.default
    entry.create(**config.arguments() | {"samples": samples})
    return config.model_copy(update={"samples": samples})


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
            return _resolve(config, entry, problem.importance_samples or suite.samples)
    raise BadInput(
        f"moments.references holds no unbiased estimator for {problem.label} ({problem.family}, {problem.bound}); "
        "add one (gradest list estimators)"
    )


def override(
    suite: Suite, *, estimators: list[str] | None = None, seeds: int | None = None, device: str | None = None
) -> Suite:
    """The suite with what the command line changes; a given list of estimators replaces the suite's own.

    Raises:
        BadInput: a value that a suite does not take.
    """
    changes: dict[str, Any] = {"estimators": estimators or None, "seeds": seeds, "device": device}
    if device is not None and device not in get_args(Device):
        raise BadInput(unknown("device", device, get_args(Device), "gradest doctor"))
    given = {key: value for key, value in changes.items() if value is not None}
    if not given:
        return suite
    try:
        return Suite.model_validate(suite.model_dump() | given)
    except ValidationError as error:
        raise BadInput(explain(error)) from error
