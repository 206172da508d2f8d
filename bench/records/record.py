"""A record: one cell's identity, its outcome, what was measured, and where.

`read` is the one way from a record's plain values to a `Record`: it completes what earlier releases left out, and
refuses what a later one wrote.
"""

import math
from collections.abc import Hashable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench.records.identity import Identity
from bench.records.values import Open, Part
from estimators.errors import BadInput

SCHEMA = 2
"""Of what is written now: 1 had no digest."""
KEYS = {"schema", "cell", "status", "reason", "started", "seconds", "config", "tags", "measurements", "provenance"}
"""What every record holds, of this release and those before."""
STATUSES = ("ok", "diverged", "failed", "out-of-memory", "died")

Result = TypeVar("Result", bound=Part)


class Provenance(Open):
    """Where a number came from."""

    host: str | None = None
    """The machine's name."""
    gpu: str | None = None
    """The accelerator, where there was one."""
    cores: int | None = None
    """Of the machine's CPU."""
    load: tuple[float | None, ...] = ()
    """The load average over one, five and fifteen minutes."""
    matmul_precision: str = "highest"
    """Of float32; what torch begins with, and what all had that did not record it."""
    estimator_source: str | None = None
    """The hash of the estimator's source."""


class Tags(Open):
    """What the registry said of the estimator."""

    CORE = ("unbiased",)

    unbiased: bool = False
    """Whether its mean is declared to be the exact gradient."""
    method: str | None = None
    """The family of methods; None where nothing is said, as in records of before there was one."""
    needs: str | None = None
    """What it asks of f beyond its values; None where nothing was said."""
    summary: str = ""
    """What it is, in a line."""
    negative_control: bool | None = None
    """Whether it is wrong by intent; None in records of before, when the summary said so."""

    @property
    def is_control(self) -> bool:
        """Whether nobody is to take it, and a page may leave it out."""
        if self.negative_control is None:
            return self.summary.startswith("negative control")
        return self.negative_control


class Record(BaseModel):
    """One cell's record."""

    model_config = ConfigDict(extra="allow", populate_by_name=True)

    schema_version: int = Field(alias="schema")
    """Of the record's form; a larger one is a later release's."""
    cell: str
    """The id, which is the hash of `config`."""
    digest: str | None = None
    """The hash of all else in the record, from schema 2: 64 hex digits of SHA-256."""
    status: str
    """ok, diverged, failed, out-of-memory, or died: its process ended before it did."""
    reason: str | None
    """Of a status that is not ok, in a sentence."""
    traceback: str | None = None
    """Of a cell that failed."""
    attempts: int = 1
    """How often the cell was tried; not written where that is once."""
    started: str | None
    """When, in UTC."""
    seconds: float | None
    """That the cell took, from its first import of data to its last number."""
    config: Identity
    """What was measured, of what, with all settings."""
    tags: Tags
    """What the registry said of the estimator then."""
    measurements: dict[str, Any]
    """What the measurement wrote, as JSON holds it; `result` reads it."""
    provenance: Provenance
    """Where it was measured, and by which code."""
    folder: str = Field(default="", exclude=True)
    """Where it was read from, for sentences about it; not written."""

    @property
    def kind(self) -> str:
        """What was measured: train, moments or time."""
        return self.config.kind

    @property
    def went_well(self) -> bool:
        """Whether its status is ok."""
        return self.status == "ok"

    @property
    def machine(self) -> str:
        """The machine, as far as times depend on it: the host and its accelerator."""
        return " ".join(filter(None, (self.provenance.host, self.provenance.gpu)))

    @property
    def timed_on(self) -> str:
        """The machine where it is a part of what is measured, else nothing."""
        return self.machine if self.kind == "time" else ""

    @property
    def measurement(self) -> Hashable:
        """A key: of records of several runs that share it a report shows one. The cell, and for a time the machine."""
        return self.cell, self.timed_on

    @property
    def subject(self) -> tuple[Any, ...]:
        """A key: of records of one run that share it the newest is shown; a time's machine is a part of it.

        So is the estimator's number of samples, since a suite may give one estimator several budgets.
        """
        return *self.config.comparable, self.config.estimator.samples, self.config.device, self.timed_on

    def result(self, model: type[Result]) -> Result:
        """What was measured, as a measurement's own type; all of it missing where nothing was."""
        return model.model_validate(self.measurements)


class Newer(BadInput):
    """A record that a later release wrote."""


def is_whole(found: object) -> bool:
    """Whether plain values have what a record of this release or one before has; `validate.fault` says far more."""
    return (
        isinstance(found, Mapping)
        and found.keys() >= KEYS
        and isinstance(found["schema"], int)
        and isinstance(found["config"], Mapping)
        and isinstance(found["provenance"], Mapping)
    )


def refuse_newer(found: object, name: str) -> None:
    """Refuse a record of a later release, whatever else is new about it.

    Args:
        found: what its file holds.
        name: what it is called.

    Raises:
        Newer: a later release wrote it.
    """
    schema = found.get("schema") if isinstance(found, Mapping) else None
    if isinstance(schema, bool) or not isinstance(schema, int | float) or not schema > SCHEMA:
        return
    assert isinstance(found, Mapping)
    provenance = found.get("provenance")
    release = provenance.get("gradest") if isinstance(provenance, Mapping) else None
    raise Newer(
        f"{name} was written by {f'gradest {release}' if release else 'a later release'}, with schema {schema}, and "
        f"this release reads {SCHEMA}: install that one (pip install -U gradest), or choose another folder"
    )


def read(found: Record | Mapping[str, Any], folder: str = "") -> Record:
    """A record from its plain values, which `bench.records.validate` has looked at or this process has made.

    Args:
        found: a whole record as JSON holds it; one that was read already stays as it is.
        folder: where it lies.

    Raises:
        Newer: a later release wrote it.
        BadInput: it is none.
    """
    if isinstance(found, Record):
        return found
    name = f"record {found.get('cell', 'without an id')}{f' of {folder}' if folder else ''}"
    refuse_newer(found, name)
    if not is_whole(found):
        raise BadInput(f"{name} is not whole: it lacks {', '.join(sorted(KEYS - found.keys())) or 'a schema'}")
    try:
        record = Record.model_validate(upgraded(found))
    except ValidationError as error:
        first = error.errors()[0]
        raise BadInput(f"{name} is damaged: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    record.folder = folder or record.folder
    return record


def upgraded(found: Mapping[str, Any]) -> Mapping[str, Any]:
    """A record of an earlier release as this one would have written it, as far as its numbers tell.

    All of them have schema 1. What an earlier release did not record is missing from the typed result: the rows behind
    an ELBO, the plain step beside a time, the noise of its clock.
    """
    measurements = found["measurements"] or {}
    if points := measurements.get("points"):
        measurements = {**measurements, "points": [_with_visible_bias(point) for point in points]}
    return {**found, "tags": found["tags"] or {}, "measurements": measurements}


def _with_visible_bias(point: Mapping[str, Any]) -> Mapping[str, Any]:
    """A point with the smallest relative bias that would have shown, from intervals that were symmetrical then."""
    bias = point.get("bias")
    if not bias or "smallest_visible" in bias:
        return point
    squared = bias.get("squared") or {}
    numbers = (squared.get("low"), squared.get("high"), (point.get("q") or {}).get("gradient_norm"))
    visible = smallest_visible(*(math.nan if x is None else float(x) for x in numbers))
    return {**point, "bias": {**bias, "smallest_visible": visible}}


def smallest_visible(low: float, high: float, gradient_norm: float) -> float:
    """Smallest relative bias whose interval would have excluded 0.

    Args:
        low, high: ends of the interval for the squared bias, which resolves squares down to half its width.
        gradient_norm: the norm of the reference gradient.

    Returns:
        sqrt((high - low) / 2) / gradient_norm; NaN where an end is missing or the gradient is 0.
    """
    if not gradient_norm > 0 or math.isnan(high - low):
        return math.nan
    return math.sqrt(max(0.0, high - low) / 2) / gradient_norm
