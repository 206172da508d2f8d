"""The timing suite: what its JSON becomes, never how long anything took."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.run.status import run_suite_of
from bench.studies.timing import targets
from bench.suite.load import load_suite
from bench.suite.plan import plan
from tests.bench.plain import Store
from tests.bench.processes import forked

ROOT = Path(__file__).parents[2]


def noted(what: str, median: float, **more: Any) -> dict[str, Any]:
    ratio = {"median": median, "q25": median - 0.1, "q75": median + 0.1, "n": 7}
    return {"extra_info": {"what": what, "ratio": ratio, "threads": 2, **more}}


def step(median: float, dataset: str, learns: bool, device: str = "cpu") -> dict[str, Any]:
    problem = {"dataset": dataset, "label": f"{dataset}/bernoulli-200"}
    record = {"config": {"problem": problem, "device": device, "estimator": {"label": "rloo"}}}
    return noted("step / floor", median, learns=learns, record=record)


@pytest.mark.parametrize(
    ("measured", "bound", "met"),
    [
        (step(1.2, "mnist-static", False), "at most 1.2", "yes"),
        (step(1.21, "mnist-static", False), "at most 1.2", "no"),
        (step(1.21, "mnist-static", True), "at most 1.5", "yes"),
        (step(1.51, "mnist-static", True), "at most 1.5", "no"),
        (step(9.0, "digits", False), "", ""),
        (noted("rows a second / floor", 0.7, estimator="rloo"), "at least 0.7", "yes"),
        (noted("rows a second / floor", 0.69, estimator="rloo"), "at least 0.7", "no"),
        (noted("plain loop / moments, digits", 9.9, estimator="rloo"), "at least 10", "no"),
        (noted("10 seeds / 1 seed", 1.9, estimator="rloo"), "at most 2", "yes"),
        (noted("something new", 1.9, estimator="rloo"), "", ""),
    ],
)
def test_a_ratio_is_held_against_its_bound(measured: dict[str, Any], bound: str, met: str) -> None:
    (row,) = targets.rows([measured])
    assert (row.case["subject"], row.bound, row.met, row.n) == ("rloo", bound, met, 7)


def test_a_compiled_step_has_the_bound_of_its_estimator_and_its_seconds() -> None:
    what = "eager / compiled step, digits, 1 seed"
    measured = [noted(what, 2.3, estimator=name, compile_seconds=6.25) for name in ("disarm", "rebar", "rloo")]
    table = targets.rows(measured)
    found = {row.case["subject"]: (row.bound, row.met) for row in table}
    assert found == {"disarm": ("at least 2.2", "yes"), "rebar": ("at least 3.5", "no"), "rloo": ("", "")}
    assert f"| {what} | disarm | 2 | 2.30 [2.20, 2.40] | 7 | 6.2 | at least 2.2 | yes |" in targets.markdown(table)


def test_tables_hold_every_ratio_with_its_spread_and_n() -> None:
    table = targets.rows(
        [step(1.3, "mnist-static", False, "cuda"), noted("10 seeds / 1 seed", 1.5, estimator="disarm")]
    )
    text = targets.markdown(table)
    assert "| 10 seeds / 1 seed | disarm | 2 | 1.50 [1.40, 1.60] | 7 |  | at most 2 | yes |" in text
    assert "| step / floor, mnist-static/bernoulli-200 on cuda | rloo | 2 | 1.30 [1.20, 1.40] | 7 |" in text
    assert "n = 7 rounds" in text
    read = list(csv.DictReader(targets.csv(table).splitlines()))
    assert [row["subject"] for row in read] == ["disarm", "rloo"]
    assert float(read[1]["median"]) == 1.3


def test_a_benchmark_that_noted_nothing_has_no_row() -> None:
    assert targets.rows([{"extra_info": {}}]) == []


@pytest.mark.parametrize("content", [None, "{", "[]", '{"benchmarks": []}'])
def test_another_file_is_refused_in_one_line(tmp_path: Path, content: str | None) -> None:
    source = tmp_path / "timing.json"
    if content is not None:
        source.write_text(content)
    done = forked("bench.studies.timing", str(source), str(tmp_path / "out"), cwd=ROOT)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "--benchmark-json" in done.stderr
    assert not (tmp_path / "out").exists()


def test_what_is_measured_becomes_a_run_with_records_tables_and_ratios(tmp_path: Path) -> None:
    """The real thing on a few benchmarks: pytest-benchmark's JSON, then the folder."""
    pytest.importorskip("pytest_benchmark", reason="pytest-benchmark is not installed here; tox -e timing has it")
    source, out = tmp_path / "timing.json", tmp_path / "out"
    # Inside a worker of xdist, benchmarks would be off.
    alone = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    picked = "(test_step and cpu-digits/bernoulli-6/64-rloo) or (test_stacked_seeds and rloo-1)"
    subprocess.run(
        [sys.executable, "-m", "pytest", "bench/studies/timing", "-k", picked, "--benchmark-only",
         f"--benchmark-json={source}", "-p", "no:cacheprovider", "-p", "no:xdist"],
        cwd=ROOT, check=True, capture_output=True, text=True, env=alone,
    )  # fmt: skip
    done = forked("bench.studies.timing", str(source), str(out), cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "10 seeds / 1 seed" in done.stdout
    (record,) = Store(out).records()
    assert record["status"] == "ok"
    assert record["measurements"]["ratio"]["n"] == record["config"]["measurement"]["rounds"]
    assert record["cell"] in {cell.id for cell in plan(run_suite_of(out)).cells}
    (row,) = csv.DictReader((out / "tables" / "time.csv").read_text().splitlines())
    assert float(row["time_ratio"]) == pytest.approx(record["measurements"]["ratio"]["median"])
    assert len(targets.rows(json.loads((out / "timing.json").read_text())["benchmarks"])) == 2
    assert (out / "report.html").is_file()


def test_the_timing_suite_times_every_cell_once() -> None:
    cells = plan(load_suite("timing")).cells
    assert len(cells) == len({cell.id for cell in cells}) > 100
    assert {cell.measurement.kind for cell in cells} == {"time"}
    assert {cell.threads for cell in cells} == {2}
