"""Published runs are those of their suites, each made by one commit of code that anyone can have."""

import hashlib
import json
import zipfile
from pathlib import Path

import pytest

from bench.run.store import Store
from bench.suite.load import load_suite, override
from bench.suite.plan import plan

RESULTS = Path(__file__).parents[2] / "results"

PUBLISHED = {
    "1e3733237bd989ec": (
        "sharpness",
        "moments exp/gaussian-3 at scale 1 reinforce[baseline=moving-average]",
    ),
    "0080b77b04c68006": (
        "mnist-linear",
        "time mnist-static/bernoulli-200/linear/learned-prior/signed relax",
    ),
    "50588bb51fdf3817": ("quick", "moments digits/gaussian-8/64/analytic reparameterization"),
    "325fd27e43ccd028": (
        "mnist-linear-elbo",
        "train mnist-static/bernoulli-200/linear/learned-prior/signed rloo, learning rate 0.001",
    ),
}
"""Cells of records in results/, by their file names in the archives."""


def test_published_records_are_still_those_of_their_suites() -> None:
    for cell, (name, title) in PUBLISHED.items():
        assert {found.id: found.title for found in plan(load_suite(name)).cells}[cell] == title


@pytest.mark.parametrize(
    ("name", "seeds", "digest"),
    [
        ("quick", 10, "4f9d402840f36b57"),
        ("sharpness", None, "a558d05521870b40"),
        ("budgets", None, "5449a81ce3ef0880"),
        ("mnist-linear", None, "62fc82bb647736cc"),
        ("mnist-linear-elbo", None, "78b27a654b045862"),
        ("disarm-variance", None, "2357e49dcf33f1d6"),
        ("mc-gradients", None, "087c926136eae34e"),
    ],
)
def test_a_suite_that_was_published_comes_to_the_records_in_results(name: str, seeds: int | None, digest: str) -> None:
    """Where it changes on purpose, results/NAME is out of date:
    `unzip -Z1 results/NAME/cells.zip | sed 's/.*\\///; s/.json$//' | LC_ALL=C sort | tr '\\n' ' ' | sha256sum`.
    """
    store = Store(RESULTS / name)
    chosen = plan(override(load_suite(name), seeds=seeds)).grown(lambda cell: store.read(cell.id))
    ids = sorted(cell.id for cell in chosen.cells)
    assert hashlib.sha256("".join(f"{cell} " for cell in ids).encode()).hexdigest()[:16] == digest


@pytest.mark.parametrize("archive", sorted(RESULTS.glob("*/cells.zip")), ids=lambda path: path.parent.name)
def test_a_published_study_is_of_one_clean_commit(archive: Path) -> None:
    """Whoever checks it out has the code that made every record."""
    with zipfile.ZipFile(archive) as records:
        provenance = [json.loads(records.read(name))["provenance"] for name in records.namelist()]
    assert len({record["commit"] for record in provenance}) == 1
    assert not any(record["dirty"] for record in provenance)
