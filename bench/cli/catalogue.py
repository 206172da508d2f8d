"""What `gradest list` shows: plain rows, the same for the terminal and for JSON."""

from collections.abc import Sequence
from typing import Any, NamedTuple, get_args

import bench.datasets
import estimators
from bench.cli.tables import UNBOUNDED, width
from bench.measure.base import MEASUREMENTS
from bench.problems.base import PROBLEMS, PointProblem, Problem, TrainedProblem
from bench.suite.load import load_suite, suite_names
from estimators.bounds import Bound
from estimators.errors import BadInput, unknown
from estimators.families import FAMILIES, family_named

Row = dict[str, Any]
FEW = 2
"""Families that are named where there is little room."""

SHORT = {
    "estimators": ("name", "families", "bound", "unbiased", "needs", "summary"),
    "problems": ("name", "families", "summary"),
    "datasets": ("name", "pixels", "rows", "dynamic", "summary"),
    "measurements": ("name", "problems", "summary"),
    "suites": ("name", "problems", "estimators", "seeds", "title"),
}
"""What fits a terminal; JSON has everything."""
BELOW = {what: columns[-1] for what, columns in SHORT.items()}
"""The sentence of each row, which stands under it on a narrow terminal."""
NEEDS = {"values": "neither", "gradient": "gradient of f", "relaxed": "relaxed f"}
"""What `--needs` takes, and the tag that it stands for."""


class Wanted(NamedTuple):
    """Which rows of a list are asked for; None where all are."""

    family: str | None = None
    unbiased: bool | None = None
    needs: str | None = None
    bound: str | None = None


def chosen(what: str, wanted: Wanted) -> list[Row]:
    """The rows that are asked for.

    Raises:
        BadInput: an unknown family, need or bound, or one that such rows do not have.
    """
    given = {key: value for key, value in wanted._asdict().items() if value is not None}
    taken = {"estimators": Wanted._fields, "problems": ("family",)}.get(what, ())
    for key in given:
        if key not in taken:
            raise BadInput(f"--{key} chooses among {'estimators or problems' if key == 'family' else 'estimators'}, "
                           f"and {what} have none; leave it out")  # fmt: skip
    found = rows(what)
    if wanted.family is not None:
        name = family_named(wanted.family).name
        found = [row for row in found if name in row["families"]]
    if wanted.unbiased is not None:
        found = [row for row in found if row["unbiased"] == wanted.unbiased]
    for key, value, known in (
        ("needs", wanted.needs, NEEDS),
        ("bound", wanted.bound, {bound: bound for bound in get_args(Bound)}),
    ):
        if value is not None:
            if value not in known:
                raise BadInput(unknown(key, value, list(known)))
            found = [row for row in found if row[key] == known[value]]
    return found


def short(what: str, found: Sequence[Row]) -> list[Row]:
    """The columns that fit a terminal, of some rows; families that are many are counted where it is narrow."""
    narrow = width() < UNBOUNDED
    shown = [{key: row[key] for key in SHORT[what]} for row in found]
    return [{key: _counted(key, value) if narrow else value for key, value in row.items()} for row in shown]


def _counted(key: str, value: Any) -> Any:
    if key == "families" and len(value) > FEW:
        return "all" if len(value) == len(FAMILIES) else f"{len(value)} of {len(FAMILIES)}"
    return {tag: word for word, tag in NEEDS.items()}.get(value, value) if key == "needs" else value


def rows(what: str) -> list[Row]:
    """Rows for one of the keys of `SHORT`."""
    return {
        "estimators": _estimators,
        "problems": _problems,
        "datasets": _datasets,
        "measurements": _measurements,
        "suites": _suites,
    }[what]()


def _estimators() -> list[Row]:
    return [entry.tags() for entry in estimators.available()]


def _problems() -> list[Row]:
    return [row for kind, cls in PROBLEMS.all().items() for row in cls.listed(kind)]


def _measurements() -> list[Row]:
    sorts = {Problem: "all", PointProblem: "of a fixed q", TrainedProblem: "trained"}
    return [
        {"name": name, "problems": sorts[cls.asks], "summary": (cls.__doc__ or "").partition("\n")[0]}
        for name, cls in MEASUREMENTS.all().items()
    ]


def _datasets() -> list[Row]:
    return [
        {
            "name": info.name,
            "pixels": info.pixels,
            "rows": list(info.rows),
            "dynamic": info.dynamic,
            "grey": info.grey,
            "licence": info.licence,
            "summary": info.summary,
            "citation": info.citation,
        }
        for info in bench.datasets.available()
    ]


def _suites() -> list[Row]:
    found = ((name, load_suite(name)) for name in suite_names())
    return [
        {
            "name": name,
            "problems": len(suite.problems),
            "estimators": len(suite.estimators),
            "seeds": suite.seeds,
            "title": suite.title,
        }
        for name, suite in found
    ]
