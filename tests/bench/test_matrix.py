"""`gradest run SUITE --dry-run`: estimators by problems, with counts, and what is left out."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.cli.matrix import left_out
from bench.suite.plan import Skipped
from tests.bench.command import Done
from tests.bench.plain import Store
from tests.bench.test_suite import SMALL

RUN = ["run", "small.toml", "-e", "disarm", "-e", "rloo"]


@pytest.fixture
def small(tmp_path: Path) -> None:
    """Two toys at two places each, beside the VAE, and one of the toys for Gaussian latents."""
    toys = (
        'problems = [\n    {kind = "toy", objective = "cubic", family = "gaussian", latents = 2, scales = [0.1, 0.5]},'
    )
    (tmp_path / "small.toml").write_text(SMALL.replace("problems = [", toys))


def test_counts_stand_under_their_problem(
    gradest: Callable[..., Done], small: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, world: list[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    (tmp_path / "small.toml").write_text((tmp_path / "small.toml").read_text())
    cells = json.loads(gradest(*RUN, "--dry-run", "--json").out)["cells"]
    done = gradest(*RUN, "--dry-run")
    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    problems = {
        kind: dict.fromkeys(c["problem"] for c in cells if c["measurement"] == kind) for kind in ("moments", "train")
    }
    key = ", ".join(f"{n} = {p}" for n, p in enumerate(problems["moments"], 1))
    assert " ".join(lines).startswith(f"moments, cells on {key} estimator ")
    counts = {
        name: [
            sum((c["measurement"], c["problem"], c["estimator"]) == ("moments", p, name) for c in cells)
            for p in problems["moments"]
        ]
        for name in ("disarm", "rloo")
    }
    assert counts["disarm"].count(0) == 1  # it is not for Gaussian latents
    for name, row in counts.items():
        assert f"{name} {' '.join(str(n) if n else '.' for n in row)}" in lines
    assert any(line.startswith("train and time, cells on 1 = ") for line in lines)  # with the same cells, once
    assert "left out: disarm on cubic/gaussian-2: it is for bernoulli latents, not gaussian" in lines
    assert lines[-1] == f"{len(cells)} cells, into runs/small (--verbose lists them)"
    assert max(map(len, done.out.splitlines())) <= 80
    assert not (tmp_path / "runs").exists()

    gradest(*RUN)
    Store(tmp_path / "runs" / "small").path(cells[0]["cell"]).unlink()
    lines = [" ".join(line.split()) for line in gradest(*RUN, "--dry-run").out.splitlines()]
    assert lines[-1] == f"{len(cells)} cells, {len(cells) - 1} of them done, into runs/small (--verbose lists them)"
    assert "rloo 1/1" in lines  # trainings and times
    assert [c["done"] for c in json.loads(gradest(*RUN, "--dry-run", "--json").out)["cells"]].count(False) == 1


def test_problems_that_have_no_room_make_another_block(
    gradest: Callable[..., Done], small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "46")
    said = gradest(*RUN, "--dry-run").out
    assert "moments, cells on 1 = " in said
    assert "moments, cells on 3 = " in said
    assert max(map(len, said.splitlines())) <= 46


def test_what_is_left_out_for_one_reason_is_one_sentence() -> None:
    skipped = [Skipped(p, e, r) for p, e, r in (
        ("x", "b", "needs z"), ("y", "b", "needs z"), ("x", "a", "needs z"), ("y", "a", "needs z"),
        ("x", "c", "needs z"), ("y", "a", "is new"),
    )]  # fmt: skip
    assert left_out(skipped) == [
        "left out: 2 estimators on x, y: each needs z: a, b",
        "left out: c on x: it needs z",
        "left out: a on y: it is new",
    ]


def test_json_of_a_run_is_its_outcome_and_all_else_is_on_stderr(
    gradest: Callable[..., Done], world: list[str], tmp_path: Path
) -> None:
    done = gradest("run", "small.toml", "-e", "arm", "--json")
    found = json.loads(done.out)
    assert done.code == found["exit_code"] == 1
    assert (found["done"], found["cells"], found["failed"], found["pending"]) == (5, 5, 1, 0)
    assert found["report"] == "runs/small/report.html"
    assert "ran 5 cells in 5 s" in done.err


def test_a_quiet_run_says_where_its_report_is_and_a_verbose_one_each_cell(
    gradest: Callable[..., Done], world: list[str]
) -> None:
    quiet = gradest("run", "small.toml", "-e", "rloo", "--quiet")
    assert quiet == (0, "report: runs/small/report.html\n", "")
    assert gradest("--quiet", "status", "runs/small").out.startswith("suite small in runs/small: 5 of 5 cells done")
    verbose = gradest("run", "small.toml", "-e", "rloo", "--force", "-v")
    assert verbose.err.count("\nok: ") == 5
