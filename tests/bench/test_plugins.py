"""What a person adds in one file beside ours, from the file and a suite to a table."""

import csv
import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from tests.bench.processes import DRAWN, EVERY_FORMAT, forked

PLUGINS = Path(__file__).parents[1] / "plugin"
SUITE = """
name = "mine"
seeds = 2
problems = [{problem}]
estimators = {estimators}
[training]
steps = 4
batch = 10
{measured}
"""
BITS = '{kind = "toy", objective = "cubic", family = "bernoulli", latents = 2, logits = [0, 3]}'
VAE = '{kind = "vae", dataset = "stripes:stripes", family = "bernoulli", latents = 2}'
MOMENTS = "[moments]\ndraws = 40\ncheckpoints = [0, 4]\nreference_draws = 1000"
ALL_MEASURED = f"{MOMENTS}\n[elbo]\nevaluations = 2\n[time]\nrounds = 5"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for path in PLUGINS.glob("*.py"):
        shutil.copy(path, tmp_path)
    return tmp_path


def said(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Lines on stderr, but for those that name the code of a person's own before it runs."""
    return [line for line in done.stderr.splitlines() if not line.startswith("runs code of your own: ")]


def run(folder: Path, problem: str, estimators: str, measured: str = MOMENTS, figures: Sequence[str] = DRAWN) -> Path:
    """The tables of a suite of one problem that `gradest run` brought to its end."""
    (folder / "mine.toml").write_text(SUITE.format(problem=problem, estimators=estimators, measured=measured))
    gradest = partial(forked, "bench", cwd=folder)
    done = gradest("run", "mine.toml", figures=figures)
    assert (done.returncode, len(said(done))) == (0, 1), done.stderr
    assert (":" in f"{problem}{measured}{estimators}") == done.stderr.startswith("runs code of your own: ")
    again = gradest("run", "mine.toml", "--dry-run", "--verbose")
    assert "no" not in [line.split()[1] for line in again.stdout.splitlines()[1:-1] if "left out" not in line]
    return folder / "runs" / "mine" / "tables"


def untimed(plan: str) -> list[str]:
    """Its lines, without the seconds that a probe of this machine, as it is at that moment, foretells."""
    lines = [
        re.sub(r"; time: about \d+ \w+, by a short probe of this machine$", "", line) for line in plan.splitlines()
    ]
    assert lines != plan.splitlines()
    return lines


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def installed(folder: Path, group: str, module: str) -> None:
    """Install a package, which names a module under an entry-point group, where a fork looks first."""
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{module} = {module}\n")


@pytest.mark.parametrize("problem", [
    '{kind = "toy", objective = "cubic", family = "laplace:Laplace", latents = 2, scales = [0.5, 1]}',
    '{kind = "vae", dataset = "digits", family = "laplace:Laplace", latents = 2}',
], ids=["toy", "vae"])  # fmt: skip
def test_a_family(folder: Path, problem: str) -> None:
    """The capability that an estimator asks for decides, not the name of a family."""
    rows = table(run(folder, problem, '["rloo", "reparameterization"]') / "variance.csv")
    assert {row["estimator"] for row in rows} == {"rloo", "reparameterization"}
    assert {row["family"] for row in rows} == {"laplace:Laplace"}
    assert all(float(row["variance"]) > 0 for row in rows)
    (folder / "mine.toml").write_text((folder / "mine.toml").read_text().replace('["rloo"', '["disarm", "rloo"'))
    done = forked("bench", "run", "mine.toml", cwd=folder)
    assert (done.returncode, len(said(done))) == (2, 1)
    assert "estimator 'disarm' fits no problem of the suite: it is for bernoulli latents, not laplace" in done.stderr


@pytest.mark.parametrize("name", ["rloo", "reparameterization", "vimco"])
def test_a_family_is_certified(folder: Path, name: str) -> None:
    """As `gradest check` does where a package has it, with fewer draws: the first look that our own estimators take."""
    script = f"""
import json, laplace
from estimators.checks import CHECKS, run_check, subjects
(subject,) = [subject for subject in subjects({name!r}, draws=4096) if subject.family == "laplace"]
results = [run_check(check, subject) for check in CHECKS]
print(json.dumps([[result.status, result.message] for result in results]))
"""
    (folder / "certified.py").write_text(script)
    done = forked("certified", cwd=folder)
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert len(results) == 13
    assert [message for status, message in results if status == "failed"] == []


def test_a_problem_at_a_fixed_q(folder: Path) -> None:
    problem = '{kind = "logistic:LogisticRegression", scales = [0.3, 1]}'
    problem += ', {kind = "logistic:LogisticRegression", latents = 5, scales = [0.3]}'
    tables = run(folder, problem, '["rloo", "reparameterization"]')
    rows = table(tables / "bias.csv")
    assert [(row["problem"], row["scale"], row["reference"]) for row in rows if row["name"] == "rloo"] == [
        ("LogisticRegression/gaussian-2", "0.3", "quadrature"),
        ("LogisticRegression/gaussian-2", "1.0", "quadrature"),
        ("LogisticRegression/gaussian-5", "0.3", "long run: reparameterization, 1000 draws"),
    ]
    variances = {(row["scale"], row["estimator"]): float(row["variance"]) for row in table(tables / "variance.csv")}
    assert variances["0.3", "reparameterization"] < variances["0.3", "rloo"]


def test_a_problem_that_is_trained(folder: Path) -> None:
    problem = '{kind = "components:Components", dataset = "digits", family = "gaussian", latents = 2}'
    tables = run(folder, problem, '["rloo", "reparameterization", "reinforce[baseline=input-dependent]"]', ALL_MEASURED)
    for name in ("variance", "bias", "elbo", "time"):
        rows = table(tables / f"{name}.csv")
        assert {row["name"] for row in rows} == {"rloo", "reparameterization", "reinforce"}, name
        assert {(row["problem"], row["status"]) for row in rows} == {("digits/Components/gaussian-2", "ok")}


def test_a_problem_whose_rows_share_their_latents(folder: Path) -> None:
    """Through the basket, training, timing and report, and to a recommendation, with a data set in the same file."""
    tables = run(folder, '{kind = "regression:Regression"}', '["rloo", "reparameterization"]', ALL_MEASURED)
    for name in ("variance", "bias", "elbo", "time"):
        rows = table(tables / f"{name}.csv")
        assert {(row["name"], row["status"]) for row in rows} == {("rloo", "ok"), ("reparameterization", "ok")}, name
    elbo = {row["name"]: float(row["train_elbo"]) for row in table(tables / "elbo.csv")}
    assert all(-1 < value < -0.4 for value in elbo.values())  # a coin says -.69 of a sign
    arguments = ("--draws", "50", "--steps", "4", "-e", "rloo", "-e", "reparameterization")
    done = forked("bench", "recommend", "regression:Regression", *arguments, cwd=folder)
    assert done.returncode == 0
    assert (
        "Take reparameterization with samples=1: its mean squared error times evaluations of f is the least at ev"
        in done.stdout
    )


def test_a_data_set(folder: Path) -> None:
    (row,) = table(run(folder, VAE, '["rloo"]', "[elbo]\nevaluations = 2") / "elbo.csv")
    assert (row["problem"], row["dataset"]) == ("stripes:stripes/bernoulli-2/linear", "stripes:stripes")
    assert float(row["test_elbo"]) < 0


@pytest.mark.parametrize("kind", ["signs:Signs", "signs"])
def test_a_measurement(folder: Path, kind: str) -> None:
    measured = f'[measurements]\n"{kind}" = {{draws = 50}}'
    if kind == "signs":
        installed(folder, "gradest.measurements", "signs")
    tables = run(folder, BITS, '["rloo", "exact"]', measured, EVERY_FORMAT)
    rows = {(row["logit"], row["name"]): row for row in table(tables / "signs.csv")}
    assert rows.keys() == {("0.0", "rloo"), ("3.0", "rloo"), ("0.0", "exact"), ("3.0", "exact")}
    assert rows["0.0", "exact"]["right"] == "1.0" and 0 < float(rows["0.0", "rloo"]["right"]) < 1
    assert (rows["0.0", "rloo"]["draws"], rows["0.0", "rloo"]["problem"]) == ("50", "cubic/bernoulli-2")
    assert "| estimator" in (tables / "signs.md").read_text()
    assert r"\begin{tabular}" in (tables / "signs.tex").read_text()
    figures = sorted(path.name for path in (folder / "runs" / "mine" / "figures").iterdir())
    assert figures == [f"signs-cubic-bernoulli-2.{ending}" for ending in ("pdf", "png", "svg")]


def test_a_measurement_beside_ours(folder: Path) -> None:
    tables = run(folder, BITS, '["rloo"]', f'{MOMENTS}\n[measurements]\n"signs:Signs" = {{}}')
    names = ["bias", "elbo", "signs", "time", "variance"]
    assert sorted(path.stem for path in tables.glob("*.csv")) == names
    assert (folder / "runs" / "mine" / "report.html").is_file()
    compared = forked("bench", "compare", "runs/mine", "runs/mine", "--all", cwd=folder)
    assert compared.returncode == 0 and "variance B/A" in compared.stdout


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('"right"', '"samples"', "the report has columns called samples already; give them other names"),
        ("axes.barh", "axes.bars", "AttributeError: 'Axes' object has no attribute 'bars'"),
        ('@register_measurement("signs")', '@register_measurement("bias")', None),
    ],
)
def test_what_cannot_be_reported_is_one_line(folder: Path, old: str, new: str, reason: str | None) -> None:
    path = folder / "signs.py"
    path.write_text(path.read_text().replace(old, new))
    measured = '[measurements."signs:Signs"]'
    (folder / "mine.toml").write_text(SUITE.format(problem=BITS, estimators='["rloo"]', measured=measured))
    done = forked("bench", "run", "mine.toml", cwd=folder)
    assert done.returncode == 2
    said = f"error: measurement 'signs:Signs' cannot be reported: {reason}"
    if reason is None:
        said = "measurement 'bias': the report has something of that name; choose another"
    assert said in done.stderr and "Traceback" not in done.stderr


def test_every_estimator_that_fits(folder: Path) -> None:
    """An enumeration of too many states does not, nor another family's or bound's."""
    (folder / "mine.toml").write_text(SUITE.format(
        problem=f'{BITS}, {BITS.replace("latents = 2", "latents = 16").replace("cubic", "cos")}', estimators='"all"',
        measured=MOMENTS,
    ))  # fmt: skip
    done = forked("bench", "run", "mine.toml", "--dry-run", cwd=folder)
    assert done.returncode == 0
    assert all(f"\n{name} " in done.stdout for name in ("rloo", "disarm", "exact", "score-no-entropy"))
    assert "left out: exact on cos/bernoulli-16: it enumerates at most 4096 joint states, not 6.55e+04" in done.stdout
    assert not any(name in done.stdout for name in ("vimco", "carms", "measure-valued"))
    one = forked("bench", "run", "mine.toml", "-e", "rloo", "--dry-run", cwd=folder)
    every = forked("bench", "run", "mine.toml", "-e", "all", "--dry-run", cwd=folder)
    assert untimed(every.stdout) == untimed(done.stdout) != untimed(one.stdout)


def test_what_is_installed_is_listed(folder: Path) -> None:
    for group, module in (("problems", "logistic"), ("datasets", "stripes"), ("measurements", "signs")):
        installed(folder, f"gradest.{group}", module)
        listed = json.loads(forked("bench", "list", group, "--json", cwd=folder).stdout)
        assert listed[-1]["name"] == module
        assert listed[-1]["summary"]


BAD = [
    (BITS.replace('"toy"', '"tyo"'), MOMENTS,
     "problems.0: unknown problem kind 'tyo'; did you mean 'toy'? Known: toy, vae, logistic-regression (gradest list "
     "problems, or module:Name)"),
    (BITS.replace('"toy"', '"logistic:Logistic"'), MOMENTS,
     "problems.0: unknown problem kind in 'logistic': 'Logistic'; did you mean 'LogisticRegression'? Known: "
     "LogisticRegression (those registered)"),
    ('{kind = "logistic:LogisticRegression", scalez = [1]}', MOMENTS,
     "unknown key 'scalez'; did you mean 'scale' or 'scales'? Known: kind, family, latents, categories, label, scales, "
     "scale (in problems.0)"),
    ('{kind = "logistic:LogisticRegression"}', MOMENTS,
     "the suite: problem 'LogisticRegression/gaussian-2' has no points"),
    (VAE.replace("stripes:stripes", "stripes:strips"), MOMENTS,
     "unknown data set in 'stripes': 'strips'; did you mean 'stripes'? Known: stripes (those registered)"),
    (VAE.replace("stripes:stripes", "digit"), MOMENTS, "unknown data set 'digit'; did you mean 'digits'"),
    (BITS, "[measurements.momens]",
     "measurements.momens: unknown measurement 'momens'; did you mean 'moments'? Known: moments, elbo, time (gradest "
     "list measurements, or module:Name)"),
    (BITS, "[measurements.moments]", "measurements: moments is a table of its own, [moments]"),
    (BITS, '[measurements."signs:Signs"]\ndraw = 3',
     "unknown key 'draw'; did you mean 'draws'? Known: kind, draws (in measurements.signs:Signs)"),
    (BITS, '[measurements."signs:Signs"]\ndraws = 0',
     "measurements.signs:Signs.draws: Input should be greater than or equal to 1, got 0"),
    (VAE, '[measurements."signs:Signs"]', "VAEs are measured by [moments] or [elbo] or [time], which is missing"),
    (BITS, '[measurements."nowhere:Thing"]', "cannot import 'nowhere' of 'nowhere:Thing': ModuleNotFoundError"),
]  # fmt: skip


@pytest.mark.parametrize(("problem", "measured", "message"), BAD, ids=[message[:50] for *_, message in BAD])
def test_what_is_not_known_is_one_line(folder: Path, problem: str, measured: str, message: str) -> None:
    (folder / "mine.toml").write_text(SUITE.format(problem=problem, estimators='["rloo"]', measured=measured))
    done = forked("bench", "run", "mine.toml", cwd=folder)
    assert (done.returncode, done.stdout, len(said(done))) == (2, "", 1), done.stderr
    assert message in done.stderr
