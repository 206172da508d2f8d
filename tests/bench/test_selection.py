"""A part of a report: estimators in their colours before the others in grey, some problems, one width of figures."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.colors import to_hex

from bench.cli.report import report
from bench.report.figures import plots
from bench.report.output import write
from bench.report.selection import Selection, in_tables, set_before, split
from bench.report.style import BEHIND
from bench.report.summary import Summary, summarise
from estimators.errors import BadInput
from tests.bench.drawn import names, show
from tests.bench.plain import Store
from tests.bench.records import quick

PUBLISHED = Path(__file__).parents[2] / "results" / "quick"
RECORDS = quick()
CHOSEN = Selection(("disarm", "rloo[samples=4]", "straight-through"), width="column")


@pytest.fixture(scope="module")
def whole() -> Summary:
    return summarise(RECORDS)


def front(summary: Summary) -> set[str]:
    return {label for label, style in summary.styles.items() if not style.behind}


@pytest.mark.parametrize(
    ("words", "labels"),
    [
        ("disarm", {"disarm"}),
        ("rloo", {"rloo", "rloo, samples 4"}),  # a name stands for all of its options and numbers of samples
        ("rloo[samples=4]", {"rloo, samples 4"}),
        ("rloo[samples=2]", {"rloo"}),  # as it was measured, though its label does not say so
        ("reinforce", {"reinforce, moving-average"}),
        ("reinforce[baseline=moving-average],arms", None),
        ("gumbel-softmax[straight_through=true,temperature=0.5], disarm", {"gumbel-softmax", "disarm"}),
    ],
)
def test_words_mean_names_and_labels(whole: Summary, words: str, labels: set[str] | None) -> None:
    if labels is None:
        with pytest.raises(BadInput, match=r"unknown estimator of this run: 'arms'; did you mean .*'disarm'"):
            set_before(whole, Selection(split(words)))
        return
    found = front(set_before(whole, Selection(split(words))))
    assert {label.partition(", straight")[0] for label in found} == labels


@pytest.mark.parametrize(
    ("words", "count"), [("digits", 2), ("cubic/*", 1), ("*/gaussian*,cubic/bernoulli-4", 3), ("exp/gaussian-1", 1)]
)
def test_problems_are_meant_by_heading_beginning_or_pattern(whole: Summary, words: str, count: int) -> None:
    summary = set_before(whole, Selection(problems=split(words)))
    assert summary.variance["section"].nunique() == count
    assert {plot.section for plot in plots(summary)} <= set(summary.variance["section"]) | set(summary.time["section"])


def test_what_there_is_not_is_one_line_with_the_nearest(whole: Summary) -> None:
    with pytest.raises(BadInput, match=r"unknown problem of this run: 'digts'; did you mean 'digits'\?"):
        set_before(whole, Selection(problems=("digts",)))
    with pytest.raises(BadInput, match=r"unknown width 'colum'; did you mean 'column'\?"):
        set_before(whole, Selection(width="colum"))


def test_the_chosen_keep_their_looks_and_the_others_are_grey_and_unnamed(whole: Summary) -> None:
    summary = set_before(whole, CHOSEN)
    chosen = {"disarm", "rloo, samples 4", "straight-through"}
    assert front(summary) == chosen
    for label, style in summary.styles.items():
        before = whole.styles[label]
        assert style == before if label in chosen else (style.colour, style.marker) == (BEHIND, before.marker)
    of_one = [plot for plot in plots(summary) if plot.section == "digits/bernoulli-8/nonlinear"]
    assert len(of_one) >= 7
    for plot in of_one:
        of_budgets = plot.name.startswith("budget")  # of rloo alone, at both of its numbers of samples
        assert of_budgets or re.search(r"Grey: the [67] others\.$", plot.caption), plot.name
        figure = show(plot)
        told = {
            name.text.split(" (")[0].split("\u00a0")[0].replace("\n", " ")
            for axes in figure.axes
            for name in names(axes)
        }
        assert told - {"others"} == {"rloo"} if of_budgets else told - {"others"} <= chosen, plot.name
        colours = {
            to_hex(colour) for axes in figure.axes for drawn in axes.collections for colour in drawn.get_edgecolor()
        }
        assert of_budgets or BEHIND in colours, plot.name


@pytest.mark.parametrize("width", ["column", "page"])
def test_every_figure_has_the_width_and_cuts_nothing_off(whole: Summary, width: str) -> None:
    summary = set_before(whole, CHOSEN._replace(width=width, problems=("digits/b", "cubic")))
    drawn = list(plots(summary))
    assert {plot.name.split("-")[0] for plot in drawn} >= {"variance", "elbo", "efficiency", "time", "bias", "logit"}
    for plot in drawn:
        assert plot.wide == (width == "page")
        figure = show(plot)
        assert figure.get_figwidth() == pytest.approx({"column": 3.4, "page": 7.0}[width]), plot.name
        figure.draw_without_rendering()
        texts = [text for axes in figure.axes for text in (*axes.texts, axes.xaxis.label, axes.yaxis.label, axes.title)]
        for axis in [axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)]:
            low, high = sorted(axis.get_view_interval())
            texts += [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
        inside = figure.bbox.padded(0.01 * figure.dpi)
        for text in texts:
            if text.get_text() and text.get_visible():
                box = text.get_window_extent()
                assert inside.x0 <= box.x0 <= box.x1 <= inside.x1, (plot.name, text.get_text())
                assert inside.y0 <= box.y0 <= box.y1 <= inside.y1, (plot.name, text.get_text())
                assert text.get_fontsize() == 7 or text.get_text() in ("0", "none drawn"), (plot.name, text.get_text())


def test_tables_hold_the_chosen_alone_with_their_numbers_of_the_whole(whole: Summary, tmp_path: Path) -> None:
    listed = in_tables(set_before(whole, CHOSEN))
    assert set(listed.variance["label"]) == {"disarm", "rloo, samples 4", "straight-through"}
    kept = whole.variance[whole.variance["label"] == "disarm"]["ratio"]  # to rloo, which is left out
    assert listed.variance[listed.variance["label"] == "disarm"]["ratio"].tolist() == kept.tolist()
    files = write(RECORDS, tmp_path, {"csv", "md", "html"}, selection=CHOSEN)
    assert {path.name for path in files} == {
        f"{n}.{e}" for n in ("variance", "bias", "elbo", "time") for e in ("csv", "md")
    }
    assert set(pd.read_csv(tmp_path / "tables" / "variance.csv")["name"]) == {"disarm", "rloo", "straight-through"}
    assert "Left out: 9 other estimators of this run." in (tmp_path / "tables" / "variance.md").read_text()


def test_a_part_lies_beside_the_whole_and_json_tells_its_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "suite.toml").write_text((PUBLISHED / "suite.toml").read_text())
    store = Store(tmp_path)
    for one in RECORDS:
        store.write(one)
    report([tmp_path], "md,svg", None, Selection(("disarm", "rloo"), ("cubic",)), as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert told["report"] == str(tmp_path / "selection")
    assert sorted(told["files"]) == sorted(map(str, (tmp_path / "selection").rglob("*.*")))
    assert not (tmp_path / "tables").exists() and told["notes"] == []
    with pytest.raises(BadInput, match="the page is of the whole run"):
        report([tmp_path], "html", None, Selection(("disarm",)))
