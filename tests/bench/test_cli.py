"""The command line in processes of its own: bad input in one line, exit codes, nothing written."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.run.executors import inline
from bench.run.runner import run_suite
from bench.suite.load import load_suite, override
from tests.bench.processes import forked
from tests.bench.test_suite import SMALL


def gradest(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the console script's module."""
    return forked("bench", *arguments, cwd=cwd, **environment)


def from_the_shell(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The same with nothing imported beforehand, which would show what a verb forgot to import."""
    return subprocess.run(
        [sys.executable, "-m", "bench", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        env=os.environ | environment,
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "small.toml").write_text(SMALL)
    return tmp_path


def test_output_that_nobody_reads_ends_quietly(tmp_path: Path) -> None:
    """As in `gradest list | head`, with the exit code of a program that SIGPIPE ended."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "bench", "list", "estimators"],
            cwd=tmp_path, stdout=writer, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_help_names_every_verb(tmp_path: Path) -> None:
    done = from_the_shell("--help", cwd=tmp_path)
    assert done.returncode == 0
    assert all(
        verb in done.stdout for verb in ("list", "check", "run", "status", "report", "compare", "atlas", "doctor")
    )


BROKEN = """
from estimators import Estimator, register


@register("broken", families=("bernoulli",), unbiased=True)
class Broken(Estimator):
    def forward(self, q, f, *, generator=None, context=None):
        raise RuntimeError("no such luck")
"""


BAD = [
    (["run", "quik"], "unknown suite 'quik'; did you mean 'quick'?"),
    (["run", "small.toml", "-e", "rlo"], "unknown estimator 'rlo'; did you mean 'rloo'?"),
    (["run", "small.toml", "-e", "rloo[sampels=4]"], "did you mean 'samples'?"),
    (["run", "small.toml", "-e", "nowhere:Thing"], "cannot import 'nowhere'"),
    (["run", "small.toml", "--device", "gpu"], "unknown device 'gpu'"),
    (["run", "small.toml", "--seeds", "0"], "seeds: Input should be greater than or equal to 1, got 0"),
    (["run", "small.toml", "--sede", "1"], "No such option: --sede"),
    (
        ["run", "small.toml", "--seeds", "many"],
        "should be a valid integer, unable to parse string as an integer. You typed: gradest run small",
    ),
    (["run", "key.toml"], "unknown key 'stepz'; did you mean 'steps'?"),
    (["run", "data.toml"], "unknown data set 'mnist-statik'; did you mean 'mnist-static'"),
    (["list", "estimator"], "Invalid value for 'what': 'estimator' is not one of"),
    (["lst"], "No such command 'lst'"),
    (["run", "small.toml", "-e", "rloo", "--out", "small.toml"], "'small.toml' is a file, and a run needs a folder"),
    (
        ["run", "small.toml", "-e", "exact[samples=2]", "-e", "small.py:Mine"],
        "names a file; name its module: small:Mine",
    ),
    (["status", "nowhere"], "no such folder: 'nowhere'"),
    (["report", "nowhere"], "no such folder: 'nowhere'"),
    (["report", "nowhere", "--format", "docx"], "unknown format 'docx'"),
    (["check", "rlo"], "unknown estimator 'rlo'; did you mean 'rloo'?"),
    (["check", "rloo[samples=1]"], "takes samples >= 2, got samples=1"),
    (["check", "rloo[samples"], "cannot read estimator 'rloo[samples'; expected NAME or NAME[key=value,...]"),
    (["check", "nowhere:Thing"], "cannot import 'nowhere'"),
    (["check"], "Missing argument"),
    (["compare", "nowhere", "elsewhere"], "no such folder: 'nowhere'"),
    (["run", "smal.toml"], "no such file: 'smal.toml'; did you mean 'small.toml'?"),
    (["run", "small"], "unknown suite 'small'; did you mean 'small.toml'?"),
    (["run", "mine/suite"], "no such file: 'mine/suite.toml', nor 'mine'"),
    (["check", "concrete"], "unknown estimator 'concrete'; did you mean 'gumbel-"),
    (["list", "estimators", "--family", "binary"], "unknown family 'binary'; did you mean 'bernoulli'?"),
    (["list", "estimators", "--needs", "value"], "unknown needs 'value'; did you mean 'values'?"),
    (["list", "suites", "--unbiased"], "--unbiased chooses among estimators, and suites have none; leave it out"),
    (["compare", "small.toml", "small.toml"], "'small.toml' holds no run"),
    (
        ["run", "small.toml", "--workers", "10001", "--dry-run"],
        "--workers 10001: Input should be less than or equal to",
    ),
    (["run", "small.toml", "--workers", "10001"], "--workers 10001: Input should be less than or equal to 10000 (a "),
    (
        ["recommend", "bernoulli[latents=2]", "--workers", "10001"],
        "--workers 10001: Input should be less than or equal",
    ),
    (["compare", "nowhere", "elsewhere", "--fail-on", "worse"], "unknown change 'worse'. Known: changed, missing"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=[" ".join(arguments) for arguments, _ in BAD])
def test_bad_input_is_one_line_and_exit_2_and_nothing_is_written(
    folder: Path, arguments: list[str], message: str
) -> None:
    (folder / "key.toml").write_text(SMALL.replace("steps = 4", "stepz = 4"))
    (folder / "data.toml").write_text(SMALL.replace('"digits"', '"mnist-statik"'))
    before = sorted(folder.rglob("*"))
    done = gradest(*arguments, cwd=folder)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stdout == ""
    assert sorted(folder.rglob("*")) == before


def test_cuda_where_there_is_none(folder: Path) -> None:
    done = gradest("run", "small.toml", "-e", "rloo", "--device", "cuda", cwd=folder, CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 2
    assert "device 'cuda' is not available: torch sees no CUDA GPU here" in done.stderr
    assert not (folder / "runs").exists()


def test_a_missing_and_a_corrupt_data_file_say_which_where_and_how(folder: Path) -> None:
    (folder / "mnist.toml").write_text(SMALL.replace('"digits"', '"mnist-static"'))
    empty, bad = folder / "empty", folder / "bad"
    (bad / "binarized_mnist").mkdir(parents=True)
    (bad / "binarized_mnist" / "binarized_mnist_train.amat").write_text("0 1 0\n")
    empty.mkdir()
    # No mirror can be reached: a proxy at a closed port answers at once.
    closed = {
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "XDG_CACHE_HOME": str(folder),
    }
    for root, parts in (
        (
            empty,
            ("cannot find binarized_mnist/binarized_mnist_train.amat in $GRADEST_DATA (", "there by hand"),
        ),
        (bad, ("binarized_mnist_train.amat is corrupt (expected sha256:", "replace it")),
    ):
        done = gradest("run", "mnist.toml", "-e", "rloo", cwd=folder, GRADEST_DATA=str(root), **closed)
        assert done.returncode == 2
        assert all(part in done.stderr for part in parts), done.stderr
        assert len(done.stderr.splitlines()) == 1 and len(done.stderr) <= 300
        assert not (folder / "runs").exists()


def test_a_run_from_end_to_end(folder: Path) -> None:
    """Run, run again, status, report, compare: what a person does, and what they find."""
    arguments = ["run", "small.toml", "-e", "rloo", "-e", "disarm", "-e", "straight-through", "--seeds", "3"]
    done = gradest(*arguments, "--dry-run", cwd=folder)
    assert done.returncode == 0
    assert "15 cells, into runs/small" in done.stdout
    assert not (folder / "runs").exists()

    done = from_the_shell(*arguments, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "ran 15 cells" in done.stdout
    assert "report: runs/small/report.html" in done.stdout
    out = folder / "runs" / "small"
    for name in ("variance", "bias", "elbo", "time"):
        for ending in ("csv", "md", "tex"):
            assert (out / "tables" / f"{name}.{ending}").stat().st_size > 0
    assert (out / "cells.parquet").is_file()
    assert {path.suffix for path in (out / "figures").iterdir()} == {".pdf", ".svg", ".png", ".md"}
    assert not [path for path in out.rglob("*") if path.name.endswith(".tmp")]

    again = gradest(*arguments, cwd=folder)
    assert again.returncode == 0
    assert again.stdout.startswith("nothing to do: all 15 cells are done")

    (folder / "other.toml").write_text(SMALL.replace('name = "small"', 'name = "other"'))
    mixed = gradest("run", "other.toml", "-e", "rloo", "--out", "runs/small", cwd=folder)
    assert mixed.returncode == 2
    assert "'runs/small' holds a run of suite 'small', not 'other'; choose another folder" in mixed.stderr

    found = gradest("status", "runs/small", "--json", cwd=folder)
    assert found.returncode == 0
    assert json.loads(found.stdout)["done"] == 15
    assert "15 of 15 cells done" in gradest("status", "runs/small", cwd=folder).stdout

    run_suite(override(load_suite(str(folder / "small.toml")), estimators=["rloo"]), folder / "more", executor=inline)
    compared = from_the_shell("compare", "runs/small", "more", "--all", cwd=folder)
    assert compared.returncode == 0
    assert "test ELBO B - A" in compared.stdout
    assert "step time B/A" in compared.stdout
    assert "10 cells went well in runs/small alone" in compared.stdout
    assert "SETTINGS DIFFER: train measurement.seeds: 3 in A, 2 in B" in compared.stdout

    merged = gradest("report", "runs/small", "more", "--out", "both", "--format", "csv", cwd=folder)
    assert merged.returncode == 0
    assert sorted(path.name for path in (folder / "both").iterdir()) == ["cells.parquet", "tables"]


def test_check_prints_a_certificate_and_json(folder: Path) -> None:
    (folder / "mean.py").write_text(
        "from estimators import Estimate, Estimator, register\n"
        "from estimators.distributions import stopped\n\n\n"
        '@register("mean", families=("bernoulli",), unbiased=False, needs="relaxed f")\n'
        "class Mean(Estimator):\n"
        "    def forward(self, q, f, *, generator=None, context=None):\n"
        "        cost = f(q.logits.sigmoid().expand(self.samples, *q.logits.shape), stopped(q)).mean(0)\n"
        "        return Estimate(cost, cost.detach())\n"
    )
    done = gradest("check", "mean:Mean", cwd=folder)
    assert done.returncode == 0
    assert done.stderr == f"runs code of your own: mean ({folder / 'mean.py'})\n"
    assert "mean is declared biased and measured: no check of 13 failed" in done.stdout
    words = " ".join(done.stdout.split())  # lines are broken to the terminal's width
    assert all(name in words for name in ("leading-dims", "evaluations", "largest bias relative to the exact"))
    found = json.loads(gradest("check", "exact", "--json", cwd=folder).stdout)
    assert found["verdict"] == "certified"
    assert {result["family"] for result in found["results"]} == {"bernoulli", "categorical"}


def test_check_refutes_with_exit_code_1_and_a_sentence(folder: Path) -> None:
    (folder / "half.py").write_text(
        "from estimators import Estimate, Estimator, register\n"
        "from estimators.distributions import log_prob, sample, stopped\n\n\n"
        '@register("half", families=("bernoulli",), unbiased=True)\n'
        "class Half(Estimator):\n"
        "    def forward(self, q, f, *, generator=None, context=None):\n"
        "        z = sample(q, self.samples, generator)\n"
        "        cost = f(z, stopped(q))\n"
        "        total = 0.5 * cost.detach() * log_prob(q, z) + cost\n"
        "        return Estimate(total.mean(0), cost.detach().mean(0))\n"
    )
    done = gradest("check", "half:Half", cwd=folder)
    assert done.returncode == 1
    words = " ".join(done.stdout.split())
    assert "FAILED bernoulli unbiased" in words
    assert "In every problem the mean is the exact gradient" in words
    assert "a factor of the formula is left out" in words
    assert "half is refuted: 1 of 13 checks failed" in words
    assert "Traceback" not in done.stderr
    (folder / "broken.py").write_text(BROKEN)
    found = from_the_shell("check", "broken:Broken", "--json", cwd=folder)
    assert found.returncode == 1
    assert json.loads(found.stdout)["verdict"] == "refuted"
    assert "RuntimeError" in json.loads(found.stdout)["results"][0]["message"]
    assert not [path for path in folder.rglob("*") if path.suffix not in (".py", ".toml", ".pyc", "")]


def test_failed_cells_make_exit_code_1(folder: Path) -> None:
    (folder / "broken.py").write_text(BROKEN)
    done = gradest("run", "small.toml", "-e", "broken:Broken", "-e", "rloo", cwd=folder)
    assert done.returncode == 1
    assert "5 of 10 cells went wrong" in done.stderr
    assert "RuntimeError: no such luck" in done.stderr
    assert "Traceback" not in done.stderr
    assert (folder / "runs" / "small" / "report.html").is_file()
    assert gradest("status", "runs/small", cwd=folder).returncode == 1


@pytest.mark.parametrize("what", ["estimators", "problems", "datasets", "suites"])
def test_lists_are_the_same_in_text_and_json(tmp_path: Path, what: str) -> None:
    rows = json.loads(gradest("list", what, "--json", cwd=tmp_path).stdout)
    text = gradest("list", what, cwd=tmp_path).stdout
    assert rows
    assert all(row["name"] in text for row in rows)
    assert len(text.splitlines()) == len(rows) + 1


def test_doctor_looks_at_everything(tmp_path: Path) -> None:
    done = from_the_shell("doctor", cwd=tmp_path, GRADEST_DATA=str(tmp_path), XDG_CACHE_HOME=str(tmp_path))
    assert done.returncode == 0
    assert "data digits" in done.stdout
    assert "not here" in done.stdout
    assert "torch" in done.stdout


def test_static_mnist_from_the_real_files(folder: Path, data_root: Path) -> None:
    text = SMALL.replace('"digits"', '"mnist-static"')
    text = text.replace("evaluations = 2", "evaluations = 1\nevaluation_rows = 100\niwae_samples = 2")
    (folder / "mnist.toml").write_text(text)
    done = gradest("run", "mnist.toml", "-e", "rloo", "-e", "gumbel-sigmoid", cwd=folder, GRADEST_DATA=str(data_root))
    assert done.returncode == 0, done.stderr
    table = (folder / "runs" / "small" / "tables" / "elbo.csv").read_text()
    assert "mnist-static/bernoulli-3/8" in table
