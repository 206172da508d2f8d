"""What a file of published numbers holds: where they stand, how they were read, of what they are, and the numbers."""

import math
from collections import Counter
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from bench.bounds import Title, Word
from bench.published.judge import Number
from bench.published.protocols import Part, Protocol
from bench.records.identity import digest

_PROTOCOL: TypeAdapter[Protocol] = TypeAdapter(Protocol)
Line = Annotated[str, Field(min_length=1, max_length=1000)]


class Margin(Part):
    """A length: a share of a number and a fixed part beside it."""

    relative: Annotated[float, Field(ge=0, lt=1)] = 0.0
    absolute: Annotated[float, Field(ge=0)] = 0.0

    def of(self, value: float) -> float:
        """Its size at a number."""
        return self.relative * abs(value) + self.absolute


def check_matters(matters: Margin) -> None:
    """Refuse a table in which no difference would matter.

    Raises:
        ValueError: the margin is nothing.
    """
    if not (matters.relative or matters.absolute):
        raise ValueError("nothing would matter: give [matters] a share or a fixed part above 0")


class Source(Part):
    """Where the numbers stand, and how they came from there into the file."""

    paper: Title
    authors: Title
    year: Annotated[int, Field(ge=1950, le=2100)]
    venue: Word
    """A conference or journal, or the arXiv id."""
    place: Line
    """Table, figure, or file of the authors."""
    repository: Word = ""
    commit: Annotated[str, Field(pattern="^([0-9a-f]{40})?$")] = ""
    """Of the repository, all 40 digits."""
    read: Literal["printed", "read from a figure", "authors' file"]
    resolution: Line
    """How exactly they could be read, in a sentence; `error` says it in numbers."""
    spread: Line
    """What the published spread is, or that there is none."""

    @model_validator(mode="after")
    def _found_again(self) -> "Source":
        if self.read == "authors' file" and not (self.repository and self.commit):
            raise ValueError("numbers of the authors' file need its repository and commit")
        if bool(self.repository) != bool(self.commit):
            raise ValueError("repository and commit belong together: give both, or neither")
        return self


class Cell(Part):
    """One published number."""

    estimator: Word
    """As the source calls it."""
    at: dict[str, str | bool | int | float] = Field(default={})
    """Factors of the protocol that are this cell's own."""
    quantity: Word
    value: float
    error: Margin | None = None
    """Where it is another than the table's."""
    remark: str = ""


class Table(Part):
    """A table or figure of the literature."""

    title: Title
    metric: Line
    source: Source
    protocol: dict[str, Any]
    """Factors that all cells share."""
    estimators: dict[str, Word]
    """What the source calls an estimator, and how a person types ours: name[key=value,...]."""
    error: Margin
    """Half the width within which the source lets the number be: rounding, or the resolution of a reading."""
    matters: Margin
    """The smallest difference that would matter; see `bench.published.judge`."""
    sampled: tuple[Word, ...] = ()
    """Estimators, as the source calls them, whose numbers it sampled; those of all others it computed."""
    draws: Annotated[int, Field(ge=2)] | None = None
    """Draws behind a sampled number, where the source says so; without them its standard error is unknown."""
    remarks: tuple[Line, ...] = ()
    """What was found out where ours differs, or of the source itself."""
    cells: tuple[Cell, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _whole(self) -> "Table":
        check_matters(self.matters)
        for name in [*self.sampled, *(cell.estimator for cell in self.cells)]:
            if name not in self.estimators:
                raise ValueError(f"estimator {name!r} is not among those of [estimators]: {', '.join(self.estimators)}")
        keys = [(self.hash_of(place), cell.quantity) for place, cell in enumerate(self.cells)]
        if twice := [key for key, count in Counter(keys).items() if count > 1]:
            first = keys.index(twice[0])
            again = keys.index(twice[0], first + 1)
            raise ValueError(f"cells {first + 1} and {again + 1} are of the same protocol, estimator and quantity")
        return self

    def protocol_of(self, place: int) -> Protocol:
        """The protocol of the cell of this index.

        Raises:
            ValueError: a factor is wrong or missing, or the protocol has no such quantity.
        """
        cell = self.cells[place]
        where = f"cell {place + 1} ({cell.estimator})"
        if both := sorted(self.protocol.keys() & cell.at.keys()):
            raise ValueError(f"{where} says {', '.join(both)} again, which [protocol] fixes for all cells")
        try:
            found = _PROTOCOL.validate_python(self.protocol | cell.at)
        except ValidationError as error:
            first = error.errors()[0]
            factor = ".".join(str(part) for part in first["loc"][1:]) or "protocol"
            raise ValueError(f"{where}: {factor}: {first['msg'].removeprefix('Value error, ')}") from error
        if cell.quantity not in found.quantities:
            known = " or ".join(found.quantities)
            raise ValueError(f"{where}: quantity {cell.quantity!r} is none of this protocol's: {known}")
        return found

    def identity(self, place: int) -> dict[str, Any]:
        """What a measurement of the cell of this index is: its protocol with every factor, and our estimator."""
        factors = self.protocol_of(place).model_dump(mode="json")
        return {"protocol": factors, "estimator": self.estimators[self.cells[place].estimator]}

    def hash_of(self, place: int) -> str:
        """16 hex digits of the protocol and the estimator of the cell of this index."""
        return digest(self.identity(place))

    def number(self, place: int, standard_error: float | None = None) -> Number:
        """The published number of this index, with its errors.

        Args:
            place: index of the cell.
            standard_error: what `draws` draws of the source's come to, where it sampled the number.
        """
        cell = self.cells[place]
        error = (cell.error or self.error).of(cell.value)
        if cell.estimator not in self.sampled:
            return Number(cell.value, error)
        return Number(cell.value, error, standard_error, math.inf)
