"""What a cell costs before it runs: evaluations by hand, memory beside a process, and what cannot fit refused."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.measure.cost import on_h100
from bench.run.store import Store
from bench.suite import cost
from bench.suite.cost import check_fits, in_bytes, memory_here, total, typical_seconds
from bench.suite.load import load_suite, parse_suite, suite_names
from bench.suite.plan import plan
from bench.suite.schema import Cell
from estimators import BadInput
from tests.bench import processes

DIGITS = '{kind = "vae", dataset = "digits", family = "bernoulli", latents = 3, architecture = [8]}'
TOY = '{kind = "toy", objective = "cubic", family = "bernoulli", latents = 3, logits = [1, 2]}'
MORE = """
[training]
steps = 7
batch = 11
[elbo]
evaluations = 2
evaluation_rows = 13
evaluation_samples = 5
iwae_samples = 3
[moments]
draws = 100
rows = 10
checkpoints = [0, 4]
[time]
rounds = 5
warm_up = 2
stacked = 3
"""


def cells(problem: str = DIGITS, *estimators: str, more: str = MORE, seeds: int = 2) -> list[Cell]:
    listed = ", ".join(f'"{one}"' for one in estimators or ("rloo[samples=4]",))
    text = f'name = "a"\nseeds = {seeds}\nproblems = [{problem}]\nestimators = [{listed}]\n{more}'
    return plan(parse_suite(text.encode(), "a.toml")).cells


def by_kind(found: list[Cell]) -> dict[str, Any]:
    return {cell.measurement.kind: cell.cost for cell in found}


def test_evaluations_are_rows_times_draws_times_steps() -> None:
    found = by_kind(cells())
    looks = 3 * 2 * 13 * 5 * 2 + 2 * 3 * 256  # points of the curve, splits, rows, draws, seeds; then all test rows
    assert found["train"].evaluations == 7 * 11 * 2 * 4 + looks
    assert found["time"].evaluations == (3 * 7 + 4) * 11 * 3 * 4  # subjects, rounds, rows, seeds, draws
    assert found["moments"].evaluations == 2 * 100 * 10 * 4  # checkpoints, draws, rows, draws of z
    trained, held_against = 4 * 11 * 2, 2 * 10 * (8 + 100)  # rloo's two draws; all states, and the ELBO
    assert found["moments"].shared.evaluations == trained + held_against


def test_an_estimator_that_enumerates_evaluates_every_state() -> None:
    assert by_kind(cells(DIGITS, "exact"))["time"].evaluations == 25 * 11 * 3 * 8
    two = DIGITS.replace("[8]", "[8], stochastic_layers = 2")
    assert by_kind(cells(two, "exact"))["time"].evaluations == 25 * 11 * 3 * 8  # those of a layer, at each of which f
    assert by_kind(cells(two, "exact"))["time"].seconds > 1.2 * by_kind(cells(DIGITS, "exact"))["time"].seconds


def test_a_toy_counts_its_warm_up_where_there_is_something_to_warm() -> None:
    plain, warmed = (
        cells(TOY, name, more="[moments]\ndraws = 100\nwarm_up = 6")[0].cost
        for name in ("rloo[samples=4]", "relax[samples=1]")
    )
    assert plain is not None and warmed is not None
    assert plain.evaluations == 100 * 4 + 8
    assert warmed.evaluations == 100 + 64 * 6 + 8  # it evaluates f once at a draw


def test_a_cell_works_out_its_cost_once_for_all_that_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    cell, *_ = cells(TOY, more="[moments]\ndraws = 100")
    cost, asked = type(cell.measurement).cost, list[Any]()
    monkeypatch.setattr(type(cell.measurement), "cost", lambda self, *of: asked.append(self) or cost(self, *of))
    check_fits([cell])
    assert typical_seconds([cell]) == {cell.id: cell.cost.seconds if cell.cost else None}
    total([cell])
    assert len(asked) == 1
    more = cell.model_copy(update={"measurement": cell.measurement.model_copy(update={"draws": 1000})})
    assert cell.cost and more.cost
    assert more.cost.evaluations > 5 * cell.cost.evaluations


def test_what_is_shared_counts_once() -> None:
    one, two = cells(DIGITS, "rloo"), cells(DIGITS, "rloo", "disarm")
    first, both = total(one), total(two)
    shared = next(found.shared for found in (cell.cost for cell in one) if found is not None and found.shared)
    own = sum(found.evaluations for found in (cell.cost for cell in two) if found is not None)
    assert both.evaluations == own + shared.evaluations
    assert first.evaluations < both.evaluations < 2 * first.evaluations
    assert both.largest in two
    assert both.memory == max(found.memory for found in (cell.cost for cell in two) if found is not None)


def test_all_that_ships_says_what_it_costs_and_fits_into_a_laptop() -> None:
    """Or into an H100 of 80 GB, for a day, where it is for a GPU."""
    for name in suite_names():
        for cell in plan(load_suite(name)).cells:
            found = cell.cost
            assert found is not None
            if cell.device == "cuda":
                assert found.on_h100 is not None and 0 < found.on_h100 < 86_400, cell.title
                assert 0 < found.memory < 72e9, cell.title
            else:
                assert 0 < found.seconds < 3600, cell.title
                assert 0 < found.memory < 4e9, cell.title


@pytest.mark.parametrize(
    ("problem", "estimator", "more", "seeds"),
    [
        (DIGITS.replace("3,", "4096,").replace("[8]", "[4096, 4096]"), "rloo", MORE, 1000),
        (DIGITS.replace("3,", "4096,").replace("[8]", "[4096, 4096]"), "rloo[samples=20000]", MORE, 2),
        (DIGITS, "rloo[samples=100000]", MORE.replace("batch = 11", "batch = 1000"), 10),
        (DIGITS.replace("3,", "4096,"), "rloo", "[moments]\ndraws = 100000000\nrows = 1000\n", 1),
        (DIGITS, "rloo", MORE.replace("iwae_samples = 3", "iwae_samples = 100000"), 1000),
    ],
)
def test_what_cannot_fit_is_refused_with_the_estimate(
    problem: str, estimator: str, more: str, seeds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cost, "memory_here", lambda: 32e9)
    with pytest.raises(
        BadInput, match=r"would take about \S+ [GT]B of memory, and this machine has 32 GB: take fewer "
    ):
        check_fits(cells(problem, estimator, more=more, seeds=seeds))
    check_fits(cells())


def test_a_run_that_cannot_fit_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "big.toml").write_text(
        f'name = "big"\nseeds = 1000\nproblems = [{DIGITS.replace("3,", "4096,").replace("[8]", "[4096, 4096]")}]\n'
        'estimators = ["rloo"]\n[elbo]\n'
    )
    done = processes.forked("bench", "run", "big.toml", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: train digits/bernoulli-4096/4096-4096 rloo, learning rate 0.001 would take")
    assert done.stderr.endswith("take fewer of seeds, batch, samples or latents\n")
    assert [path.name for path in tmp_path.iterdir()] == ["big.toml"]


def test_a_gradient_of_f_takes_memory_beside_its_values() -> None:
    """As much again: with 20 draws of z rebar and relax were seen to take 2.5 and 3 times what values alone do."""
    more = MORE.replace("batch = 11", "batch = 1000")
    of_values, of_gradients, of_a_network = (
        by_kind(cells(DIGITS.replace("3,", "200,"), f"{name}[samples=50]", more=more))
        for name in ("rloo", "straight-through", "relax")
    )
    for kind in ("train", "time"):
        for other in (of_gradients, of_a_network):
            assert 1.8 * of_values[kind].memory < other[kind].memory < 2.1 * of_values[kind].memory


def test_the_limit_of_a_control_group_counts(tmp_path: Path) -> None:
    whole = memory_here(tmp_path / "none")
    assert 1e8 < whole < 1e14
    (tmp_path / "memory.max").write_text("max\n")
    assert memory_here(tmp_path) == whole
    (tmp_path / "memory.max").write_text("123456789\n")
    assert memory_here(tmp_path) == 123456789
    own = Path("/proc/self/cgroup").read_text().splitlines()[0].rpartition(":")[2].lstrip("/")
    (tmp_path / own).mkdir(parents=True, exist_ok=True)
    (tmp_path / own / "memory.max").write_text("5000000\n")
    assert memory_here(tmp_path) == 5000000


def test_bytes_are_said_in_two_digits() -> None:
    assert [in_bytes(n) for n in (12, 1234, 56.7e6, 234e6, 8.4e10, 5e15)] == [
        "12 B", "1.2 kB", "57 MB", "234 MB", "84 GB", "5000 TB",
    ]  # fmt: skip
    assert [in_bytes(n) for n in (9.96e6, 99.6e6, 999.8e6)] == ["10 MB", "100 MB", "1 GB"]


GROWN = """
import json, sys
import torch
from bench.run.cell import run_cell
from bench.studies.scaling.measure import peak_resident
from tests.bench.test_cost import cells
(cell,) = cells(sys.argv[1], sys.argv[2], more=sys.argv[3], seeds=3)
x = torch.randn(50, 50, requires_grad=True)
(x @ x).sum().backward()
before = peak_resident()
record = run_cell(cell)
assert record.went_well, record.reason
grown = peak_resident() - before
print(json.dumps([cell.cost.memory, grown]))
"""
DEEP = DIGITS.replace("3,", "512,").replace("[8]", "[1024, 1024]")
WIDE = DIGITS.replace("3,", "512,").replace("[8]", "[64]")


@pytest.mark.parametrize(
    ("problem", "estimator", "more"),
    [
        (DEEP, "rloo[samples=8]", "[training]\nsteps = 1\nbatch = 100\n[elbo]\nevaluations = 1\niwae_samples = 1"),
        (WIDE, "disarm", "[training]\n[moments]\ndraws = 30\nrows = 120\ncheckpoints = [0]\n"
                         'references = ["rloo"]\nreference_draws = 1000'),
    ],
    ids=["training", "moments"],
)  # fmt: skip
def test_memory_is_within_a_factor_of_two_of_what_a_process_takes(problem: str, estimator: str, more: str) -> None:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}  # it imports a suite of the tests
    typed = [sys.executable, "-c", GROWN, problem, estimator, more]
    done = subprocess.run(typed, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    said, grown = json.loads(done.stdout)
    assert grown > 3e8
    assert grown / 2 < said < 2 * grown


RESULTS = Path(__file__).parents[2] / "results"


def steps_of(cell: Cell, measured: dict[str, Any]) -> tuple[float, float]:
    """Seconds of a step on an H100 as they are foretold, and as a record has them."""
    spent, optimisation = cell.cost, measured.get("curve", {}).get("seconds")
    assert spent is not None and spent.on_h100 is not None
    if optimisation:  # without what evaluates it, which the record's clock leaves out
        bare = cell.measurement.model_copy(update={"evaluations": 1, "evaluation_rows": 1, "iwae_samples": 1})
        return bare.cost(cell.problem, cell.estimator).on_h100 / spent.steps, optimisation[-1] / spent.steps
    rounds = 3 * (cell.measurement.rounds + cell.measurement.warm_up) + 4  # type: ignore[attr-defined]
    return spent.on_h100 / rounds, measured["step"]["median"]


def test_an_h100_is_foretold_by_what_was_recorded_of_one() -> None:
    """Nine of ten steps within a factor of two, whatever the family, stack and estimator."""
    ratios = []
    for name in ("timing-h100", "disarm-linear-20k"):
        suite = parse_suite((RESULTS / name / "suite.toml").read_bytes(), name)
        records = {record.cell: record for record in Store(RESULTS / name).whole()}
        titles = {record.config.title: record for record in records.values()}
        for cell in plan(suite).cells:
            record = titles.get(cell.title)
            if record is not None and record.kind in ("time", "train"):
                foretold, taken = steps_of(cell, record.model_dump(mode="json")["measurements"])
                ratios.append(foretold / taken)
    assert len(ratios) == 40
    assert sum(0.5 < ratio < 2 for ratio in ratios) >= 36, sorted(ratios)


def test_an_h100_is_told_of_where_a_suite_is_for_a_gpu() -> None:
    """Of all cells or of none, with what those of a problem share; toys, which stay on the CPU, take nothing there."""
    text = f'name = "a"\nproblems = [{DIGITS}, {TOY}]\nestimators = ["rloo[samples=4]"]\n{MORE}'
    here = plan(parse_suite(text.encode(), "a.toml")).cells
    there = plan(parse_suite(text.replace("problems", 'device = "cuda"\nproblems', 1).encode(), "a.toml")).cells
    assert total(here).on_h100 is None and total(here).steps == total(there).steps == 7 + 4
    alone = [found.on_h100 for cell in there if cell.device == "cuda" and (found := cell.cost)]
    shared = next(cell.cost.shared for cell in there if cell.cost and cell.cost.shared)
    assert total(there).on_h100 == pytest.approx(sum(filter(None, alone)) + (shared.on_h100 or 0))
    assert on_h100(4, 0.0) == 4 * 2.5e-4
