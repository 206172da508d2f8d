"""The format of all studies: rows of measured quantities, kept as JSON and published as CSV and as a Markdown page.

The JSON holds everything that was measured and where; tables, pages and figures are made from it alone. pandas and the
report are imported where they are used, since what measures needs neither.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from numpy.typing import ArrayLike
from pydantic import BaseModel, ConfigDict

from bench.run.store import write_atomic
from bench.statistics import quartiles


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Row(_Part):
    """One quantity, measured in one case."""

    quantity: str
    case: dict[str, Any] = {}
    """What the quantity was measured of; each entry can be a column."""
    unit: str = ""
    value: float = math.nan
    """The median of repeated measurements, or an estimate; NaN where a row is a verdict in words."""
    low: float = math.nan
    high: float = math.nan
    """The quartiles of repeated measurements, or the ends of the estimate's 95 % interval."""
    n: int = 1
    """How many measurements."""
    values: tuple[float, ...] = ()
    """All of them in the order in which they were made, where a study keeps them."""
    target: float | None = None
    at_least: bool = False
    """Whether the value should reach the target; else it should not exceed it."""

    @classmethod
    def repeated(cls, quantity: str, measured: ArrayLike, *, keep: bool = True, **more: Any) -> Self:
        """Repeated measurements: their median, quartiles and number, and with `keep` each of them."""
        return cls.summary(quantity, quartiles(measured), **({"values": measured} if keep else {}), **more)

    @classmethod
    def summary(cls, quantity: str, found: Mapping[str, Any], **more: Any) -> Self:
        """The same from median, q25, q75 and n."""
        ends = {"value": found["median"], "low": found["q25"], "high": found["q75"], "n": found["n"]}
        return cls.model_validate({"quantity": quantity, **ends, **more})

    @property
    def bound(self) -> str:
        """What is asked of the value: `at most 2`, or nothing."""
        return "" if self.target is None else f"{'at least' if self.at_least else 'at most'} {self.target:g}"

    @property
    def met(self) -> str:
        """Whether the value meets the target: yes, no, or nothing where there is none."""
        if self.target is None:
            return ""
        return "yes" if (self.value >= self.target if self.at_least else self.value <= self.target) else "no"

    def columns(self) -> dict[str, Any]:
        """Everything that can be a column, by name; value and ends also as median and quartiles."""
        plain = self.model_dump(exclude={"case", "values"})
        quarters = {"median": self.value, "q25": self.low, "q75": self.high}
        return self.case | plain | quarters | {"bound": self.bound, "met": self.met}


class Run(_Part):
    """What was measured in one go, on one machine."""

    name: str
    provenance: dict[str, Any]
    about: dict[str, Any] = {}
    """What is true of all rows and stated on the page, such as a number of rounds."""
    rows: tuple[Row, ...]


class Results(_Part):
    """The runs of a study."""

    schema_version: Literal[1] = 1
    runs: tuple[Run, ...] = ()

    def replaced(self, run: Run) -> "Results":
        """With this run in the place of an earlier one of its name, or at the end."""
        by_name = {old.name: old for old in self.runs} | {run.name: run}
        return Results(schema_version=1, runs=tuple(by_name.values()))  # what is not set is not written


def read(path: Path) -> Results:
    """The results in a file; none where there is no file.

    Raises:
        pydantic.ValidationError: the file is of another form.
    """
    return Results.model_validate_json(path.read_bytes()) if path.exists() else Results()


def write(path: Path, results: Results) -> None:
    """Put results into place, whole, a row a line."""
    text = results.model_dump_json(exclude_unset=True)
    # Only the start of a row reads so: inside a text, quotes are escaped.
    write_atomic(path, (text.replace('{"quantity":', '\n{"quantity":') + "\n").encode())


def write_texts(folder: Path, texts: Mapping[str, str]) -> None:
    """Put files into a folder by name, each whole or not at all."""
    for name, text in texts.items():
        write_atomic(folder / name, text.encode())


def grouped(rows: Iterable[Row], *without: str) -> list[tuple[dict[str, Any], list[Row]]]:
    """Rows of the same case, apart from some of its entries, in the order of their first rows."""
    groups: dict[str, tuple[dict[str, Any], list[Row]]] = {}
    for row in rows:
        case = {key: value for key, value in row.case.items() if key not in without}
        groups.setdefault(repr(case), (case, []))[1].append(row)
    return list(groups.values())


def csv(rows: Iterable[Mapping[str, Any]], columns: Sequence[str] = ()) -> str:
    """Rows as CSV, numbers in full; what a row does not have stays empty."""
    import pandas as pd

    return pd.DataFrame(list(rows), columns=list(columns) or None).to_csv(index=False, lineterminator="\n")


def table(titles: Sequence[str], cells: Sequence[Sequence[str]], right: Iterable[str] | None = None) -> str:
    """A Markdown table.

    Args:
        titles: of the columns.
        cells: texts of each row.
        right: titles of the columns that stand right, in a table padded to be read as text; None pads nothing.
    """
    from bench.report.tables.render import pipe

    aligned = None if right is None else [title not in set(right) for title in titles]
    return "\n".join(pipe(titles, cells, aligned))


def page(title: str, *blocks: str) -> str:
    """A Markdown page: its title, and paragraphs, headings, lists and tables with an empty line between them."""
    return "\n\n".join([f"# {title}", *blocks]) + "\n"


def made_on(provenance: Mapping[str, Any]) -> str:
    """Versions and machine behind numbers, as every page states them."""
    return (
        f"gradest {provenance['gradest']}, torch {provenance['torch']}, {provenance['cpu']}, "
        f"{provenance['cores']} core{'s' * (provenance['cores'] != 1)}, load {provenance['load'][0]:.1f} at the start"
    )
