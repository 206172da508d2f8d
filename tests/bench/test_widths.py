"""No line of any verb is longer than a terminal of 80 columns; in a pipe a row is a line."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import bench.cli.doctor
from bench.cli import VERBS
from bench.cli.loudness import ASKED
from bench.cli.tables import UNBOUNDED, print_json, width
from tests.bench.command import Done
from tests.bench.screens import screen
from tests.bench.test_compare import folder, made, times, variances

LONG = "reinforce[baseline=input-dependent,variance_normalisation=true]"


@pytest.fixture
def runs(tmp_path: Path) -> None:
    for name, ratio in (("A", 2.0), ("B", 9.0)):
        time = made("time", times((9.0, 0.01), (ratio, 0.01)), label=LONG, host=name)
        failed = made("moments", {}, label=LONG, status="failed") | {"reason": "RuntimeError: " + 20 * "no such luck "}
        folder(tmp_path / name, [time, made("moments", variances((0, 4.0, 0.1)), label="a"), failed])


@pytest.mark.parametrize(
    "arguments",
    [
        *(["list", what] for what in ("estimators", "problems", "datasets", "measurements", "suites")),
        *([verb, "--help"] for verb in VERBS),
        ["--help"],
        ["report", "-h"],
        ["--version"],
        ["compare", "A", "B", "--all"],
        ["status", "A"],
        ["doctor"],
        ["atlas", "--logit", "2", "--latents", "4", "--f-evals", "8"],
        ["run", "quick", "--dry-run"],
        ["run", "quick", "--dry-run", "--verbose"],
    ],
    ids=" ".join,
)
def test_80_columns_are_enough(
    gradest: Callable[..., Done], runs: None, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    notes = [{"what": "data omniglot", "found": "not here", "note": 9 * "download it from https://where/it/is "}]
    monkeypatch.setattr(bench.cli.doctor, "examine", lambda: notes)
    monkeypatch.setenv("COLUMNS", "80")
    done = gradest(*arguments)
    assert done.out.strip()
    assert done.err == ""
    assert max(map(len, done.out.splitlines())) <= 80


def test_a_list_chooses_and_keeps_names_whole(gradest: Callable[..., Done], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    chosen = ["list", "estimators", "--family", "bernoulli", "--unbiased", "--needs", "values", "--bound", "iwae"]
    lines = [line.rstrip() for line in gradest(*chosen).out.splitlines()]
    assert [line.split() for line in lines if line[:1] != " "] == [
        ["name", "families", "bound", "unbiased", "needs"],
        *([name, families, "iwae", "yes", "values"] for name, families in (
            ("arms-iwae", "bernoulli"), ("disarm-iwae", "bernoulli"), ("iwae-score", "all"), ("ovis", "all"),
            ("vimco", "all"),
        )),
    ]  # fmt: skip
    every = gradest("list", "estimators", "--biased").out
    assert "\nstraight-through-gumbel-softmax " in every and "rloo" not in every
    monkeypatch.delenv("COLUMNS")
    piped = gradest(*chosen).out.splitlines()
    assert len(piped) == 6
    assert "leave-one-out baseline" in piped[-1]
    assert "gaussian bernoulli categorical" in piped[-1]


def test_the_width_is_that_of_the_terminal_unless_columns_say_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert width() == UNBOUNDED
    monkeypatch.setenv("COLUMNS", "77")
    assert width() == 77
    monkeypatch.setattr(ASKED, "quiet", True)
    assert width() == UNBOUNDED  # the last line is not the half of a sentence
    monkeypatch.setattr(ASKED, "quiet", False)
    for nothing in ("", "0", "many"):
        monkeypatch.setenv("COLUMNS", nothing)
        assert width() == UNBOUNDED


def test_what_has_no_number_is_no_json() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        print_json({"a": float("nan")})


def test_a_real_terminal_of_80_columns(tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "COLUMNS"}
    with screen(80) as terminal:
        command = [sys.executable, "-m", "bench", "list", "estimators"]
        subprocess.run(command, cwd=tmp_path, stdout=terminal.file, env=environment | {"TERM": "xterm"}, check=True)
    assert len(terminal.lines) > 100
    assert max(map(len, terminal.lines)) <= 80
