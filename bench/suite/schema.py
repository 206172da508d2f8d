"""What a suite file may hold, checked by pydantic, and the cells that it becomes."""

from collections import Counter
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from bench.config import Config, EstimatorConfig
from bench.measure.basket import BasketConfig, MomentsSettings
from bench.measure.elbo import ElboSettings, TrainConfig
from bench.measure.toy import ToyMoments
from bench.measure.wallclock import TimeConfig, TimeSettings
from bench.problems.toys import ToyConfig, ToyPoint
from bench.problems.vae import VAEConfig
from bench.records.identity import Identity, cell_id
from bench.training.trainer import Optimisation

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
    def identity(self) -> Identity:
        """What a record says that it is of."""
        return Identity.model_validate(self.resolved())

    @property
    def title(self) -> str:
        """What a progress bar shows."""
        return self.identity.title
