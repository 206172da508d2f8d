"""What `gradest list` shows: plain rows, the same for the terminal and for JSON."""

from typing import Any

import bench.datasets
import estimators
from bench.problems.toys import OBJECTIVES
from bench.suite.load import load_suite, suite_names

Row = dict[str, Any]

SHORT = {
    "estimators": ("name", "families", "bound", "unbiased", "needs", "summary"),
    "problems": ("name", "families", "summary"),
    "datasets": ("name", "pixels", "rows", "dynamic", "summary"),
    "suites": ("name", "problems", "estimators", "seeds", "title"),
}
"""What fits a terminal; JSON has everything."""

VAE_FACTORS = "latents, architecture, bound elbo | iwae, entropy sampled | analytic, prior fixed | learned"


def short(what: str) -> list[Row]:
    """The rows' columns that fit a terminal."""
    return [{key: row[key] for key in SHORT[what]} for row in rows(what)]


def rows(what: str) -> list[Row]:
    """Rows for one of estimators, problems, datasets, suites."""
    return {"estimators": _estimators, "problems": _problems, "datasets": _datasets, "suites": _suites}[what]()


def _estimators() -> list[Row]:
    return [entry.tags() for entry in estimators.available()]


def _problems() -> list[Row]:
    toys = [
        {
            "name": name,
            "kind": "toy",
            "families": list(toy.families),
            "summary": toy.summary,
        }
        for name, toy in OBJECTIVES.items()
    ]
    summary = f"the shared VAE, Bernoulli likelihood; factors: {VAE_FACTORS}"
    return [*toys, {"name": "vae", "kind": "vae", "families": toys[0]["families"], "summary": summary}]


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
