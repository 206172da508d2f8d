"""A report of estimators that spend different numbers of evaluations of f: who is compared with whom, and is told."""

import math
from pathlib import Path
from typing import Any

import pytest

from bench.records.record import read
from bench.report import naming
from bench.report.figures import phrases, plots
from bench.report.findings import findings
from bench.report.page import render
from bench.report.summary import summarise
from bench.report.tables import elbo, time, variance
from bench.report.tables.noise import Total, ratio_of_totals
from bench.statistics import ratio_interval
from tests.bench.compared import compare
from tests.bench.drawn import DIGITS, show
from tests.bench.drawn import marks as drawn_marks
from tests.bench.records import Made, Record, record
from tests.bench.test_identity import folder

SPENT = {"rloo": 1, "rebar": 2, "disarm": 1, "ugc": 3, "biased": 1}
"""Evaluations of f a draw."""
BIASED = ("biased",)
JUDGED = "; half of the draws choose whose ratio is told, the others tell it"


def interval(estimate: float, log_se: float = 0.1) -> Record:
    factor = math.exp(1.959964 * log_se)
    return {"estimate": estimate, "low": estimate / factor, "high": estimate * factor, "log_se": log_se}


def moments(label: str, samples: int, value: float, minibatch: float | None = 4.0, where: Record = DIGITS) -> Record:
    """Of one checkpoint: the encoder's variance is twice that with respect to q."""
    halves = {"halves": [0.5 * value, 2 * value], "halves_log_se": [0.1, 0.1]}
    noise = {"variance": interval(value), "kurtosis": 3.0, "heavy_tailed": False, **halves}
    encoder = {**noise, "variance": interval(2 * value), "minibatch_variance": interval(minibatch or 0, 0.2)}
    point = {
        "step": 300, "draws": 1000, "rows": 20, "f_evals": samples * SPENT[label.partition("[")[0]],
        "q": {**noise, "gradient_norm": 1.0, "coordinates": 4, "mse": value},
        "bias": {}, "encoder": None if minibatch is None else encoder,
    }  # fmt: skip
    return cell("moments", label, samples, {"points": [point]}, where)


def cell(kind: str, label: str, samples: int, measured: Record, where: Record = DIGITS, **settings: Any) -> Record:
    made = Made(label, samples, label not in BIASED, 0, 0, 0)
    return record({"kind": kind, **settings}, where, made, measured)


def timed(label: str, samples: int, cost: float, batch: int = 50) -> Record:
    parts = {name: {"median": 1.0, "q25": 0.9, "q75": 1.1, "n": 30} for name in ("step", "floor", "plain")}
    ratios = {"ratio": 2.0, "plain_ratio": cost}
    parts |= {name: {"median": m, "q25": m, "q75": m, "n": 30, "log_se": 0.05} for name, m in ratios.items()}
    settings = {"optimisation": {"batch": batch, "steps": 9}, "stacked": 1}
    return cell("time", label, samples, {**parts, "rows": samples * SPENT[label], "load": [0.1]}, **settings)


def trained(label: str, samples: int, ends: list[float]) -> Record:
    """Ten steps of 50 rows."""
    spent = samples * SPENT[label] * 50 * 10
    curve = {"step": [0, 10], "seconds": [0.0, 1.0], "f_evals": [0, spent], "train_elbo": [ends, ends]}
    measured = {
        "seeds": [*range(len(ends))], "diverged": [None] * len(ends), "rows_per_step": 50,
        "curve": {**curve, "test_elbo": [ends, ends]},
        "final": {"train_elbo": ends, "test_elbo": ends, "test_iwae": ends, "iwae_samples": 5},
    }  # fmt: skip
    return cell("train", label, samples, measured)


SWEPT = [
    moments("rloo", 2, 8.0), moments("rloo", 6, 2.0), moments("disarm", 2, 4.0), moments("disarm", 6, 3.0),
    moments("rebar", 3, 1.0), moments("ugc", 3, 5.0), moments("biased", 2, 0.5),
]  # fmt: skip


def by_label(frame: Any) -> dict[str, Any]:
    return {row["label"]: row for row in frame.to_dict("records")}


def test_a_ratio_is_to_the_reference_that_spends_as_much() -> None:
    """And else to the one that spends the most of those below: 9 evaluations beside 6."""
    rows = by_label(summarise(SWEPT).variance)
    beside = {label: (row["budget"], row["relative_to"], row["relative_to_budget"]) for label, row in rows.items()}
    assert beside == {
        "rloo, S=2": (2, "rloo, S=2", 2), "rloo, S=6": (6, "rloo, S=6", 6), "disarm, S=2": (2, "rloo, S=2", 2),
        "disarm, S=6": (6, "rloo, S=6", 6), "rebar": (6, "rloo, S=6", 6), "ugc": (9, "rloo, S=6", 6),
        "biased": (2, "rloo, S=2", 2),
    }  # fmt: skip
    ratios = {label: row["ratio"] for label, row in rows.items()}
    assert ratios == {
        "rloo, S=2": 1, "rloo, S=6": 1, "disarm, S=2": 0.5, "disarm, S=6": 1.5, "rebar": 0.5, "ugc": 2.5,
        "biased": 0.0625,
    }  # fmt: skip
    table = variance.make(summarise(SWEPT).variance, "rloo")
    titles = [column.title for column in table.columns]
    shown = {row[titles.index("estimator")]: row[titles.index("ratio to rloo")] for row in table.sections[0].cells}
    assert shown["ugc"] == "2.50 [1.89, 3.30] (9 to 6)"
    assert shown["disarm, S=6"] == "1.50 [1.14, 1.98]"
    assert shown["rloo, S=2"] == shown["rloo, S=6"] == "1 (reference)"
    assert "Compared with rloo at equal evaluations of f a row where it was measured with as many" in table.caption
    equal = variance.make(summarise(SWEPT[:3]).variance, "rloo")
    assert equal.caption.endswith("Compared with rloo at equal evaluations of f a row.")


def test_below_every_budget_of_the_reference_it_is_the_least() -> None:
    rows = by_label(summarise([moments("rloo", 4, 8.0), moments("rloo", 6, 2.0), moments("disarm", 2, 4.0)]).variance)
    assert rows["disarm"]["relative_to"] == "rloo, S=4"


def test_samples_of_ones_own_are_a_budget_of_the_reference_and_another_option_is_another_estimator() -> None:
    records = [moments("rloo", 2, 8.0), moments("rloo[samples=6]", 6, 2.0), moments("disarm", 6, 3.0)]
    records.append(moments("rloo[baseline=mean]", 6, 9.0))
    rows = by_label(summarise(records).variance)
    assert rows["disarm"]["relative_to"] == rows["rloo, mean"]["relative_to"] == "rloo, samples 6"
    assert [naming.without_samples(label) for label in ("a", "a[samples=3]", "a[b=x,samples=3,c=1]", "a[samples=3,b=x]",
                                                        "a[b=x,samples=3]", "a[own_samples=3]")] == [
        "a", "a", "a[b=x,c=1]", "a[b=x]", "a[b=x]", "a[own_samples=3]"]  # fmt: skip


def test_every_cell_of_an_estimator_tells_what_it_spends() -> None:
    trainings = [trained("rloo", 2, [-9.0, -8.0]), trained("rloo", 6, [-6.0, -5.0]), trained("rebar", 3, [-5.0, -5.0])]
    rows = by_label(summarise([*trainings, trained("ugc", 3, [-7.0, -7.0])]).elbo)
    assert {label: row["budget"] for label, row in rows.items()} == {
        "rloo, S=2": 2, "rloo, S=6": 6, "rebar": 6, "ugc": 9
    }  # fmt: skip
    assert (rows["rebar"]["difference"], rows["rloo, S=6"]["difference"], rows["ugc"]["difference"]) == (0.5, 0, -1.5)
    table = elbo.make(summarise([*trainings, trained("ugc", 3, [-7.0, -7.0])]).elbo, "rloo")
    titles = [column.title for column in table.columns]
    shown = {row[0]: [row[titles.index(name)] for name in ("f-evals", "test ELBO - rloo")] for row in
             table.sections[0].cells}  # fmt: skip
    assert shown["ugc"][0] == "9" and shown["ugc"][1].endswith(" (9 to 6)")
    assert shown["rebar"][0] == "6" and not shown["rebar"][1].endswith(")")
    # A time tells it where nothing else does.
    found = naming.budgets(*_named([cell("time", "rloo", 2, {"rows": 2}), cell("train", "rloo", 2, {})]))
    assert found == [2, 2]
    assert math.isnan(naming.budgets(*_named([cell("train", "rloo", 2, {})]))[0])


def _named(records: list[Record]) -> tuple[Any, list[str], list[str]]:
    from bench.records.record import read

    found = [*map(read, records)]
    return found, ["p"] * len(found), ["rloo"] * len(found)


def test_findings_hold_equal_budgets_against_each_other() -> None:
    found = findings(summarise(SWEPT))["Lowest variance"]
    place = "digits/b"
    assert [(finding.text, finding.points) for finding in found] == [
        (f"{place} at 2 evaluations of f a row, of 2 unbiased estimators{JUDGED}:",
         ("step 300: `disarm, S=2`, 0.500 [0.379, 0.660] of rloo",)),
        (f"{place} at 6 evaluations of f a row, of 3 unbiased estimators{JUDGED}:",
         ("step 300: `rebar`, 0.500 [0.379, 0.660] of rloo",)),
        (f"{place}, compared with none, as no other unbiased estimator spends as many evaluations of f a row: "
         "`ugc` (9).", ()),
    ]  # fmt: skip
    alone = findings(summarise([moments("rebar", 2, 1.0), moments("rloo", 2, 4.0), moments("ugc", 2, 3.0),
                                moments("disarm", 4, 2.0)]))["Lowest variance"]  # fmt: skip
    assert alone[0].points == ("step 300: `rebar`, 0.250 [0.189, 0.330] of rloo (4 to 2)",)


def test_efficiency_holds_at_its_budget_and_its_batch() -> None:
    costs = {("rloo", 2): 2.0, ("rloo", 6): 4.0, ("disarm", 2): 2.0, ("rebar", 3): 8.0, ("ugc", 3): 1.0}
    records = [*SWEPT, *(timed(label, samples, cost) for (label, samples), cost in costs.items())]
    rows = by_label(summarise(records).time)
    assert {label: row["efficiency_seconds"] for label, row in rows.items()} == pytest.approx(
        {"rloo, S=2": 1, "rloo, S=6": 1, "disarm, S=2": 2, "rebar": 1, "ugc": 1.6}
    )
    found = [finding.text for finding in findings(summarise(records))["Highest efficiency, 1 / (variance x seconds)"]]
    assert found == [
        "digits/b at step 300 at 2 evaluations of f a row and a batch of 50, of 2 noisy unbiased estimators: "
        "`disarm, S=2`, 2.00 [1.47, 2.73] times rloo.",
        "digits/b at step 300 at 6 evaluations of f a row and a batch of 50, of 2 noisy unbiased estimators: "
        "`rebar` (not told apart from `rloo, S=6`).",
    ]  # fmt: skip
    table = time.make(summarise(records).time, "rloo")
    assert "Batch: rows of a step, here 50. Ratios of times, and so efficiencies, hold at that batch" in table.caption
    titles = [column.title for column in table.columns]
    assert {row[titles.index("batch")] for row in table.sections[0].cells} == {"50"}
    # Another batch is another section, which is named by that alone.
    two = summarise([*records, timed("rloo", 2, 2.0, 4), timed("disarm", 2, 3.0, 4)]).time
    assert set(two["section"]) == {"digits/b (optimisation.batch=50)", "digits/b (optimisation.batch=4)"}


def test_total_noise_adds_that_of_the_minibatch() -> None:
    """4 of the minibatch, 16, 8 and 2 of three estimators."""
    records = [*SWEPT, timed("rloo", 2, 2.0), timed("disarm", 2, 2.0), timed("rebar", 3, 3.0), timed("rloo", 6, 3.0)]
    rows = by_label(summarise(records).variance)
    numbers = {label: [rows[label][name] for name in ("noise_ratio", "total_variance", "gain")] for label in rows}
    assert numbers["rloo, S=2"] == pytest.approx([4, 20, 0.8])
    assert numbers["disarm, S=2"] == pytest.approx([2, 12, 2 / 3])
    assert numbers["rebar"] == pytest.approx([0.5, 6, 1 / 3])
    row = rows["disarm, S=2"]
    assert [row[f"noise_ratio{end}"] for end in ("", "_low", "_high")] == pytest.approx(
        [*ratio_interval(8, 0.1, 4, 0.2)]
    )
    low, high = (ratio / (1 + ratio) for ratio in ratio_interval(8, 0.1, 4, 0.2)[1:])
    assert (row["gain_low"], row["gain_high"]) == pytest.approx((low, high))
    # Of a sum errors add by their shares.
    error = math.hypot(8 * 0.1, 4 * 0.2) / 12
    assert row["total_variance_high"] == pytest.approx(12 * math.exp(1.959964 * error))
    timed_rows = by_label(summarise(records).time)
    assert timed_rows["disarm, S=2"]["efficiency_total"] == pytest.approx(20 / 12)
    assert timed_rows["rebar"]["efficiency_total"] == pytest.approx(8 / 6)
    assert timed_rows["rloo, S=6"]["efficiency_total"] == 1
    nothing = summarise([moments("rloo", 2, 8.0, None), timed("rloo", 2, 2.0)])
    assert nothing.variance["noise_ratio"].isna().all()
    assert "Would training notice?" not in findings(nothing)
    for table in (variance.make(nothing.variance, "rloo"), time.make(nothing.time, "rloo")):
        assert not {"gain", "1/(total x s)"} & {column.title for column in table.columns}
        assert "otal" not in table.caption
    assert not [plot for plot in plots(nothing) if plot.name.startswith("total")]


def test_the_minibatchs_error_is_shared_by_both_totals() -> None:
    """Of two alike only their own errors count; of one without noise the minibatch's counts in full."""
    like = Total(3.0, 0.1, 5.0, 9.0)
    found = ratio_of_totals(like, like, 2.0, 0.0)
    assert found.high / found.estimate == pytest.approx(math.exp(1.959964 * math.hypot(0.0375, 0.0375)))
    still = ratio_of_totals(Total(5.0, 0.0, 5.0, 0.4), Total(0.0, 0.0, 5.0, 0.4), 1.0, 0.0)
    assert (still.estimate, still.high / 2) == pytest.approx((2, math.exp(1.959964 * 0.5 * 0.4)))


def test_whether_training_would_notice_is_told_by_name() -> None:
    (finding,) = findings(summarise([*SWEPT, moments("rloo", 9, 60.0)]))["Would training notice?"]
    assert finding.text == (
        "digits/b at step 300, variance of the encoder's gradient in units of the minibatch's, which is "
        "4.00 [2.70, 5.92]; evaluations of f a row in parentheses:"
    )
    # Both logarithms are told to .1 and .2: an interval reaches a factor of exp(1.96 x .224) = 1.55 to either side.
    assert finding.points == (
        "below it: `biased` † (2) 0.250 [0.161, 0.388], `rebar` (6) 0.500 [0.323, 0.775]",
        "one to 10 times: `disarm, S=2` (2) 2.00 [1.29, 3.10], `ugc` (9) 2.50 [1.61, 3.88], "
        "`rloo, S=2` (2) 4.00 [2.58, 6.20]",
        "more than 10 times: `rloo, S=9` (9) 30.0 [19.4, 46.5]",
        "not told by the intervals: `rloo, S=6` (6) 1.00 [0.65, 1.55], `disarm, S=6` (6) 1.50 [0.97, 2.33]",
    )


def test_names_in_figures_tell_budgets_where_they_differ() -> None:
    mixed, equal = summarise(SWEPT), summarise(SWEPT[:1] + SWEPT[2:3])
    told = {label: style.label for label, style in phrases.looks(mixed.variance, mixed.styles).items()}
    assert told["biased"] == "biased † (2)" and told["ugc"] == "ugc (9)" and told["rloo, S=6"] == "rloo, S=6 (6)"
    assert phrases.looks(equal.variance, equal.styles) == equal.styles
    for plot in plots(mixed):
        if not plot.name.startswith("budget"):
            assert "2, 6 or 9 evaluations of f a row, in parentheses behind each name" in plot.said, plot.name
            texts = {text.get_text() for axes in show(plot).axes for text in axes.texts}
            assert "ugc (9)" in texts, plot.name
    for plot in plots(equal):
        assert "2 evaluations of f a row." in plot.notes


def test_variance_against_budget_has_a_line_for_whoever_has_two() -> None:
    (plot,) = [plot for plot in plots(summarise(SWEPT)) if plot.name.startswith("budget")]
    assert plot.name == "budget-digits-b"
    assert ", at step 300. Bands" in plot.said
    assert "95 % jackknife interval on log variance, n = 1000 draws" in plot.said
    assert "Dotted: equal variance x evaluations" in plot.said
    figure = show(plot)
    (axes,) = figure.axes
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert sorted((mark.x, mark.y) for mark in drawn_marks(axes)) == [(2, 4), (2, 8), (6, 2), (6, 3)]
    assert {text.get_text() for text in axes.texts} == {"rloo", "disarm"}
    guides = [line for line in axes.lines if line.get_linestyle() == ":"]
    assert guides
    for guide in guides:
        (x0, x1), (y0, y1) = guide.get_xdata(), guide.get_ydata()
        assert (x0, x1) == (2, 6) and y0 / y1 == pytest.approx(3)
    one = [plot for plot in plots(summarise(SWEPT[4:])) if plot.name.startswith("budget")]
    assert not one


def test_a_figure_of_total_noise_has_a_line_at_one() -> None:
    (plot,) = [plot for plot in plots(summarise(SWEPT)) if plot.name.startswith("total")]
    assert "Minibatch variance: 4.00 [2.70, 5.92] at step 300;" in plot.said
    (axes,) = show(plot).axes
    assert sorted(mark.x for mark in drawn_marks(axes)) == [0.25, 0.5, 1.0, 1.5, 2.0, 2.5, 4.0]
    assert [1.0, 1.0] in [list(line.get_xdata()) for line in axes.lines]
    assert axes.get_xscale() == "log"


def test_the_head_of_a_page_counts_an_estimator_of_two_budgets_once() -> None:
    records = [moments(label, spent, 1.0) for spent in (2, 6) for label in ("rloo", f"disarm[samples={spent}]")]
    summary = summarise(records)
    page = render(summary, list(map(read, records)), [], [], "", [])
    assert "4 cells (4 moments) on 1 problem with 2 estimators;" in " ".join(page.split())


def test_runs_of_several_budgets_are_compared_budget_by_budget(tmp_path: Path) -> None:
    """One of 2 and 6 samples beside one of 6 and 24: 2 and 24 stand beside nothing, and none hides another."""
    first = folder(tmp_path / "A", [moments("rloo", 2, 8.0), moments("rloo", 6, 2.0)])
    second = folder(tmp_path / "B", [moments("rloo", 6, 2.0), moments("rloo", 24, 1.0)])
    rows, notes = compare(first, second)
    assert [(row["estimator"], row["estimate"]) for row in rows] == [("rloo, S=6", 1.0)]
    assert notes[:2] == [f"1 cells went well in {name} alone" for name in (first, second)]
    # Where no run holds two, other samples are other settings, as ever.
    runs = [folder(tmp_path / name, [moments("rloo", n, 16.0 / n)]) for name, n in (("C", 2), ("D", 4))]
    rows, notes = compare(*runs)
    assert [(row["estimator"], row["estimate"]) for row in rows] == [("rloo", 0.5)]
    assert "SETTINGS DIFFER: moments estimator.samples: 2 in A, 4 in B" in notes
