"""Bounds that trainings reached in the literature, beside those of records of the same protocol.

A file of `trainings/` is a published table and names the suite that says its protocol in full. A report knows records
and no suites: `trainings/protocols.csv` has for each published number the hash of its protocol
(`bench.records.identity`), which a study makes from the suites.
"""

import csv
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, model_validator

from bench.bounds import Title, Word
from bench.published.judge import Number
from bench.published.load import TABLES, read_file
from bench.published.protocols import Part
from bench.published.table import Line, Margin, Source, check_matters
from estimators.errors import BadInput

TRAININGS = TABLES / "trainings"
PROTOCOLS = "protocols.csv"
"""In that folder."""
COLUMNS = ("table", "problem", "estimator", "protocol")
"""Of that file: which table, the problem and the estimator as it calls them, and the hash of the cell's protocol."""
Bound = Literal["train_elbo", "test_elbo", "test_iwae"]
SPREADS = {"standard deviation": "sd", "standard error": "se", "none": ""}
"""What a published spread may be, and how it is printed."""
Rate = Annotated[float, Field(gt=0)]


class TrainedCell(Part):
    """One published number."""

    problem: Word
    """Its label in the suite."""
    estimator: Word
    """As the source calls it."""
    value: float
    """As it is published, of whichever sign."""
    spread: Annotated[float, Field(ge=0)] | None = None
    rate: Rate | None = None
    """The learning rate of this number, where the source says it."""
    error: Margin | None = None
    """Where it is another than the table's."""


class TrainedTable(Part):
    """A table of bounds that trainings reached."""

    title: Title
    suite: Word
    """Which says the protocol of its cells in full."""
    source: Source
    bound: Bound
    """The number of a record that a cell stands beside."""
    best: bool = False
    """Whether it is the best along the curve, and not the last."""
    negative: bool = False
    """Whether the source gives minus the bound."""
    steps: Annotated[int, Field(ge=1)]
    """Of each training."""
    rates: tuple[Rate, ...] = ()
    """Learning rates of which a cell's is the best."""
    spread: Literal["standard deviation", "standard error", "none"]
    """Of a cell over its seeds."""
    seeds: Annotated[int, Field(ge=1)] | None = None
    """Behind each number, where the source says so."""
    estimators: dict[str, Word]
    """What the source calls an estimator, and how the suite types ours: name[key=value,...]."""
    error: Margin
    """Half a unit of the last printed digit."""
    matters: Margin
    """The smallest difference that would matter; see `bench.published.judge`."""
    remarks: tuple[Line, ...] = ()
    """What a reader has to know of the source, and of what of its protocol the suite is not."""
    cells: tuple[TrainedCell, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _whole(self) -> "TrainedTable":
        check_matters(self.matters)
        if self.best and self.bound == "test_iwae":
            raise ValueError("the best along the curve is one of train_elbo or test_elbo: a curve has no test_iwae")
        if self.spread == "standard deviation" and (self.seeds or 0) < 2:
            raise ValueError("a standard deviation is one of two seeds or more: give seeds")
        for place, cell in enumerate(self.cells):
            where = f"cell {place + 1} ({cell.estimator} on {cell.problem})"
            if cell.estimator not in self.estimators:
                raise ValueError(f"{where}: its estimator is not among [estimators]: {', '.join(self.estimators)}")
            if (cell.spread is None) != (self.spread == "none"):
                raise ValueError(f'{where}: give every cell a spread, or say spread = "none"')
            if cell.rate is None and not self.rates:
                raise ValueError(f"{where}: give its rate, or the rates of which it is the best")
            if cell.rate is not None and self.rates and not any(same_rate(cell.rate, rate) for rate in self.rates):
                raise ValueError(f"{where}: its rate {cell.rate:g} is none of rates")
        counts = Counter((cell.problem, cell.estimator) for cell in self.cells)
        if twice := [key for key, count in counts.items() if count > 1]:
            raise ValueError(f"{twice[0][1]} on {twice[0][0]} stands there twice")
        return self

    def number(self, cell: TrainedCell) -> Number:
        """A published bound, of the sign that ours has, with its errors."""
        value = -cell.value if self.negative else cell.value
        error = (cell.error or self.error).of(cell.value)
        if cell.spread is None:
            return Number(value, error, None)
        if self.spread == "standard deviation":
            assert self.seeds is not None
            return Number(value, error, cell.spread / math.sqrt(self.seeds), self.seeds)
        return Number(value, error, cell.spread, self.seeds or math.inf)


class Beside(NamedTuple):
    """A published number of some protocol."""

    table: str
    """By the name of its file."""
    of: TrainedTable
    cell: TrainedCell


def same_rate(one: float, other: float) -> bool:
    """Whether two learning rates are one in three digits, as sources and reports print them."""
    return f"{one:.2e}" == f"{other:.2e}"


def trained_tables(folder: Path | None = None) -> dict[str, TrainedTable]:
    """All tables of trainings, those of the package or of a folder, by name.

    Raises:
        BadInput: one of them is wrong.
    """
    return {path.stem: read_file(path, TrainedTable) for path in sorted((folder or TRAININGS).glob("*.toml"))}


def published(protocols: Sequence[str], folder: Path | None = None) -> Mapping[str, Sequence[Beside]]:
    """The published numbers of each of these protocols that has some; tables of no such number are not read.

    Raises:
        BadInput: one of the tables is wrong, or is not the one that the protocols were made of.
    """
    folder, wanted = folder or TRAININGS, set(protocols)
    with (folder / PROTOCOLS).open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["protocol"] in wanted]
    tables = {name: read_file(folder / f"{name}.toml", TrainedTable) for name in {row["table"] for row in rows}}
    found: dict[str, list[Beside]] = {}
    for row in rows:
        table = tables[row["table"]]
        cells = [one for one in table.cells if (one.problem, one.estimator) == (row["problem"], row["estimator"])]
        if not cells:
            raise BadInput(
                f"{folder / PROTOCOLS} knows {row['estimator']} on {row['problem']}, and {row['table']}.toml does not: "
                "make it anew (docs/records.md says how)"
            )
        found.setdefault(row["protocol"], []).append(Beside(row["table"], table, cells[0]))
    return found
