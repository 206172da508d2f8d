"""Running: records, resuming, failures that stay in their cell; in real processes where it matters."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from bench.report.figures import logit
from bench.report.figures.lines import Series
from bench.report.summary import summarise
from bench.run.executors import inline
from bench.run.runner import run_suite
from bench.run.status import status
from bench.suite.load import load_suite, override, parse_suite
from bench.suite.plan import plan
from bench.suite.schema import Suite
from estimators import BadInput, Estimator, register, registry
from tests.bench.plain import Store, values
from tests.bench.processes import forked, start
from tests.bench.test_suite import SMALL

GRADEST = [sys.executable, "-m", "bench"]
PLUGIN = Path(__file__).parent.parent / "plugin"
WITHOUT_REPORT = (
    "import bench.cli.report\n"
    "from bench.cli import main\n"
    "if __name__ == '__main__':\n"  # which a worker's process is not
    "    bench.cli.report.write_report = lambda folders, out: None\n"
    "    main()\n"
)
"""The command line, without the report of a run, which takes longer than a run of a second."""


def _suite(*estimators: str, text: str = SMALL) -> Suite:
    return override(parse_suite(text.encode(), "small.toml"), estimators=list(estimators) or ["rloo", "exact"])


def _run(suite: Suite, out: Path, **options: Any):
    return run_suite(suite, out, executor=inline, **options)


def _gradest(*arguments: str, cwd: Path, report: bool = False) -> subprocess.CompletedProcess[str]:
    return forked("bench", *arguments, cwd=cwd, report=report)


def test_a_record_holds_all_that_a_report_needs(tmp_path: Path) -> None:
    suite = _suite("rloo")
    outcome = _run(suite, tmp_path)
    assert (outcome.done, outcome.fresh, outcome.unwell) == (5, 5, [])
    found = Store(tmp_path).records()
    records = {(r["config"]["measurement"]["kind"], r["config"]["problem"]["kind"]): r for r in found}
    assert set(records) == {("moments", "vae"), ("moments", "toy"), ("train", "vae"), ("time", "vae")}
    for record in records.values():
        assert record["status"] == "ok"
        assert record["tags"]["unbiased"] is True
        assert record["config"]["estimator"] == {"name": "rloo", "samples": 2, "options": {}, "label": "rloo"}
        found = record["provenance"]
        assert found["threads"] == 1
        assert found["torch"]
        assert len(found["estimator_source"]) == 64
    points = records["moments", "vae"]["measurements"]["points"]
    assert [point["step"] for point in points] == [0, 4]
    assert all(point["q"]["variance"]["low"] < point["q"]["variance"]["estimate"] for point in points)
    assert all(point["bias"]["reference"] == "enumeration" for point in points)
    assert records["train", "vae"]["measurements"]["curve"]["step"] == [0, 2, 4]


def test_the_sweep_of_the_catalogue_shows_the_reversal_of_bitflip_and_disarm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Relative deviations of 1.90 and 3.22 at |logit| 0, but of 14.3 and 1.74 at 6: from the suite to what is drawn."""
    suite = override(load_suite("catalogue"), estimators=["disarm", "bitflip"])
    swept = [toy for toy in suite.problems if toy.kind == "toy" and toy.objective == "random"]
    _run(suite.model_copy(update={"problems": tuple(swept)}), tmp_path)
    drawn: list[Series] = []
    monkeypatch.setattr(logit.lines, "draw", lambda series, *_, **__: drawn.extend(series))
    (plot,) = logit.plots(summarise(Store(tmp_path).records()))
    plot.draw()
    deviation = {line.style.label: dict(zip(line.x.tolist(), line.y.tolist(), strict=True)) for line in drawn}
    disarm, bitflip = (deviation[name] for name in ("disarm", "bitflip"))
    assert list(disarm) == list(bitflip) == [0, 1, 2, 3, 4.5, 6]
    assert bitflip[0] > 1.3 * disarm[0]
    assert disarm[6] > 5 * bitflip[6]  # 8.2 but for the noise of 2000 draws and another table
    ahead = [bitflip[x] < disarm[x] for x in bitflip]
    assert ahead == sorted(ahead), "they cross more than once"


def test_a_second_run_does_no_work_and_force_does_it_all_again(tmp_path: Path) -> None:
    suite = _suite()
    _run(suite, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "cells").iterdir()}
    assert _run(suite, tmp_path).fresh == 0
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "cells").iterdir()}
    assert _run(suite, tmp_path, force=True).fresh == len(before)


def test_an_edited_estimator_is_run_again(tmp_path: Path) -> None:
    """A record says which source made it; one of another source would mix two estimators in a table."""
    (tmp_path / "small.toml").write_text(SMALL)
    path = tmp_path / "halfway.py"
    path.write_text((PLUGIN / "halfway.py").read_text())
    arguments = ["run", "small.toml", "-e", "halfway:Halfway", "--out", "run"]
    assert "ran 5 cells" in _gradest(*arguments, cwd=tmp_path, report=True).stdout
    assert "nothing to do" in _gradest(*arguments, cwd=tmp_path).stdout
    path.write_text(path.read_text().replace("theta * (1 - theta) * torch", "7 * theta * (1 - theta) * torch"))
    assert "ran 5 cells" in _gradest(*arguments, cwd=tmp_path).stdout
    # A folder can be asked for its state where the estimator is not at hand.
    (tmp_path / "elsewhere").mkdir()
    done = _gradest("status", str(tmp_path / "run"), cwd=tmp_path / "elsewhere")
    assert "5 of 5 cells done, 0 to run" in done.stdout
    # Without the plan that the run noted, as in a folder of an earlier release, what is left cannot be told.
    (tmp_path / "run" / "plan.json").unlink()
    done = _gradest("status", str(tmp_path / "run"), cwd=tmp_path / "elsewhere")
    assert "5 cells done" in done.stdout
    assert "what is left to run cannot be told here: 'halfway:Halfway' is a person's own code" in done.stdout


def test_a_report_older_than_its_records_is_written_again(tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(SMALL)
    _run(_suite("rloo"), tmp_path / "run")
    page = tmp_path / "run" / "report.html"
    page.touch()
    os.utime(page, (0, 0))
    arguments = ["run", "small.toml", "-e", "rloo", "--out", "run"]
    assert "report: run/report.html" in _gradest(*arguments, cwd=tmp_path, report=True).stdout
    assert page.stat().st_mtime > 0
    assert page.read_text()


def test_gradients_that_are_not_finite_fail_their_cell(tmp_path: Path, forget: None) -> None:
    @register("nan", families=("bernoulli",), unbiased=True)
    class Nan(Estimator):
        def forward(self, q, f, *, generator=None, context=None):
            estimate = registry.get("reinforce").create()(q, f, generator=generator)
            return estimate._replace(surrogate=estimate.surrogate * float("nan"))

    outcome = _run(_suite("nan"), tmp_path)
    reasons = {r["config"]["measurement"]["kind"]: (r["status"], r["reason"]) for r in values(outcome.unwell)}
    assert reasons["moments"] == ("failed", "FloatingPointError: the gradient is not finite in 40 of 40 draws")


def test_an_estimator_that_breaks_the_contract_is_refused_before_anything_is_written(
    tmp_path: Path, forget: None
) -> None:
    @register("forgot-the-mean", families=("bernoulli",), unbiased=True, samples=(2, 2))
    class Forgot(Estimator):
        def forward(self, q, f, *, generator=None, context=None):
            estimate = registry.get("reinforce").create()(q, f, generator=generator)
            return estimate._replace(surrogate=estimate.surrogate.expand(2, *estimate.surrogate.shape))

    with pytest.raises(BadInput, match=r"surrogate is \[2, 2\], expected \[2\]: one number a row"):
        _run(_suite("forgot-the-mean"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_same_config_gives_the_same_numbers_bit_for_bit(tmp_path: Path) -> None:
    suite = _suite("rloo", "reinforce[baseline=input-dependent]")
    numbers = []
    for name in ("a", "b"):
        _run(suite, tmp_path / name)
        found = {r["cell"]: r["measurements"] for r in Store(tmp_path / name).records()}
        for measurements in found.values():
            for timed in ("step", "floor", "plain", "ratio", "plain_ratio", "tries", "load_before", "load"):
                measurements.pop(timed, None)
            measurements.get("curve", {}).pop("seconds", None)
        numbers.append(found)
    assert numbers[0] == numbers[1]


def test_a_half_written_record_is_run_again(tmp_path: Path) -> None:
    suite = _suite()
    _run(suite, tmp_path)
    first = plan(suite).cells[0]
    path = Store(tmp_path).path(first.id)
    whole = path.read_text()
    path.write_text(whole[: len(whole) // 2])
    assert status(tmp_path)["pending"] == 1
    assert _run(suite, tmp_path).fresh == 1
    assert json.loads(path.read_text())["cell"] == first.id


def test_a_cell_that_fails_becomes_a_record_and_the_rest_go_on(tmp_path: Path, forget: None) -> None:
    @register("broken", families=("bernoulli",), unbiased=True)
    class Broken(Estimator):
        def forward(self, q, f, *, generator=None, context=None):
            raise RuntimeError("no such luck\nsecond line")

    @register("greedy", families=("bernoulli",), unbiased=True)
    class Greedy(Estimator):
        def forward(self, q, f, *, generator=None, context=None):
            raise MemoryError("too much")

    outcome = _run(_suite("rloo", "broken", "greedy"), tmp_path)
    assert outcome.done == 15
    states = {r["config"]["estimator"]["label"]: (r["status"], r["reason"]) for r in values(outcome.unwell)}
    assert states == {
        "broken": ("failed", "RuntimeError: no such luck"),
        "greedy": ("out-of-memory", "MemoryError: too much"),
    }
    assert len(outcome.unwell) == 10
    assert all("Traceback" in record["traceback"] for record in values(outcome.unwell))
    assert status(tmp_path)["failed"] == 10


def test_a_diverged_seed_is_marked_and_every_seed_diverged_is_a_status(tmp_path: Path, forget: None) -> None:
    @register("nan-in-seed-1", families=("bernoulli",), unbiased=True)
    class Partly(Estimator):
        def forward(self, q, f, *, generator=None, context=None):
            estimate = registry.get("reinforce").create()(q, f, generator=generator)
            if q.logits.dim() != 3 or q.logits.shape[0] < 2:
                return estimate
            poison = estimate.value.new_ones(2, 1)
            poison[1] = float("nan")
            return estimate._replace(surrogate=estimate.surrogate * poison, value=estimate.value * poison)

    @register("nan-everywhere", families=("bernoulli",), unbiased=True)
    class Wholly(Estimator):
        def forward(self, q, f, *, generator=None, context=None):
            estimate = registry.get("reinforce").create()(q, f, generator=generator)
            return estimate._replace(surrogate=estimate.surrogate * float("nan"), value=estimate.value * float("nan"))

    text = SMALL.replace("[moments]\ndraws = 40\ncheckpoints = [0, 4]\n", "").replace("[time]\nrounds = 5\n", "")
    text = "\n".join(line for line in text.splitlines() if '"toy"' not in line)
    outcome = _run(_suite("nan-in-seed-1", "nan-everywhere", text=text), tmp_path)
    found = {r["config"]["estimator"]["name"]: r for r in Store(tmp_path).records()}
    partly, wholly = found["nan-in-seed-1"], found["nan-everywhere"]
    assert partly["status"] == "ok"
    assert partly["measurements"]["diverged"] == [None, 1]
    assert partly["measurements"]["final"]["test_elbo"][1] is None
    assert partly["measurements"]["final"]["test_elbo"][0] < 0
    assert (wholly["status"], wholly["reason"]) == ("diverged", "every seed diverged, the first at step 1")
    assert len(outcome.unwell) == 1
    assert status(tmp_path)["diverged_seeds"] == 3


@pytest.mark.parametrize("family", ["gaussian", "bernoulli"])
def test_an_importance_weighted_bound_is_trained_and_measured(tmp_path: Path, family: str) -> None:
    factors = f'family = "{family}", bound = "iwae", importance_samples = 3, '
    text = SMALL.replace('family = "bernoulli", latents = 3', factors + "latents = 3")
    text = "\n".join(line for line in text.splitlines() if '"toy"' not in line)
    if family == "gaussian":  # no exact gradient: a long run is the reference
        text = text.replace("draws = 40", "draws = 40\nreference_draws = 1000")
    names = {"gaussian": ["vimco", "iwae-reparameterization"], "bernoulli": ["vimco"]}[family]
    outcome = _run(_suite(*names, text=text), tmp_path)
    assert outcome.unwell == []
    records = Store(tmp_path).records()
    assert {r["config"]["estimator"]["samples"] for r in records} == {3}
    methods = {p["bias"]["reference"] for r in records for p in r["measurements"].get("points", [])}
    expected = {"gaussian": "long run: iwae-reparameterization, 1000 draws", "bernoulli": "enumeration"}
    assert methods == {expected[family]}
    with pytest.raises(BadInput, match="draws 4 samples, where the bound has 3"):
        plan(_suite("vimco[samples=4]", text=text))
    with pytest.raises(BadInput, match="cannot draw the 1 samples of the bound: it takes samples >= 2"):
        plan(_suite("vimco", text=text.replace("importance_samples = 3", "importance_samples = 1")))


@pytest.mark.gpu
def test_a_run_on_the_gpu_agrees_with_one_on_the_cpu_where_there_is_no_noise(tmp_path: Path) -> None:
    names = ("exact", "rloo", "reinforce[baseline=input-dependent]", "gumbel-sigmoid")
    suite = _suite(*names)
    for device in ("cpu", "cuda"):
        assert _run(override(suite, device=device), tmp_path / device).unwell == []
    elbo = {}
    for device in ("cpu", "cuda"):
        for record in Store(tmp_path / device).records():
            key = (record["config"]["measurement"]["kind"], record["config"]["estimator"]["label"])
            if key == ("train", "exact"):
                elbo[device] = record["measurements"]["final"]["train_elbo"]
                assert (record["provenance"]["gpu"] is not None) == (device == "cuda")
    assert elbo["cuda"] == pytest.approx(elbo["cpu"], abs=0.5)  # evaluation draws its noise on the device


def test_a_killed_run_goes_on_where_it_was(tmp_path: Path) -> None:
    """SIGKILL at no chosen moment; the records in the end are those of a run that was left alone."""
    text = SMALL.replace("draws = 40", "draws = 2000").replace("steps = 4", "steps = 60").replace("[0, 4]", "[0, 60]")
    (tmp_path / "small.toml").write_text(text.replace(', "reparameterization"]', "]"))
    process = start("bench", "run", "small.toml", "--out", "killed", cwd=tmp_path, report=False)
    cells = tmp_path / "killed" / "cells"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and len(list(cells.glob("*.json"))) < 3:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait().returncode == -signal.SIGKILL
    kept = len(list(cells.glob("*.json")))
    assert 3 <= kept < 15
    done = _gradest("run", "small.toml", "--out", "killed", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"{15 - kept} cells to run, {kept} done before" in done.stderr
    suite = parse_suite((tmp_path / "killed" / "suite.toml").read_bytes(), "suite.toml")
    assert {path.stem for path in cells.glob("*.json")} == {cell.id for cell in plan(suite).cells}


def test_ctrl_c_keeps_what_is_done_and_says_how_to_go_on(tmp_path: Path) -> None:
    text = SMALL.replace("draws = 40", "draws = 20000").replace("steps = 4", "steps = 2000").replace("[0, 4]", "[0, 9]")
    (tmp_path / "small.toml").write_text(text.replace(', "reparameterization"]', "]"))
    process = subprocess.Popen(
        [*GRADEST, "run", "small.toml", "--out", "here"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background job ignores the signal, and so would every process below it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not list((tmp_path / "here" / "cells").glob("*.json")):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, message = process.communicate(timeout=60)
    assert process.returncode == 130
    assert re.search(r"(\b1 cell is|\b\d+ cells are) done and kept in here\. Go on with:", message)
    assert "run small.toml --out here" in message
    assert "Traceback" not in message
    assert list((tmp_path / "here" / "cells").glob(".*")) == []


def test_two_runs_of_one_folder_at_once_end_with_whole_records(tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(SMALL.replace(', "reparameterization"]', "]"))
    command = ("bench", "run", "small.toml", "--out", "both")
    for process in [start(*command, cwd=tmp_path) for _ in "ab"]:
        done = process.wait()
        assert done.returncode == 0, done.stderr
    found = status(tmp_path / "both")
    assert (found["done"], found["pending"], found["failed"]) == (15, 0, 0)


def test_workers_agree_with_one_process_and_one_that_is_killed_costs_its_cell_alone(tmp_path: Path) -> None:
    """Cells of a third party's estimator among them, and one that ends the worker that runs it."""
    pytest.importorskip("distributed", reason="the extra `cluster` is not installed")
    toy = '    {kind = "toy", objective = "cubic", family = "bernoulli", latents = 2, logits = [0, 3]},\n'
    assert toy in SMALL
    text = SMALL.replace(
        toy, toy + '    {kind = "toy", objective = "cubic", family = "gaussian", latents = 2, scales = [1]},\n'
    )
    text = text.replace("[time]\nrounds = 5\n", "").replace("seeds = 2", "seeds = 1")
    (tmp_path / "small.toml").write_text(text)
    (tmp_path / "halfway.py").write_text((PLUGIN / "halfway.py").read_text())
    (tmp_path / "killer.py").write_text(
        "import multiprocessing, os\n"
        "from estimators import Estimator, register, registry\n\n\n"
        '@register("killer", families=("gaussian",), unbiased=True)\n'
        "class Killer(Estimator):\n"
        "    def forward(self, q, f, *, generator=None, context=None):\n"
        "        if multiprocessing.parent_process() is not None:\n"
        "            os._exit(9)\n"
        '        return registry.get("reinforce").create()(q, f, generator=generator)\n'
    )
    arguments = ["run", "small.toml", "-e", "halfway:Halfway", "-e", "killer:Killer", "-e", "rloo"]
    done = _gradest(*arguments, "--out", "one", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (tmp_path / "without_report.py").write_text(WITHOUT_REPORT)
    command = [sys.executable, "without_report.py", *arguments, "--out", "two", "--workers", "2"]
    path = os.pathsep.join(filter(None, [os.getcwd(), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": path}
    )
    assert done.returncode == 1
    assert "died: moments cubic/gaussian-2 at scale 1 killer:Killer: its process ended with exit code 9" in done.stderr
    assert "Traceback" not in done.stderr
    one, two = ({r["cell"]: r for r in Store(tmp_path / out).records()} for out in ("one", "two"))
    assert one.keys() == two.keys()
    assert [r["config"]["estimator"]["name"] for r in two.values() if r["status"] != "ok"] == ["killer:Killer"]
    for cell, record in two.items():
        if record["status"] == "ok":
            for measurements in (found := [one[cell]["measurements"], record["measurements"]]):
                measurements.get("curve", {}).pop("seconds", None)
            assert found[0] == found[1]
    reported = _gradest("report", "two", "--format", "md,html", cwd=tmp_path, report=True)
    assert reported.returncode == 0, reported.stderr
    assert "died" in (tmp_path / "two" / "tables" / "variance.md").read_text()


def test_a_run_needs_no_package_of_the_report(tmp_path: Path) -> None:
    """A node with torch, numpy, pydantic and typer alone runs a suite, and says where reports are made."""
    (tmp_path / "small.toml").write_text(SMALL.replace(', "reparameterization"]', "]"))
    code = (
        "import os, sys\n"
        "os.getloadavg = lambda: (0.0, 0.0, 0.0)\n"  # tests beside it are nothing to wait for
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('pandas', 'pyarrow', 'seaborn', 'matplotlib', 'scipy', 'jinja2', 'pooch'):\n"
        "            raise ImportError(f'no module named {name}', name=name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "import importlib.util\n"
        "find = importlib.util.find_spec\n"
        "def found(name):\n"
        "    try: return find(name)\n"
        "    except ImportError: return None\n"
        "importlib.util.find_spec = found\n"
        "sys.argv = ['gradest', 'run', 'small.toml', '--out', 'bare']\n"
        "from bench.cli import main; main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "no report here without pandas, seaborn, matplotlib, scipy, pyarrow, jinja2" in done.stdout
    assert status(tmp_path / "bare")["done"] == 15
