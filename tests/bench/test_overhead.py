"""What the suite itself costs: how it is measured, and what can be held to without a clock."""

import csv
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from bench.report import drawing
from bench.report.figures import plots
from bench.report.summary import summarise
from bench.report.tables.view import rows_of
from bench.run.executors import inline
from bench.run.runner import run_suite
from bench.studies import results
from bench.studies.overhead import __main__ as overhead
from bench.studies.results import Row
from bench.suite.load import parse_suite
from estimators import Estimator, registry
from tests.bench.copies import Size, copies
from tests.bench.records import quick

TINY = """
name = "tiny"
seeds = 2
problems = [
    {kind = "vae", dataset = "digits", family = "bernoulli", latents = 2, architecture = [4]},
    {kind = "toy", objective = "quadratic", family = "bernoulli", latents = 2, logits = [0, 1]},
]
estimators = ["rloo", "disarm"]
training = {steps = 2, batch = 5}
moments = {draws = 10, rows = 3, checkpoints = [0, 2]}
time = {rounds = 5}
elbo = {evaluations = 1, evaluation_rows = 5}
"""


def test_copies_are_a_study_of_the_size_asked_for() -> None:
    size = Size(estimators=25, vaes=2, toys=3, levels=4)
    made = list(copies(quick(), size))
    toys = [record for record in made if record["config"]["problem"]["kind"] == "toy"]
    assert len(toys) == 3 * 4 * 25
    assert len({record["cell"] for record in made}) == len(made)
    by_problem = summarise(made).frames.heads.groupby("problem")["label"].nunique()
    assert by_problem.tolist() == [25] * 5


def test_a_target_is_met_where_the_median_keeps_to_it() -> None:
    row = Row.repeated("import", [10.0, 30.0, 20.0, 90.0], unit="ms", target=25.0).columns()
    assert (row["median"], row["q25"], row["q75"], row["n"], row["met"]) == (25, 17.5, 45, 4, "yes")
    assert Row.repeated("import", [25.1], unit="ms", target=25.0).met == "no"
    assert Row.repeated("page", [25.1], unit="s").met == ""


def test_all_that_is_measured_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    suite = tmp_path / "tiny.toml"
    suite.write_text(TINY)
    overhead.main(tmp_path, suite=str(suite), repeats=1, imported=1)
    (run,) = results.read(tmp_path / "overhead.json").runs
    assert run.provenance["cores"]
    rows = list(csv.DictReader((tmp_path / "overhead.csv").read_text().splitlines()))
    assert tuple(rows[0]) == overhead.COLUMNS
    assert [row["quantity"] for row in rows] == [row.quantity for row in run.rows]
    targets = {row["quantity"].split(",")[0]: float(row["target"]) for row in rows if row["target"]}
    assert targets == {
        "import estimators": 50,
        "the same where its sources are compiled first": 50,
        "share of a run of tiny outside its measurements": 3,
    }
    assert {row["met"] for row in rows if row["target"]} <= {"yes", "no"}
    assert all(row["met"] == "" for row in rows if not row["target"])
    assert (tmp_path / "overhead.md").read_text() in capsys.readouterr().out


def test_a_run_hashes_and_builds_each_estimator_a_few_times_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = parse_suite(TINY.replace("[0, 1]", str(list(range(40)))).encode(), "tiny.toml")
    run_suite(suite, tmp_path, executor=inline)
    made: list[str] = []
    create = registry.Entry.create

    def counted(entry: registry.Entry, **options: Any) -> Estimator:
        made.append(entry.name)
        return create(entry, **options)

    monkeypatch.setattr(registry.Entry, "create", counted)
    assert run_suite(suite, tmp_path, executor=inline).fresh == 0
    assert len(made) < 20


def test_two_processes_draw_what_one_draws() -> None:
    drawn = list(plots(summarise(quick())))[:3]
    alone = list(drawing.files(drawn, ("svg", "png"), processes=1))
    assert list(drawing.files(drawn, ("svg", "png"), processes=2)) == alone
    assert [set(files) for files in alone] == [{"svg", "png"}] * 3


def test_marks_are_few_artists_however_many_the_estimators() -> None:
    made = list(copies(quick(), Size(estimators=30, vaes=1, toys=1, levels=3)))
    for plot in plots(summarise(made)):
        figure = plot.draw()
        assert isinstance(figure, Figure)
        lines = sum(len(axes.lines) for axes in figure.axes)
        shapes = sum(len(axes.collections) for axes in figure.axes)
        assert lines < 10, plot.name
        assert shapes < 100, plot.name


def test_rows_are_those_of_pandas() -> None:
    frame = summarise(quick()).variance
    slow = [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]
    assert repr(rows_of(frame)) == repr(slow)
