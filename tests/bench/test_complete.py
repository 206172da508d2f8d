"""What a shell completes: the names that there are, without torch, in no time that a person notices."""

import os
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

import estimators
from bench.cli import complete
from bench.cli.catalogue import NEEDS
from bench.datasets.base import SOURCES
from bench.problems.base import PROBLEMS
from bench.report.compare.verdict import FAILS
from bench.suite.load import suite_names
from bench.suite.schema import Device
from estimators.bounds import Bound
from estimators.families import FAMILIES


def ours(name: str, module: str) -> bool:
    """Whether it is no other test's."""
    return module.partition(".")[0] in ("estimators", "bench")


def test_the_names_are_those_of_the_registries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    entries = [entry for entry in estimators.available() if ours(entry.name, entry.cls.__module__)]
    assert complete.named("estimators") == sorted(entry.name for entry in entries)
    assert complete.named("families") == sorted(n for n, f in FAMILIES.items() if ours(n, type(f).__module__))
    assert complete.named("problems") == sorted(n for n, c in PROBLEMS.all().items() if ours(n, c.__module__))
    datasets = [n for n, source in SOURCES.all().items() if ours(n, source.parse.__module__)]
    assert complete.named("datasets") == sorted(datasets)
    assert complete.suites() == suite_names()
    assert (set(complete.NEEDS), complete.BOUNDS) == (set(NEEDS), get_args(Bound))
    assert (get_args(Device), FAILS) == (complete.DEVICES, complete.CHANGES)


def test_what_was_begun_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for run in ("runs/quick", "quiet"):
        (tmp_path / run).mkdir(parents=True)
        (tmp_path / run / "suite.toml").touch()
    (tmp_path / "quicker.toml").touch()
    assert complete.suite("qui") == ["quick", "quicker.toml"]
    assert complete.run("qui") == ["quiet"]
    assert complete.run("r") == ["runs/quick"]
    assert complete.estimator("vim") == ["vimco"]
    assert complete.family("gau") == ["gaussian"]
    assert complete.change("slower,fa") == ["slower,faster"]


@pytest.mark.parametrize(
    ("words", "found"),
    [("gradest ch", "check"), ("gradest check vimc", "vimco"), ("gradest run qui", "quick"),
     ("gradest list est", "estimators"), ("gradest list estimators --family bern", "bernoulli")],
)  # fmt: skip
def test_a_shell_gets_it_without_torch(tmp_path: Path, words: str, found: str) -> None:
    """As bash asks; what is imported says what it costs, on a machine of whatever load."""
    program = (
        "import sys; from bench.cli import main\n"
        "try: main()\n"
        "finally: print([m for m in ('torch', 'numpy', 'scipy', 'pandas') if m in sys.modules], file=sys.stderr)"
    )
    asked = {"_GRADEST_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=os.environ | asked,
        check=False,
    )
    assert done.stdout.split() == [found], done.stderr
    assert done.stderr.strip() == "[]"
