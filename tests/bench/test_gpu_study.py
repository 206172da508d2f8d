"""The command for a machine with a GPU, rehearsed on the CPU: what it measures, keeps, leaves out and asks for."""

import subprocess
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import pytest
import torch
import typer

from bench.run.store import Store
from bench.studies import results
from bench.studies.gpu import __main__ as gpu
from bench.studies.gpu import beside_jax, marked_tests, page, steps, suite
from bench.studies.gpu.budget import PARTS, Budget, Failure
from bench.studies.gpu.cases import CASES, DISARM, JUDGED, MOMENTS, REBAR, Case, JaxCase, Sizes
from bench.studies.results import Results, Row, Run
from bench.suite.load import parse_suite

TINY = Sizes(rounds=2, steps=2, draws=3, moments_rounds=1)
SUITE = b"""
name = "tiny"
problems = [{kind = "vae", dataset = "digits", family = "bernoulli", latents = 2, architecture = [4]}]
estimators = ["rloo", "disarm"]
training = {steps = 2, batch = 5, compile = false}
time = {rounds = 5, warm_up = 1}
"""


@pytest.fixture
def on_digits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No file of MNIST is at hand."""
    monkeypatch.setenv("GRADEST_DATA", str(tmp_path / "nothing"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "nothing"))
    steps.dataset.cache_clear()


def test_the_whole_command_runs_on_the_cpu(
    on_digits: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Steps in each form, moments and a suite, of tiny sizes; and what failed or lacks its packages is named."""
    broken = Case("rloo[samples=1]", seeds=1)
    cases = (Case(DISARM, seeds=1), Case(REBAR, seeds=2, variant="eager", precision="high", target=1.0), broken)
    monkeypatch.setattr(suite, "of", lambda device: parse_suite(SUITE, "tiny.toml"))
    monkeypatch.setattr(beside_jax, "missing", lambda: ["jax"])
    monkeypatch.setattr(gpu, "MOMENTS", {"disarm": 0.8})
    gpu.measure(tmp_path, "cpu", Budget(600), [name for name in PARTS if name not in ("tests", "judged")], TINY, cases)
    found = results.read(tmp_path / gpu.NAME)
    rows = {run.name: run.rows for run in found.runs}
    rates = [row for row in rows["steps"] if row.quantity == "steps a second"]
    assert [row.case["variant"] for row in rates] == ["compiled", "eager"]
    assert all(row.value > 0 and row.n == TINY.rounds and not row.case["captured"] for row in rates)
    assert [row.case["compiled"] for row in rates] == [rates[0].case["because"] is None, False]
    assert rates[1].target is None, "targets are those of a GPU"
    (failed,) = (row for row in rows["steps"] if row.quantity == "failed")
    assert failed.case == {"title": broken.title, "because": failed.case["because"]}
    assert "takes samples >= 2" in failed.case["because"]
    (ratio,) = (row for row in rows["moments"] if row.quantity == "moments over bare f")
    assert ratio.case == {"estimator": "disarm", "draws": 3} and ratio.value > 0
    assert len(Store(tmp_path).records()) == 2
    assert found.runs[0].about["dataset"] == "digits"
    assert found.runs[0].about["left_out"] == ["jax: all of it, without jax"]
    assert torch.get_float32_matmul_precision() == "highest"

    monkeypatch.setattr(gpu, "REPORT", ("a package that is not here",))
    text = gpu.publish(tmp_path)
    assert "Nothing was judged" in text
    assert f"| {REBAR} | linear | 2 | eager | TF32 |" in text
    assert f"- {broken.title} failed: " in text
    assert "- jax: all of it, without jax" in text
    assert "no report here without a package that is not here" in capsys.readouterr().out
    assert (tmp_path / "gpu.csv").read_text().count("\n") == 1 + sum(map(len, rows.values()))
    assert not list(suite.waiting(suite.of("cpu"), tmp_path)), "a second run has no cell left"


def test_cells_of_mnist_come_before_those_of_the_digits(tmp_path: Path) -> None:
    data = [*(cell.problem.datasets() for cell in suite.waiting(suite.of("cpu"), tmp_path))]
    assert data == sorted(data, reverse=True) and {*map(str, data)} == {"('mnist-static',)", "('digits',)"}


def test_what_does_not_fit_the_time_is_left_out_and_named() -> None:
    now = [0.0]
    budget = Budget(100, lambda: now[0])
    assert budget.fits("judged", "first")
    budget.took("judged", 30)
    now[0] = 20
    assert not budget.fits("judged", "second")  # 28 seconds are left
    now[0] = 49
    assert budget.fits("moments", "third")  # its own time
    assert budget.left_out == ["judged: second"]
    assert budget.left("moments") == pytest.approx(21)
    shares = [part.until for part in PARTS.values()]
    assert shares == sorted(shares) and shares[-1] < 1


def test_what_is_asked_is_what_an_h100_should_reach() -> None:
    asked = {(case.estimator, case.architecture, case.seeds): case.target for case in JUDGED}
    assert asked == {
        (DISARM, "linear", 5): 11_500, (DISARM, "linear", 32): 3_100, (REBAR, "linear", 5): 7_000,
        (DISARM, "nonlinear", 5): 5_000,
    }  # fmt: skip
    assert {(case.variant, case.precision) for case in JUDGED} == {("compiled", "highest")}
    assert not any(case.target for case in CASES) and len({*CASES, *JUDGED}) == len(CASES) + len(JUDGED)
    assert {asked for asked in MOMENTS.values() if asked} == {0.8}


class FakeProcess:
    """JAX that takes a quarter of a second a turn."""

    asked: tuple[Any, Any]

    def __init__(self, job: Any, variables: Any) -> None:
        FakeProcess.asked, self.started = (job, variables), {"compile_seconds": 3.0}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def seconds(self) -> float:
        return 0.25


def test_jax_is_asked_for_the_same_steps_and_set_beside_ours(on_digits: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beside_jax, "JaxProcess", FakeProcess)
    measured = {Case(DISARM): 100.0, Case(DISARM, seeds=32, precision="high"): 24.0, Case(DISARM, seeds=32): 48.0}
    ours = [Row(quantity="steps a second", value=value, case=case.about()) for case, value in measured.items()]
    rows = {row.quantity: row for row in beside_jax.measure(JaxCase(32, "high"), "cpu", TINY, ours)}
    assert rows["steps a second"].value == TINY.steps / 0.25
    assert rows["ours over JAX"].value == 3.0
    job, variables = FakeProcess.asked
    assert (job.estimator, job.sizes, job.stacked, job.batch, job.binarised) == ("disarm", (64, 6), 32, 50, False)
    assert variables["JAX_PLATFORMS"] == "cpu" and variables["JAX_DEFAULT_MATMUL_PRECISION"] == "tensorfloat32"
    assert steps.problem_of(Case(DISARM), "cpu").dataset == "digits"


@pytest.mark.parametrize(
    ("line", "code", "counts"),
    [
        ("129 passed, 2 skipped in 32.1s", 0, {"passed": 129, "failed": 0, "error": 0, "skipped": 2}),
        ("4 skipped, 9 deselected in 2s", 0, {"passed": 0, "failed": 0, "error": 0, "skipped": 4}),
        ("1 failed, 3 passed, 1 error in 2s", 1, {"passed": 3, "failed": 1, "error": 1, "skipped": 0}),
    ],
)
def test_the_marked_tests_are_counted(
    monkeypatch: pytest.MonkeyPatch, line: str, code: int, counts: dict[str, int]
) -> None:
    calls: list[Any] = []

    def started(command: list[str], **options: Any) -> Any:
        calls.append(command)
        return SimpleNamespace(communicate=lambda timeout: (f".\n{line}\n", None), returncode=code)

    monkeypatch.setattr(subprocess, "Popen", started)
    rows = list(marked_tests.measure(50.0))
    assert {row.quantity: row.value for row in rows} == {f"tests {word}": count for word, count in counts.items()}
    assert [row.met for row in rows if row.target is not None] == [
        "no" if counts[word] else "yes" for word in ("failed", "error") if counts["passed"]
    ]
    (command,) = calls
    assert "gpu" in command
    assert Path(__file__).with_name("test_capture.py") in map(Path, command)
    assert Path(__file__).with_name("test_toml.py") not in map(Path, command)


def test_tests_that_do_not_run_or_take_too_long_are_no_success(monkeypatch: pytest.MonkeyPatch) -> None:
    """In real processes: a name that pytest does not know, and one that sleeps with a child of its own."""
    monkeypatch.setattr(marked_tests, "files", lambda: [Path("no_such_file.py")])
    (row,) = marked_tests.measure(60.0)
    assert row.quantity == "failed" and row.case["title"] == "tests marked gpu"
    real = subprocess.Popen

    def asleep(command: list[str], **options: Any) -> Any:
        return real(["sh", "-c", "sleep 100 & sleep 100"], **options)

    monkeypatch.setattr(subprocess, "Popen", asleep)
    began = time.monotonic()
    (row,) = marked_tests.measure(0.2)
    assert (row.quantity, row.value) == ("tests stopped", 0.2)
    assert time.monotonic() - began < 20


def test_a_page_of_a_gpu_says_what_is_met() -> None:
    """By hand: one target reached, one missed."""
    about = {
        "device": "cuda",
        "dataset": "mnist-dynamic",
        "batch": 50,
        "sizes": TINY._asdict(),
        "left_out": ["a", "b", "b"],
    }
    machine = {"gpu": "a GPU", "driver": "1.2", "gradest": "0", "torch": "2", "cpu": "c", "cores": 16, "load": [0.5]}
    ran = {"captured": True, "compiled": True, "because": None}
    rows = [
        Row.repeated(
            "steps a second", [rate] * 3, unit="1/s", case=case.about() | ran, target=case.target, at_least=True
        )
        for case, rate in zip(JUDGED, (12_000.0, 3_000.0), strict=False)
    ]
    rows.append(Row(quantity="kernels a step", value=31.0, case=JUDGED[0].about() | ran))
    runs = (
        Run(name="tests", provenance=machine, about=about, rows=(Row(quantity="tests passed", value=129),)),
        Run(name="judged", provenance=machine, about=about, rows=(*rows, Failure("x", "y").row())),
    )
    text = page.markdown(Results(runs=runs))
    assert text.startswith("# On a GPU\n") and "a GPU, driver 1.2" in text
    assert (
        "| steps a second | disarm[samples=2] linear, 5 seeds, compiled, float32 | 12000 1/s | at least 11500 | yes |"
        in text
    )
    assert (
        "| steps a second | disarm[samples=2] linear, 32 seeds, compiled, float32 | 3000 1/s | at least 3100 | no |"
        in text
    )
    assert "| compiled and captured | float32 | 12000 [12000, 12000] | at least 11500 | yes | 31.0 |" in text
    assert "Tests marked `gpu`: 129 passed." in text and "need:\n\n- a\n- b (2)\n" in text and "- x failed: y" in text


def test_bad_input_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if not torch.cuda.is_available():
        with pytest.raises(SystemExit) as caught:
            gpu.main(tmp_path)
        assert caught.value.code == 2
        assert capsys.readouterr().err == (
            "error: there is no GPU here: torch sees no CUDA device; --device cpu rehearses it\n"
        )
    for options, message in (
        ({"part": ["setps"]}, "unknown part 'setps'; expected one of tests, judged, jax, moments, steps, suite"),
        ({"device": "gpu"}, "unknown device 'gpu'; expected one of cuda, cpu"),
        ({"redraw": True}, "holds no gpu.json: there is nothing to redraw"),
    ):
        with pytest.raises(typer.BadParameter, match=message):
            gpu.main(tmp_path, **options)
    assert not list(tmp_path.iterdir())
