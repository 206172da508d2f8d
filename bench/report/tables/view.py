"""A table for reading: which columns it prints, in which words, in sections of one problem each."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import pandas as pd

from bench.report.text import DAGGER, count, interval, missing, number, plural, span

Row = Mapping[str, Any]

# What every csv begins and ends with.
HEAD = (
    "problem",
    "setting",
    "family",
    "dataset",
    "bound",
    "entropy",
    "estimator",
    "name",
    "samples",
    "unbiased",
)
BUDGET = ("budget", "relative_to", "relative_to_budget")
"""Of a ratio: evaluations of f a row, the label of the reference, and the evaluations of that."""
TAIL = ("device", "threads", "matmul_precision", "machine", "status", "reason", "cell")


class Column(NamedTuple):
    """A printed column."""

    title: str
    text: Callable[[Row], str]
    left: bool = False  # words stand left, numbers right
    name: str = ""  # of the csv's column that it prints, where there is one
    order: str = ""  # the column of the frame by which a page sorts, where that is another one

    @property
    def by(self) -> str:
        """The column of the frame by which a page sorts; empty where that is the text."""
        return self.order or ("" if self.left else self.name)


class Section(NamedTuple):
    """The rows of one problem, as text."""

    heading: str
    about: str  # data set, latent family, bound
    cells: list[list[str]]
    sound: list[bool]  # whether the row's cell is ok
    rows: Sequence[Row] = ()  # what the cells were made of


class Table(NamedTuple):
    """A table ready to be written: the full frame for csv and the printed sections for reading."""

    name: str
    title: str
    caption: str
    columns: tuple[Column, ...]
    frame: pd.DataFrame
    csv: list[str]  # columns of the csv
    sections: list[Section]
    brief: tuple[str, ...] = ()  # names or titles of the columns that fit a page of a paper; all where empty


def about(row: Row) -> str:
    """The benchmark a row belongs to: `digits, bernoulli latents, ELBO, sampled entropy`.

    And, where it was not on the CPU, on which device, and how exact products of matrices are, where that is not float32
    throughout.
    """
    parts = [] if missing(row["dataset"]) else [str(row["dataset"])]
    parts += [] if missing(row["family"]) else [f"{row['family']} latents"]
    parts += [] if missing(row["bound"]) else [str(row["bound"]).upper()]
    parts += [] if missing(row["entropy"]) else [f"{row['entropy']} entropy"]
    parts += [] if missing(row["device"]) or row["device"] == "cpu" else [f"on {row['device']}"]
    parts += [] if row["matmul_precision"] == "highest" else [f"matmul precision {row['matmul_precision']}"]
    return ", ".join(parts)


def label(row: Row) -> str:
    """The estimator's label, with a dagger where it is declared biased."""
    return str(row["label"]) if row["unbiased"] else f"{row['label']} {DAGGER}"


def note(row: Row, *remarks: str) -> str:
    """Remarks and, for a cell that is not ok, its status and reason; joined by `;`."""
    parts = [remark for remark in remarks if remark]
    if row["status"] != "ok":
        parts.append(str(row["status"]) if missing(row["reason"]) else f"{row['status']}: {row['reason']}")
    return "; ".join(parts)


def ends(name: str) -> list[str]:
    """Columns of an interval: the estimate, its low and its high end."""
    return [name, f"{name}_low", f"{name}_high"]


def with_interval(name: str, factor: float = 1.0) -> Callable[[Row], str]:
    """Prints an estimate with its interval, multiplied to change its unit."""
    return lambda row: interval(*(factor * row[column] for column in ends(name)))


def moment(row: Row, name: str) -> str:
    """A number of moments with its interval, or marked as exact."""
    if row["exact"] and missing(row[f"{name}_low"]) and not missing(row[name]):
        return f"{number(row[name], 4)} (exact)"
    return with_interval(name)(row)


def budgets(row: Row) -> str:
    """Behind a ratio, ` (6 to 2)`: evaluations of f of the estimator and of its reference, where those differ."""
    own, other = row["budget"], row["relative_to_budget"]
    known = not (missing(own) or missing(other))
    return f" ({count(own)} to {count(other)})" if known and own != other else ""


def further_words(frame: pd.DataFrame) -> str:
    """That decoders are trained by draws of their own, a sentence for a caption; empty where none is.

    Such as ` Decoder and prior are trained by 1 further evaluation of f a row in each step, which f-evals leave out.`
    """
    counts = sorted({int(n) for n in frame.get("further_evaluations", pd.Series(dtype=float)).dropna()})
    if not any(counts):
        return ""
    evaluations = " or ".join([*map(str, counts[:-1]), plural(counts[-1], "further evaluation")])
    return f" Decoder and prior are trained by {evaluations} of f a row in each step, which f-evals leave out."


def budget_words(frame: pd.DataFrame, relative_to: str) -> str:
    """At which evaluations of f ratios to a reference are taken, a sentence for a caption; empty where unknown."""
    own, other = frame["budget"], frame["relative_to_budget"]
    known = own.notna() & other.notna()
    if not known.any():
        return ""
    equal = f"{relative_to} at equal evaluations of f a row"
    if (own == other)[known].all():
        return f"Compared with {equal}."
    return (
        f"Compared with {equal} where it was measured with as many; where not, both numbers stand behind, the "
        f"estimator's to {relative_to}'s, as in (4 to 2)."
    )


def draws(row: Row) -> str:
    """The number of draws behind a row: `5 x 5 x 200` of that many trajectories, minibatches and draws."""
    if row["exact"]:
        return "exact"
    several = [] if math.isnan(row["trajectories"]) else [count(row["trajectories"]), count(row["minibatches"])]
    return " x ".join([*several, count(row["draws"])])


def how(frame: pd.DataFrame) -> list[str]:
    """Columns of a csv that say which rows are exact, to which tolerance, and why the others are not.

    None where nobody asked for exact ones.
    """
    asked = exact_words(frame) or ("sampled_because" in frame and frame["sampled_because"].notna().any())
    return ["method", "tolerance", "sampled_because"] if asked else []


def exact_words(frame: pd.DataFrame) -> str:
    """How exact rows were got, for a caption; nothing where there are none."""
    rows = frame[frame["exact"].astype(bool)] if "exact" in frame else frame[:0]
    if rows.empty:
        return ""
    reached = number(float(rows["tolerance"].max()), 1)
    return f"by integration over the estimator's noise, to a relative error of {reached}"


def settled_words(frame: pd.DataFrame) -> str:
    """In which state estimators that have one are measured, a sentence for a caption; empty where nothing is exact."""
    steps = [float(count) for count in frame["warm_up"].dropna()] if exact_words(frame) else []
    if not any(steps):
        return ""
    count = span(min(steps), max(steps))
    return f"Running state and own parameters, of exact and of sampled points, stand still after {count} warm-up steps."


def why_sampled(row: Row) -> str:
    """Why a row that was to be exact is not: of the record's sentence the clause that names the cause."""
    if missing(row["sampled_because"]):
        return ""
    return f"sampled: {str(row['sampled_because']).rpartition(': ')[2].partition(';')[0]}"


def flags(row: Row, rare: str = "rare") -> list[str]:
    """Why an interval of a gradient's moments is not to be trusted as it stands.

    Args:
        row: of moments.
        rare: the column that says whether outcomes are too rare: for the test of some coordinates, or, `variance_rare`,
            for the sum over all of them, to which coordinates that hardly ever move add nothing.
    """
    unseen = row["at_rounding"] and row["rare"]
    words = "rare outcomes never drawn" if unseen else "rare outcomes" if row[rare] else ""
    return ["heavy tails" if row["heavy_tailed"] else "", words]


ESTIMATOR = Column("estimator", label, left=True, name="estimator")
UNBIASED = Column("unbiased", lambda row: "yes" if row["unbiased"] else "no", left=True, name="unbiased")


def rows_of(frame: pd.DataFrame) -> list[Row]:
    """The rows of a frame as mappings, as `to_dict("records")` gives them, which makes a Series of every row first.

    Of a few rows and a hundred columns, as there are at a point, a Series of every column would take longest.
    """
    names = [str(name) for name in frame.columns]
    return [dict(zip(names, row, strict=True)) for row in frame.to_numpy(dtype=object).tolist()]


def _sections(frame: pd.DataFrame, columns: tuple[Column, ...]) -> Iterator[Section]:
    for heading, members in groupby(rows_of(frame), key=lambda row: str(row["section"])):
        group = list(members)
        cells = [[column.text(row) for column in columns] for row in group]
        yield Section(heading, about(group[0]), cells, [row["status"] == "ok" for row in group], group)


def table(
    name: str,
    title: str,
    caption: str,
    columns: tuple[Column, ...],
    frame: pd.DataFrame,
    csv: list[str],
    brief: tuple[str, ...] = (),
) -> Table:
    """Print a frame, sorted already, in sections of one problem each."""
    return Table(name, title, caption, columns, frame, csv, list(_sections(frame, columns)), brief)


def csv_columns(*names: str) -> list[str]:
    """Columns of a csv: the names of the cell, what is measured, and where the numbers come from."""
    return [*HEAD, *names, *TAIL]


def with_ends(*names: str) -> list[str]:
    """Each name followed by the columns of its interval."""
    return [column for name in names for column in ends(name)]
