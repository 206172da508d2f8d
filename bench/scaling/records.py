"""What was measured, as scaling.json holds it; tables and figures are made of this alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from bench.run.store import write_atomic
from bench.statistics import quartiles

NAME = "scaling.json"

Quantity = Literal["seconds", "bytes"]
Growth = Literal["linear", "constant"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Point(_Part):
    """The cost at one size."""

    size: int
    median: float
    q25: float
    q75: float
    n: int
    values: tuple[float, ...]
    """The n costs, in the order in which they were measured: round by round."""

    @classmethod
    def of(cls, size: int, values: Sequence[float]) -> "Point":
        """A point with its median and quartiles."""
        return cls.model_validate({"size": size, "values": tuple(values), **quartiles(values)})


class Series(_Part):
    """One subject's cost over the sizes."""

    subject: str
    setting: str
    """What is held fixed."""
    quantity: Quantity
    expected: Growth
    """How the work grows: in proportion to the size, or not at all."""
    threads: int
    points: tuple[Point, ...]


class FactorRecord(_Part):
    """All that was measured of one factor, in one go."""

    factor: str
    unit: str
    """What a size counts, as an axis names it."""
    method: str
    """How the cost was measured."""
    provenance: dict[str, Any]
    seconds: float
    """That the measurement took."""
    series: tuple[Series, ...]


class Scaling(_Part):
    """All factors."""

    schema_version: Literal[1] = 1
    factors: tuple[FactorRecord, ...] = ()

    def replaced(self, record: FactorRecord) -> "Scaling":
        """With this factor in the place of an earlier measurement of it, or at the end."""
        names = [old.factor for old in self.factors]
        if record.factor not in names:
            return Scaling(factors=(*self.factors, record))
        return Scaling(factors=tuple(record if old.factor == record.factor else old for old in self.factors))


def read(folder: Path) -> Scaling:
    """The measurements in a folder; none where there is no file.

    Raises:
        pydantic.ValidationError: the file is of another form.
    """
    path = folder / NAME
    return Scaling.model_validate_json(path.read_bytes()) if path.exists() else Scaling()


def write(folder: Path, scaling: Scaling) -> None:
    """Put the measurements into place, whole."""
    write_atomic(folder / NAME, (scaling.model_dump_json(indent=1) + "\n").encode())
