"""What a measurement must say of itself, once and in one file.

`Settings` is a table of a suite. For each problem it says what a cell is to measure: a `Measurement`, whose fields are
written into the cell's configuration, and so decide its id and its noise. A measurement of a person's own is one class
that is both:

    @register_measurement("calibration")
    class Calibration(Measurement):
        draws: int = 100  # a field is a setting, in [measurements.calibration] of a suite

        def run(self, problem, estimator, *, seed, device):
            ...  # numbers for the record, by name

A report writes what `table` makes of each record into tables/calibration.{csv,md,tex}, and what `figure` draws.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, TypeVar

import torch

from bench.bounds import Word
from bench.config import Config, EstimatorConfig
from bench.measure.cost import Cost
from bench.problems.base import Problem
from bench.records.record import Record
from bench.records.values import Part
from bench.registry import Registry
from bench.training.settings import Optimisation
from estimators.base import Estimator
from estimators.errors import BadInput


class Common(NamedTuple):
    """What a suite says for all of its measurements."""

    optimisation: Optimisation
    """Its [training]."""
    seeds: int
    samples: int | None
    """Draws of z a row for estimators that do not say otherwise."""


class Settings(Config):
    """A table of a suite."""

    asks: ClassVar[type[Problem]] = Problem
    """The sort of problem that it is for: `PointProblem`, `TrainedProblem`, or any."""

    def of(self, problem: Problem, common: Common) -> "Measurement":
        """What is measured of a problem, with all settings that it depends on.

        Args:
            problem: of the sort that is asked for.
            common: what the suite says for all measurements.
        """
        raise NotImplementedError

    def planned(self, problem: Problem, common: Common) -> "Sequence[Measurement]":
        """All that is measured of a problem, a cell each; more than one where a setting is swept.

        Args:
            problem: of the sort that is asked for.
            common: what the suite says for all measurements.
        """
        return [self.of(problem, common)]

    def further(self, problem: Problem, common: Common, done: "Sequence[Done]") -> "Sequence[Measurement]":
        """What else is to be measured of an estimator, once everything that it was asked for so far is done.

        It is asked again when that is done too, until it names nothing new. What it names must follow from its
        arguments alone, so that a run which is resumed, or which several processes share, comes to the same cells.

        Args:
            problem: of the sort that is asked for.
            common: what the suite says for all measurements.
            done: what was measured of one estimator, those that an earlier answer named among them.
        """
        return []

    def growth(self) -> str:
        """What `further` may ask for, in words for a person who looks at a plan; empty where it is not to be asked."""
        return ""


class Measurement(Settings):
    """What a cell measures of one estimator on one problem."""

    kind: Word
    """The word by which records name it: its registered name, or module:Class."""

    alone: ClassVar[bool] = False
    """Whether nothing else may run meanwhile: its cells are run last, one at a time, in the main process."""
    resumes: ClassVar[bool] = False
    """Whether a cell that is stopped goes on from where it was (`bench.training.checkpoint`), and not anew."""
    order: ClassVar[int] = 1
    """Place among the measurements of a problem in the order of a run; moments 0, training 1, times 2."""
    sizes: ClassVar[str] = "its settings"
    """What its memory grows with, in words for a person whose machine has too little."""
    title: ClassVar[str] = ""
    """Heading of its table; the class's name where there is none."""

    def of(self, problem: Problem, common: Common) -> "Measurement":
        """The table of the suite, as it is."""
        return self

    def cost(self, problem: Any, config: EstimatorConfig) -> Cost | None:
        """What a cell costs, before it runs; None where nothing is said, and then nothing is assumed.

        Args:
            problem: of the sort that is asked for, one point of its sweep.
            config: of the estimator, with its number of samples.
        """
        return None

    def run(self, problem: Any, estimator: Estimator, *, seed: int, device: torch.device) -> Part | Mapping[str, Any]:
        """Measure; what comes back is the record's `measurements`: names to numbers, words, lists and tables of them.

        A number that is not finite becomes null in the record. Whatever is raised becomes the record's reason.

        Args:
            problem: of the sort that is asked for, one point of its sweep.
            estimator: made for the problem (`Problem.estimator`), not bound to its sizes yet.
            seed: of all noise, from the cell's id.
            device: where.
        """
        raise NotImplementedError

    @classmethod
    def table(cls, result: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        """Rows of the table for one record, each from column to number or word: by default one, of its plain values.

        Args:
            result: what `run` returned, as read from the record.
        """
        return [{key: value for key, value in result.items() if not isinstance(value, dict | list)}]

    figure: ClassVar[Callable[[Any, Any], None] | None] = None
    """A static method that draws the rows of one problem, a pandas frame with the columns of the table, on matplotlib
    axes; None for no figure."""


class Done(NamedTuple):
    """A measurement of an estimator with its record, of whatever status."""

    measurement: Measurement
    record: Record


MEASUREMENTS: Registry[type[Settings]] = Registry(
    "measurement", "bench.measure", ("basket", "elbo", "wallclock"), "gradest.measurements", "gradest list measurements"
)
RESERVED = ("train", "variance", "bias")
"""Names that records and tables of ours have beside those of measurements."""
SettingsClass = TypeVar("SettingsClass", bound=type[Settings])


def register_measurement(name: str) -> Callable[[SettingsClass], SettingsClass]:
    """Class decorator that puts a measurement among those that a suite can name.

    Raises:
        BadInput: the name is taken by another class, or by a table or a record of ours.
    """
    if name in RESERVED:
        raise BadInput(f"measurement {name!r}: the report has something of that name; choose another")

    def decorate(cls: SettingsClass) -> SettingsClass:
        MEASUREMENTS.add(name, cls, cls)
        return cls

    return decorate
