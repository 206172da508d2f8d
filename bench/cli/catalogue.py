"""What `gradest list` shows: plain rows, the same for the terminal and for JSON."""

from typing import Any

import bench.datasets
import estimators
from bench.measure.base import MEASUREMENTS
from bench.problems.base import PROBLEMS, PointProblem, Problem, TrainedProblem
from bench.suite.load import load_suite, suite_names

Row = dict[str, Any]

SHORT = {
    "estimators": ("name", "families", "bound", "unbiased", "needs", "summary"),
    "problems": ("name", "families", "summary"),
    "datasets": ("name", "pixels", "rows", "dynamic", "summary"),
    "measurements": ("name", "problems", "summary"),
    "suites": ("name", "problems", "estimators", "seeds", "title"),
}
"""What fits a terminal; JSON has everything."""


def short(what: str) -> list[Row]:
    """The rows' columns that fit a terminal."""
    return [{key: row[key] for key in SHORT[what]} for row in rows(what)]


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
