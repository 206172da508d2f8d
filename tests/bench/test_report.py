"""The report, over synthetic records of realistic magnitudes: numbers, intervals, captions, files."""

import base64
import copy
import hashlib
import io
import json
import math
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib.image
import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest
from matplotlib.collections import LineCollection, PolyCollection

from bench.report.figures import plots
from bench.report.figures.canvas import marker
from bench.report.findings import FIRST, findings
from bench.report.frames import long
from bench.report.output import write
from bench.report.summary import RELATIVE_TO, summarise
from bench.report.tables import bias, elbo, render, time, variance
from bench.report.verdicts import AGAINST
from bench.statistics import mean_interval, ratio_interval
from tests.bench.plain import naming
from tests.bench.records import BERNOULLI, GAUSSIAN, VAE, Record, find, moments, quick, train

pytestmark = pytest.mark.filterwarnings("error")

RECORDS = quick()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    """The folder of a whole report and the files that were said to be written."""
    out = tmp_path_factory.mktemp("report")
    return out, write(RECORDS, out, title="quick")


def cells(markdown: str, column: str) -> list[str]:
    """All entries of a column of a Markdown table, over its sections."""
    found, index = [], None
    for line in markdown.splitlines():
        parts = [part.strip() for part in re.split(r"(?<!\\)\|", line)][1:-1]
        if column in parts:
            index = parts.index(column)
        elif parts and index is not None and not set(parts[0]) <= set(":-"):
            found.append(parts[index])
    assert found, f"no column {column!r}"
    return found


def test_all_files_exist_and_parse(written: tuple[Path, list[Path]]) -> None:
    out, files = written
    assert sorted(files) == sorted(path for path in out.rglob("*") if path.is_file())
    for name in ("variance", "bias", "elbo", "time"):
        assert len(pd.read_csv(out / "tables" / f"{name}.csv")) > 0
        source = (out / "tables" / f"{name}.tex").read_text()
        bare = re.sub(r"\\[{}]", "", source)
        assert bare.count("{") == bare.count("}") > 0
        assert source.count(r"\begin{tabular}") + source.count(r"\begin{longtable}") == source.count(r"\caption{") > 0
    assert pyarrow.parquet.read_table(out / "cells.parquet").num_rows > len(RECORDS)
    stems = {path.stem for path in files if path.suffix == ".png"}
    assert {stem.split("-digits")[0] for stem in stems if "-digits" in stem} == {
        "variance", "trajectory", "budget", "total", "elbo-steps", "elbo-seconds", "efficiency", "bias", "time",
    }  # fmt: skip
    assert "logit-cubic-bernoulli-4" in stems
    for stem in stems:
        assert (out / "figures" / f"{stem}.pdf").read_bytes().startswith(b"%PDF")
        ElementTree.parse(out / "figures" / f"{stem}.svg")
        assert matplotlib.image.imread(out / "figures" / f"{stem}.png").std() > 0.01  # not blank
        assert f"## {stem}\n" in (out / "figures" / "captions.md").read_text()


def rows(out: Path, table: str, cell: Record) -> pd.DataFrame:
    """The rows of a cell in a written csv."""
    frame = pd.read_csv(out / "tables" / f"{table}.csv")
    return frame[frame["cell"] == cell["cell"]].reset_index()


def test_csv_holds_the_numbers_of_the_records(written: tuple[Path, list[Path]]) -> None:
    for label in ("disarm", "bitflip", "straight-through", "local-expectation"):
        cell, timed = find(RECORDS, "moments", label), find(RECORDS, "time", label)
        variances, biases = rows(written[0], "variance", cell), rows(written[0], "bias", cell)
        assert len(variances) == len(biases) == 3
        for i, measured in enumerate(cell["measurements"]["points"]):
            q, own = measured["q"]["variance"], measured["bias"]
            high = math.inf if q["high"] is None else q["high"]
            ends = variances.loc[i, ["variance", "variance_low", "variance_high"]].tolist()
            assert ends == pytest.approx([q["estimate"], q["low"], high], rel=1e-12)
            found = biases.loc[i, ["bias_squared", "relative_bias", "p_value"]].tolist()
            expected = [own["squared"]["estimate"], own["relative"], own["p_value"]]
            assert found == pytest.approx(expected, rel=1e-12)
        step = timed["measurements"]["step"]
        ends = rows(written[0], "time", timed).loc[0, ["step_seconds", "step_seconds_high", "step_n"]].tolist()
        assert ends == pytest.approx([step["median"], step["q75"], step["n"]], rel=1e-12)


def test_ratio_and_efficiency_are_relative_to_the_reference(written: tuple[Path, list[Path]]) -> None:
    measured = [find(RECORDS, "moments", label) for label in ("disarm", RELATIVE_TO)]
    own, other = (cell["measurements"]["points"][2]["q"]["variance"] for cell in measured)
    expected = ratio_interval(own["estimate"], own["log_se"], other["estimate"], other["log_se"])
    row = rows(written[0], "variance", measured[0]).iloc[2]
    assert row[["ratio", "ratio_low", "ratio_high"]].tolist() == pytest.approx(expected)
    timed = [find(RECORDS, "time", label) for label in ("disarm", RELATIVE_TO)]
    seconds = [cell["measurements"]["step"]["median"] for cell in timed]
    efficiency = rows(written[0], "time", timed[0])["efficiency_seconds"].item()
    assert efficiency == pytest.approx(seconds[1] / seconds[0] / expected.estimate)


def test_a_diverged_seed_is_counted_and_left_out_of_means_and_pairs(written: tuple[Path, list[Path]]) -> None:
    trained = [find(RECORDS, "train", label) for label in ("rebar", RELATIVE_TO)]
    own, other = ([cell["measurements"]["final"]["test_elbo"][seed] for seed in (0, 2, 3, 4)] for cell in trained)
    row = rows(written[0], "elbo", trained[0]).iloc[0]
    assert row["test_elbo"] == pytest.approx(np.mean(own))
    paired = mean_interval(np.subtract(own, other))
    assert row[["difference", "difference_low", "difference_high"]].tolist() == pytest.approx(paired)
    assert "4 of 5, 1 diverged" in cells((written[0] / "tables" / "elbo.md").read_text(), "seeds")
    caption = next(plot.said for plot in plots(summarise(RECORDS)) if plot.name.startswith("elbo-steps"))
    for words in ("1 diverged seed left out", "n = 4", "over 5 seeds"):
        assert words in caption


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        ("variance", ("variance w.r.t. q", "ratio to rloo", "encoder variance", "minibatch variance")),
        ("bias", ("relative bias", "bias²")),
        ("elbo", ("train ELBO", "test ELBO", "test IWAE-100", "test ELBO - rloo", "gap")),
        ("time", ("step, ms", "floor, ms", "ratio to floor", "1/(variance x s)", "1/(variance x f-evals)")),
    ],
)
def test_every_entry_of_a_column_with_intervals_has_one(
    written: tuple[Path, list[Path]], table: str, columns: tuple[str, ...]
) -> None:
    markdown = (written[0] / "tables" / f"{table}.md").read_text()
    for column in columns:
        entries = [entry for entry in cells(markdown, column) if entry]
        assert len(entries) > 2
        for entry in entries:
            assert re.search(r"\[.+, .+\]", entry) or entry in (
                "1 (reference)",
                "0 (reference)",
                "∞ (no noise)",
            )


def test_printed_numbers_are_those_of_the_records() -> None:
    markdown = render.markdown(variance.make(summarise(RECORDS).variance, RELATIVE_TO))
    measured = find(RECORDS, "moments", "disarm")["measurements"]["points"][0]["q"]["variance"]
    line = next(line for line in markdown.splitlines() if "| step 0" in line and "disarm" in line)
    printed = [float(x) for x in re.findall(r"([\d.]+) \[([\d.]+), ([\d.]+)\]", line)[0]]
    assert printed == pytest.approx([measured[key] for key in ("estimate", "low", "high")], rel=5e-3)


def test_captions_name_interval_method_and_n() -> None:
    for plot in plots(summarise(RECORDS)):
        interval = r"95 % (jackknife|score|Student-t) interval|interquartile range"
        assert re.search(interval, plot.said), plot.name
        assert re.search(r"n = \d+ draws|\d+ seeds|of \d+ rounds", plot.said), plot.name
        assert re.search(r"fixed|mean over seeds|time of a step|training step", plot.said), plot.name
        assert len(plot.caption.split()) <= 60, plot.name
        assert plot.section in plot.said
        if "bernoulli" in plot.name and not plot.name.startswith(("elbo", "efficiency", "time", "budget", "total")):
            assert re.search(r"optimistic or missing: bitflip", plot.said), plot.name
    for module, name in (
        (variance, "jackknife"),
        (bias, "score"),
        (elbo, "Student-t"),
        (time, "interquartile"),
    ):
        frame = getattr(summarise(RECORDS), module.__name__.rsplit(".")[-1])
        made = module.make(frame) if module is bias else module.make(frame, RELATIVE_TO)
        assert name in made.caption


def test_a_failed_cell_is_seen_everywhere(written: tuple[Path, list[Path]]) -> None:
    out, _ = written
    assert r"failed: RuntimeError: a \| bar & an_underscore" in (out / "tables" / "elbo.md").read_text()
    assert r"a \textbar{} bar \& an\_underscore" in (out / "tables" / "elbo.tex").read_text()
    frame = pd.read_csv(out / "tables" / "elbo.csv")
    assert frame[frame["status"] == "failed"]["estimator"].tolist() == ["relax"]
    page = (out / "report.html").read_text()
    assert page.count("RuntimeError: a | bar &amp; an_underscore") == 2  # in its table and in the list of failures
    assert "failed" in long(summarise(RECORDS).frames)["status"].tolist()
    assert "relax (failed)" in (out / "figures" / "captions.md").read_text()


class _Page(HTMLParser):
    """Checks that tags nest, and collects what they refer to."""

    VOID = frozenset({"meta", "img", "br", "input"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: set[str] = set()
        self.images: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.ids |= {named["id"] or ""} if "id" in named else set()
        self.images += [named["src"] or ""] if tag == "img" else []
        self.links += [named["href"] or ""] if tag == "a" else []
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole(written: tuple[Path, list[Path]]) -> None:
    out, files = written
    page = _Page()
    page.feed((out / "report.html").read_text())
    assert page.open == []
    assert len(page.images) == sum(path.suffix == ".png" for path in files)
    for source in page.images:
        head, _, data = source.partition(",")
        assert head == "data:image/png;base64"
        assert matplotlib.image.imread(io.BytesIO(base64.b64decode(data))).size > 0
    for link in page.links:
        assert link[1:] in page.ids if link.startswith("#") else (out / link).is_file()


@pytest.mark.parametrize("chosen", [{"md"}, {"csv"}, {"html"}, {"svg"}])
def test_only_the_formats_asked_for_are_written(tmp_path: Path, chosen: set[str]) -> None:
    few = [kept for kept in RECORDS if kept["config"]["problem"]["family"] == "gaussian"]
    files = write(few, tmp_path, chosen)
    extra = {"svg": {"captions.md"}, "csv": {"cells.parquet"}}.get(*chosen, set())
    assert {path.suffix[1:] for path in files if path.name not in extra} == chosen
    assert {path.name for path in files} >= extra
    assert sorted(files) == sorted(path for path in tmp_path.rglob("*") if path.is_file())


def test_the_same_records_give_the_same_bytes_in_any_order(written: tuple[Path, list[Path]], tmp_path: Path) -> None:
    again = write(RECORDS[::-1], tmp_path, {"csv", "md", "svg", "pdf"})
    for path in again:
        assert path.read_bytes() == (written[0] / path.relative_to(tmp_path)).read_bytes(), path.name


def test_biased_estimators_are_marked_and_win_no_ranking() -> None:
    summary = summarise(RECORDS)
    markdown = render.markdown(time.make(summary.time, RELATIVE_TO))
    for name, value in zip(cells(markdown, "estimator"), cells(markdown, "1/(variance x s)"), strict=True):
        assert ("†" in name) == value.startswith("(")
    for label, style in summary.styles.items():
        filled = marker(style)["markerfacecolor"] == style.colour
        assert style.unbiased == filled == ("†" not in style.label), label
    said = [f"{finding.text} {finding.points}" for finding in findings(summary)["Lowest variance"]]
    assert any("relax" in words for words in said)
    assert not any("straight-through" in words for words in said)


def test_an_estimator_looks_alike_everywhere_and_unlike_any_other() -> None:
    styles = summarise(RECORDS).styles
    looks = [(style.colour, style.marker) for style in styles.values()]
    made = {one.label for one in (*BERNOULLI, *GAUSSIAN)}
    assert len(looks) == len(made)
    assert len(set(looks)) == len(made) - 1  # rloo is rloo at whatever number of samples
    assert styles["rloo, samples 4"][1:3] == styles["rloo"][1:3]
    assert len({styles[label].colour for label in ("rloo", "disarm", "rebar", "straight-through", "bitflip")}) == 5


def varied(**changes: Any) -> Callable[[Record], Record]:
    """Changes a record's problem and gives it another cell id."""

    def change(kept: Record) -> Record:
        other = copy.deepcopy(kept)
        other["config"]["problem"] |= changes
        other["cell"] = hashlib.sha256(json.dumps(other["config"]).encode()).hexdigest()[:16]
        return other

    return change


@pytest.mark.parametrize("changes", [{"entropy": "analytic"}, {"dataset": "omniglot"}, {"bound": "iwae"}])
def test_different_benchmarks_never_share_a_section(changes: Record) -> None:
    own = [kept for kept in RECORDS if kept["config"]["problem"] == VAE]
    (key, value), *_ = changes.items()
    summary = summarise([*own, *map(varied(**changes), own)])
    for frame in (summary.variance, summary.bias, summary.elbo, summary.time):
        assert all(rows[key].nunique() == 1 for _, rows in frame.groupby("section"))
        assert any(f"{key}={value}" in section for section in frame["section"])


def test_bounds_of_different_numbers_of_samples_are_different_problems() -> None:
    several = [varied(bound="iwae")(moments(np.random.default_rng(0), VAE, made)) for made in BERNOULLI[:2]]
    assert [name[-4:] for name in naming.problem_names(several)] == ["K=2)", "K=4)"]


def test_without_the_reference_its_columns_are_empty() -> None:
    frame = summarise(RECORDS, relative_to="no-such-estimator").variance
    assert frame["ratio"].isna().all()
    assert frame["variance"].notna().all()


def test_of_two_records_of_a_cell_the_later_counts() -> None:
    later = copy.deepcopy(find(RECORDS, "time", "disarm"))
    later["started"] = "2026-02-02T03:04:05"
    later["measurements"]["step"]["median"] = 1.0
    summary = summarise([later, *RECORDS])
    assert summary.time.loc[summary.time["cell"] == later["cell"], "step_seconds"].tolist() == [1.0]
    assert any("1 record left out" in finding.text for finding in findings(summary)[FIRST])


def test_times_of_two_machines_are_never_compared() -> None:
    timed = [kept for kept in RECORDS if kept["config"]["measurement"]["kind"] == "time"]
    other = copy.deepcopy(timed)
    for kept in other:
        kept["provenance"]["host"] = "node-2"
    frame = summarise([*timed, *other]).time
    assert len(frame) == len(timed) + len(other)
    assert (frame.groupby("section")["machine"].nunique() == 1).all()


@pytest.mark.parametrize("kind", ["moments", "train", "time"])
def test_a_report_of_one_kind_alone_is_whole(tmp_path: Path, kind: str) -> None:
    few = [kept for kept in RECORDS if kept["config"]["measurement"]["kind"] == kind][:4]
    write(few, tmp_path, {"md", "csv", "html"})
    sizes = {name: len(pd.read_csv(tmp_path / "tables" / f"{name}.csv")) for name in ("variance", "elbo", "time")}
    assert {name for name, size in sizes.items() if size} == {{"moments": "variance", "train": "elbo"}.get(kind, kind)}


def test_few_seeds_are_drawn_one_by_one() -> None:
    cell = train(np.random.default_rng(0), VAE, BERNOULLI[0], seeds=3)
    plot = next(plots(summarise([cell])))
    assert "no band below 5 seeds (n = 3)" in plot.said
    assert "Bands" not in plot.said
    axes = plot.draw().axes[0]
    strokes = [drawn for drawn in axes.collections if isinstance(drawn, LineCollection)]
    assert sorted(len(drawn.get_segments()) for drawn in strokes) == [1, 3]
    assert not any(isinstance(drawn, PolyCollection) for drawn in axes.collections)


def test_outcomes_too_rare_for_the_draws_are_no_bias_and_no_silence() -> None:
    records = copy.deepcopy(RECORDS)
    unseen = find(records, "moments", "disarm")["measurements"]["points"][2]
    unseen["bias"] |= {"p_value": None, "untestable": 8, "relative": 1.0, "relative_low": 1.0}
    unseen["q"]["variance"] |= {"estimate": 0.0, "low": 0.0, "high": 0.0, "log_se": 0.0}
    summary = summarise(records)
    shown = {plot.name: plot.said for plot in plots(summary) if plot.section == "digits/bernoulli-8/nonlinear"}
    assert "outcomes too rare for the draws: 1 point" in shown["bias-digits-bernoulli-8-nonlinear"]
    assert "too low: at step 300" in shown["variance-digits-bernoulli-8-nonlinear"]
    assert "rare outcomes never drawn" in cells(render.markdown(variance.make(summary.variance, RELATIVE_TO)), "note")
    assert summary.time.loc[summary.time["label"] == "disarm", "efficiency_seconds"].isna().all()
    lowest = [points for finding in findings(summary)["Lowest variance"] for points in finding.points]
    assert not any("step 300: `disarm`" in point for point in lowest)


def test_an_estimator_against_its_tag_leads_the_page() -> None:
    records = copy.deepcopy(RECORDS)
    caught = find(records, "moments", "disarm")["measurements"]["points"][1]["bias"]
    caught |= {"p_value": 1e-9, "relative": 0.4, "relative_low": 0.3, "relative_high": 0.5}
    summary = summarise(records)
    assert summary.bias["verdict"].tolist().count(AGAINST) == 1
    assert any("`disarm`" in f.text and "against its tag" in f.text for f in findings(summary)[FIRST])
    assert not any("No unbiased estimator" in f.text for f in findings(summary)["Bias"])
