"""What a cell is: its resolved configuration, said once for the suite, the store, the report, compare and status.

- A **cell** is a resolved configuration; its id is the hash of that, and its noise comes from the id. Two records with
  one id are the same draws again, and the same numbers up to the rounding of two machines or the versions of two
  sources. But a time is a measurement of a machine: two machines give two.
- The **subject** of a cell is what it measures, whatever the settings (how many draws of the gradient, steps, seeds,
  threads, how exact products of matrices are): kind of measurement, problem at its point, estimator with its number of
  samples, device, and the learning rate of a training, since trainings that differ in it alone are a sweep. Where one
  run measured a subject twice, the newer record is shown. Other settings mean another id, and so other draws.
- The **protocol** of a training is what a paper fixes that publishes such: everything but how long and at which rate it
  is trained, by how many seeds, on what machine, and what things are called. A published number stands beside records
  of its protocol.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

from bench.records.content import canonical
from bench.records.values import Open

SWEPT = ("logit", "scale")
"""The swept quantities of a toy: one record a value, all of them points of one problem."""
TRAINED = "train"
"""The kind of a training, whose learning rate is swept: its table chooses a rate for each estimator."""
STATED = ("kind", "draws", "seeds", "exact")
"""Settings of a measurement that a table states for each row, and in which cells of one comparison may differ."""
FREE: Mapping[str, Any] = {
    "device": True,
    "threads": True,
    "matmul_precision": True,
    "problem": {"label"},
    "estimator": {"label"},
    "measurement": {
        "seeds": True,
        "evaluations": True,
        "target": True,
        "optimisation": {"steps", "learning_rate", "compile"},
    },
}
"""What no protocol of a training fixes, as pydantic leaves it out; all else decides the protocol, whatever comes later.

Of `evaluations` only how many points the curve has: on how many rows and draws it is evaluated is part of a protocol.
"""


def digest(values: Any) -> str:
    """16 hex digits of the hash of plain values, as JSON holds them."""
    return hashlib.sha256(canonical(values).encode()).hexdigest()[:16]


def cell_id(config: Mapping[str, Any]) -> str:
    """16 hex digits of the hash of a resolved configuration."""
    return digest(config)


def _alike(values: Any) -> Any:
    """Plain values in which a number is the same whether it was typed `1` or `1.0`."""
    match values:
        case Mapping():
            return {key: _alike(value) for key, value in values.items()}
        case list() | tuple():
            return [_alike(value) for value in values]
        case float() if values.is_integer():
            return int(values)
    return values


class Measured(Open):
    """What is measured, with the measurement's own settings."""

    kind: str
    """train, moments or time."""

    @property
    def trajectory_of(self) -> str | None:
        """The label of the estimator that trained the reference trajectory, where there is one."""
        reference = (self.model_extra or {}).get("reference")
        return reference["label"] if reference else None

    @property
    def batch(self) -> int | None:
        """Rows of a training step, where there is one."""
        return ((self.model_extra or {}).get("optimisation") or {}).get("batch")

    @property
    def rows(self) -> int | None:
        """Rows of the data in a minibatch that gradients are measured at, where there is one; q's may be fewer."""
        return (self.model_extra or {}).get("rows")

    @property
    def stacked(self) -> int | None:
        """How many models a timed step trains side by side."""
        return (self.model_extra or {}).get("stacked")

    @property
    def warm_up(self) -> int | None:
        """Steps of whatever is run before the measurement, where that has such."""
        return (self.model_extra or {}).get("warm_up")

    @property
    def optimisation(self) -> Mapping[str, Any]:
        """The settings of a training, where it has such."""
        found = (self.model_extra or {}).get("optimisation")
        return found if isinstance(found, Mapping) else {}

    @property
    def learning_rate(self) -> float | None:
        """The rate with which a model was trained to be compared; that of a mere reference trajectory is none."""
        return self.optimisation.get("learning_rate") if self.kind == TRAINED else None

    @property
    def seeds(self) -> int | None:
        """How many were asked for, where there are such."""
        return (self.model_extra or {}).get("seeds")

    @property
    def target(self) -> float | None:
        """Test ELBO in nats that a training was to reach, where one was fixed beforehand."""
        return (self.model_extra or {}).get("target")


class Problem(Open):
    """A problem at its point, with its own factors."""

    kind: str
    """Its registered name, or module:Class."""
    label: str
    """What tables call it; factors that are not the usual ones are part of it."""
    family: str | None = None
    """Of its latents."""
    dataset: str | None = None
    """On which it is trained."""
    bound: str | None = None
    """elbo or iwae."""
    entropy: str | None = None
    """sampled, as log q inside of f, or analytic, as a closed form beside it."""
    logit: int | float | None = None
    """|logit| of a discrete q, where a toy is swept over it."""
    scale: int | float | None = None
    """Of a continuous q, where a toy is swept over it."""

    @property
    def place(self) -> int | float | None:
        """Where it stands on its sweep."""
        return self.scale if self.logit is None else self.logit


class Estimator(Open):
    """An estimator with its options."""

    label: str
    """As a person types it: name[key=value,...]."""
    name: str = ""
    """Its registered name, or module:Class."""
    samples: int | None = None
    """Draws of z a row."""


class Identity(Open):
    """The resolved configuration of a cell."""

    measurement: Measured
    """What is measured, with its settings."""
    problem: Problem
    """Of which problem, at which point."""
    estimator: Estimator
    """Of which estimator, with its options."""
    device: str | None = None
    """cpu or cuda."""
    threads: int | None = None
    """Of torch."""
    matmul_precision: str = "highest"
    """Of float32; not written where it is this."""

    @property
    def kind(self) -> str:
        """What is measured: train, moments or time."""
        return self.measurement.kind

    @property
    def title(self) -> str:
        """The cell in a few words."""
        points = {"|logit|": self.problem.logit, "scale": self.problem.scale}
        at = [f"at {words} {value:g}" for words, value in points.items() if value is not None]
        rate = self.measurement.learning_rate
        swept = "" if rate is None else f", learning rate {rate:g}"
        return " ".join([self.kind, self.problem.label, *at, self.estimator.label]) + swept

    @property
    def further_evaluations(self) -> int:
        """Evaluations of f a row, in each training step, at the further draws that decoder and prior are trained by."""
        draws = self.measurement.optimisation.get("decoder_samples", 0)
        each = self.estimator.samples or 1 if self.problem.bound == "iwae" else 1
        return draws * each if isinstance(draws, int) else 0

    @property
    def comparable(self) -> tuple[Any, ...]:
        """Equal for cells of two runs that can be set side by side: the subject, on whatever device and machine."""
        problem, rate = self.problem, self.measurement.learning_rate
        return self.kind, problem.kind, problem.label, problem.logit, problem.scale, self.estimator.label, rate

    @property
    def benchmark(self) -> dict[str, Any]:
        """What makes a problem another benchmark than one of the same label: all but its place on a sweep."""
        factors = self.problem.model_dump(exclude=set(SWEPT), exclude_unset=True)
        if self.problem.bound == "iwae":  # another number of samples is another bound
            factors["K"] = self.estimator.samples
        return factors

    @property
    def settings(self) -> dict[str, Any]:
        """How the cell is measured, apart from what every row of a table states."""
        own = self.measurement.model_dump(exclude=set(STATED), exclude_unset=True)
        if self.measurement.learning_rate is not None:
            optimisation = self.measurement.optimisation
            swept = {"learning_rate"} | ({"own_learning_rate"} if "own_rate_ratio" in optimisation else set())
            own["optimisation"] = {name: value for name, value in optimisation.items() if name not in swept}
        return {**own, "device": self.device, "threads": self.threads, "matmul_precision": self.matmul_precision}

    @property
    def protocol(self) -> str | None:
        """16 hex digits of the hash of a training's protocol: all of its configuration but `FREE`; None of others."""
        if self.kind != TRAINED:
            return None
        fixed = self.model_dump(exclude=dict(FREE), exclude_unset=True)
        if self.measurement.optimisation.get("own_rate_ratio") is not None:  # the other rate follows from it
            fixed["measurement"]["optimisation"].pop("own_learning_rate", None)
        return digest(_alike(fixed))
