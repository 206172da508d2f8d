"""Points of several trajectories and minibatches as one row: every column by numpy and scipy, and their report."""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
from numpy.typing import NDArray

from bench.records.identity import cell_id
from bench.report.figures import plots
from bench.report.findings import findings
from bench.report.output import write
from bench.report.summary import summarise
from bench.report.tables import bias as bias_table
from bench.report.tables import variance as variance_table
from bench.report.tables.view import Table
from tests.bench.compared import compare
from tests.bench.drawn import DIGITS, marks, show
from tests.bench.records import Made, Record, problem, record
from tests.bench.test_identity import folder

Values = NDArray[np.float64]
Z = float(scipy.stats.norm.ppf(0.975))
DISARM = np.array([[4.0, 6.0], [3.0, 5.0], [8.0, 10.0]])
"""Variances at 2 minibatches of each of 3 trajectories; their means are 5, 4 and 9."""
RLOO = np.array([[12.0, 8.0], [9.0, 7.0], [20.0, 16.0]])
"""Of which the means are 10, 8 and 18: exactly twice as much on every trajectory, though not at every minibatch."""


def place(
    variance: float, *, log_se: float | None = 0.1, k: int = 0, rare: float | None = 400.0, **more: Any
) -> Record:
    """A point; k moves what is not the variance. The encoder's variance is half of q's, the minibatch's 2 + k."""
    minibatch = {"estimate": 2.0 + k}
    noise: Record = {"kurtosis": 4.0 + k, "heavy_tailed": False, "halves": [1.0, 99.0], "halves_log_se": [0.1, 0.1]}
    ends = {"estimate": variance, "low": 0.0, "high": None if log_se is None else 99.0, "log_se": log_se}
    squared = (k - 2) / 16
    return {
        "step": 300, "draws": 200, "rows": 20, "f_evals": 2, "elbo": -30.0 - k,
        "q": {**noise, "variance": ends, "rare_events": rare, "coordinates": 8, "gradient_norm": 2.0 + k,
              "snr": 2.0**k, "cosine": k / 8, "mse": variance + 1},
        "bias": {"squared": {"estimate": squared, "low": squared - 1, "high": squared + 1}, "relative": 0.1,
                 "relative_low": 0.0, "relative_high": 0.5, "smallest_visible": 0.5, "max_z": 1.0 + k,
                 "p_value": 0.5 / (1 + k), "coordinates": 8, "reference": "enumeration"},
        "encoder": {**noise, "variance": {**ends, "estimate": variance / 2}, "minibatch_variance": minibatch},
        **more,
    }  # fmt: skip


def replicated(label: str, grid: Values | Sequence[Sequence[float]], biased: bool = False, **more: Any) -> Record:
    """A moments cell of [trajectories, minibatches] variances, whose points are numbered by k from 0 on."""
    variances = np.asarray(grid)
    points = [
        place(float(variances[t, m]), k=t * variances.shape[1] + m, trajectory=t, minibatch=m, **more)
        for t in range(variances.shape[0])
        for m in range(variances.shape[1])
    ]  # fmt: skip
    weights = [f"weights {t}" for t in range(len(variances))]
    return cell(label, {"points": points, "weights": weights}, biased, *variances.shape)


def cell(label: str, measured: Mapping[str, Any], biased: bool, trajectories: int, minibatches: int) -> Record:
    settings = {"kind": "moments", "draws": 200, "reference": {"label": "rloo"}}
    settings |= {"trajectories": trajectories, "minibatches": minibatches}
    return record(settings, DIGITS, Made(label, 2, not biased, 0, 0, 0), dict(measured))


def row_of(frame: Any, label: str) -> dict[str, Any]:
    (row,) = frame[frame["label"] == label].to_dict("records")
    return dict(row)


def student(values: Values) -> tuple[float, float, float]:
    """Mean and ends of Student's 95 % interval."""
    found = scipy.stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    return float(values.mean()), float(found.low), float(found.high)


def ends(row: Mapping[str, Any], name: str) -> tuple[float, float, float]:
    return row[name], row[f"{name}_low"], row[f"{name}_high"]


def shown(table: Table, label: str, title: str) -> str:
    titles = [column.title for column in table.columns]
    (found,) = (cells[titles.index(title)] for cells in table.sections[0].cells if label in cells)
    return found


def test_every_column_of_three_trajectories_with_two_minibatches_each() -> None:
    summary = summarise([replicated("disarm", DISARM), replicated("rloo", RLOO)])
    row = row_of(summary.variance, "disarm")
    logs = np.log([5.0, 4.0, 9.0])
    assert ends(row, "variance") == pytest.approx(np.exp(student(logs)))
    assert row["variance"] == pytest.approx(180 ** (1 / 3))
    assert row["log_se"] == pytest.approx((student(logs)[2] - logs.mean()) / Z)
    assert ends(row, "ratio") == pytest.approx((0.5, 0.5, 0.5)), "twice as much on every trajectory"
    assert ends(row, "encoder_variance") == pytest.approx(np.exp(student(np.log([2.5, 2.0, 4.5]))))
    assert ends(row, "minibatch_variance") == pytest.approx(np.exp(student(np.log([2.5, 4.5, 6.5]))))
    assert row["mse"] == pytest.approx((6 * 5 * 10) ** (1 / 3))
    # Encoder over minibatch, paired: 2.5 / 2.5, 2 / 4.5, 4.5 / 6.5; their sums are 5, 6.5 and 11.
    ratios = np.log([1.0, 2 / 4.5, 4.5 / 6.5])
    assert ends(row, "noise_ratio") == pytest.approx(np.exp(student(ratios)))
    assert ends(row, "total_variance") == pytest.approx(np.exp(student(np.log([5.0, 6.5, 11.0]))))
    assert ends(row, "gain") == pytest.approx([1 - 1 / (1 + ratio) for ratio in np.exp(student(ratios))])
    # Squares of one minibatch about its trajectory's mean, over that mean squared: 2 / 25, 2 / 16 and 2 / 81.
    within = np.mean([2 / 25, 2 / 16, 2 / 81])
    draws = 0.1**2 * np.mean([(16 + 36) / 25, (9 + 25) / 16, (64 + 100) / 81]) / 2
    between = float(np.var(logs, ddof=1))
    assert row["monte_carlo_sd"] == pytest.approx(math.sqrt(draws))
    assert row["minibatch_sd"] == pytest.approx(math.sqrt(within - draws))
    assert row["trajectory_sd"] == pytest.approx(math.sqrt(between - within / 2))
    assert (row["trajectories"], row["minibatches"], row["draws"]) == (3, 2, 200)
    assert row["gradient_norm"] == pytest.approx(math.sqrt(np.mean(np.arange(2.0, 8.0) ** 2)))
    assert (row["snr"], row["cosine"], row["trajectory_elbo"]) == pytest.approx((2**2.5, 2.5 / 8, -32.5))
    assert (row["kurtosis"], row["encoder_kurtosis"], row["heavy_tailed"]) == (9, 9, False)
    assert all(math.isnan(row[name]) for name in ("first_half", "second_half")), "trajectories choose and judge"
    table = variance_table.make(summary.variance, "rloo")
    spread = "10 % | 26 % | 37 %"
    assert (shown(table, "disarm", "n"), shown(table, "disarm", "spread")) == ("3 x 2 x 200", spread)
    assert spread == " | ".join(
        f"{100 * row[f'{part}_sd']:.0f} %" for part in ("monte_carlo", "minibatch", "trajectory")
    )


def test_a_squared_bias_is_the_mean_of_all_points() -> None:
    """Those of k = 0 to 5 are (k - 2) / 16: means of -1.5, .5 and 2.5 over 16 by trajectory."""
    summary = summarise([replicated("disarm", DISARM), replicated("rloo", RLOO)])
    row = row_of(summary.bias, "disarm")
    mean, low, high = student(np.array([-1.5, 0.5, 2.5]) / 16)
    norm = np.mean(np.arange(2.0, 8.0) ** 2)
    assert ends(row, "bias_squared") == pytest.approx((mean, low, high))
    assert low < 0 < mean
    assert ends(row, "relative_bias") == pytest.approx([math.sqrt(mean / norm), 0.0, math.sqrt(high / norm)])
    assert row["bias_floor"] == pytest.approx(math.sqrt((high - mean) / norm))
    # The smallest of six p values, .5 / 6, times six; the largest z; 8 coordinates at each point.
    assert (row["p_value"], row["max_z"], row["tested"]) == pytest.approx((0.5, 6.0, 48.0))
    table = bias_table.make(summary.bias)
    assert "Over several trajectories: the root mean square of both" in table.caption
    assert "In brackets: 95 % Student-t intervals over trajectories of the mean squared bias, carried" in table.caption
    assert "fixed minibatch" not in table.caption and "score intervals" not in table.caption
    seen = re.fullmatch(r"none seen \(could have seen >= (\d+) %\)", shown(table, "disarm", "verdict"))
    assert seen is not None and int(seen[1]) == round(100 * row["bias_floor"])


def test_a_missing_point_leaves_no_number_and_no_error() -> None:
    lacking = replicated("disarm", DISARM)
    lacking["measurements"]["points"].pop(3)
    summary = summarise([lacking, replicated("rloo", RLOO)])
    row = row_of(summary.variance, "disarm")
    assert not row["measured"] and all(math.isnan(value) for value in ends(row, "variance"))
    assert (row["trajectories"], row["minibatches"], row["replicates"]) == (3, 2, None)
    assert shown(variance_table.make(summary.variance, "rloo"), "disarm", "variance w.r.t. q") == ""
    assert row_of(summary.variance, "rloo")["measured"]
    assert findings(summary)


def test_no_variance_at_all_is_zero_and_some_at_a_point_has_no_interval() -> None:
    still, partly = np.zeros((3, 2)), DISARM.copy()
    partly[1, 1] = 0.0
    records = [replicated("still", still, log_se=0.0), replicated("partly", partly), replicated("rloo", RLOO)]
    summary = summarise(records)
    row = row_of(summary.variance, "still")
    assert (ends(row, "variance"), row["log_se"], row["noiseless"], row["at_rounding"]) == ((0, 0, 0), 0, True, True)
    table = variance_table.make(summary.variance, "rloo")
    assert shown(table, "still", "variance w.r.t. q") == "0 [0, 0]" and shown(table, "still", "spread") == ""
    row = row_of(summary.variance, "partly")
    assert row["variance"] == partly.mean() and math.isnan(row["variance_low"]) and math.isnan(row["log_se"])
    assert shown(table, "partly", "variance w.r.t. q") == "5.17 (no interval)"
    assert not row["noiseless"]
    (found,) = findings(summary)["Lowest variance"]
    assert found.points == ("step 300: `rloo` (not told apart from `partly`)",), "nothing is known of it"


def test_one_trajectory_has_minibatches_and_no_interval(tmp_path: Path) -> None:
    records = [replicated("disarm", DISARM[:1]), replicated("rloo", RLOO[:1])]
    summary = summarise(records)
    row = row_of(summary.variance, "disarm")
    assert row["variance"] == pytest.approx(5) and math.isnan(row["variance_low"]) and math.isnan(row["trajectory_sd"])
    assert row["ratio"] == pytest.approx(0.5) and math.isnan(row["ratio_low"])
    table = variance_table.make(summary.variance, "rloo")
    assert [shown(table, "disarm", title) for title in ("variance w.r.t. q", "ratio to rloo", "spread", "n")] == [
        "5.00 (no interval)", "0.500 (no interval)", "", "1 x 2 x 200"
    ]  # fmt: skip
    assert "one trajectory alone has no interval" in table.caption
    assert row_of(summary.bias, "disarm")["verdict"] == "none seen (no interval)"
    write(records, tmp_path, {"md", "csv", "png"})
    captions = (tmp_path / "figures" / "captions.md").read_text()
    assert "Mean over 2 minibatches (20 rows) of 1 trajectory, trained by rloo." in captions
    assert "Bars: none, as one trajectory tells of no other, n = 200 draws at each of 2 minibatches of 1" in captions


def test_two_trajectories_have_a_wide_interval_and_one_minibatch_no_components() -> None:
    row = row_of(summarise([replicated("disarm", DISARM[:2])]).variance, "disarm")
    half = scipy.stats.t.ppf(0.975, 1) * math.log(5 / 4) / 2
    assert ends(row, "variance") == pytest.approx(np.exp([math.log(20) / 2 + x for x in (0.0, -half, half)]))
    row = row_of(summarise([replicated("disarm", DISARM[:, :1])]).variance, "disarm")
    assert ends(row, "variance") == pytest.approx(np.exp(student(np.log([4.0, 3.0, 8.0]))))
    assert math.isnan(row["monte_carlo_sd"]) and row["minibatches"] == 1


def test_without_rare_outcomes_on_some_trajectory_there_is_no_interval() -> None:
    """8 are enough to have one; of two minibatches 4 each do, and 3.9 each do not."""
    for each, known in ((4.0, True), (3.9, False)):
        summary = summarise([replicated("disarm", DISARM, rare=each), replicated("rloo", RLOO)])
        row = row_of(summary.variance, "disarm")
        assert row["heavy_tailed"] is not known
        assert math.isfinite(row["variance_high"]) is known
        assert (row["replicates"] is not None) is known
        assert row["variance"] == pytest.approx(180 ** (1 / 3))
        bias = row_of(summary.bias, "disarm")
        assert math.isfinite(bias["bias_squared"]) and math.isfinite(bias["bias_squared_high"]) is known
    # A point's own interval may be missing; the trajectories have theirs all the same.
    row = row_of(summarise([replicated("disarm", DISARM, log_se=None)]).variance, "disarm")
    assert math.isfinite(row["variance_high"]) and math.isnan(row["monte_carlo_sd"])


def test_heavy_tails_of_older_records_follow_the_rule_that_captions_state() -> None:
    """Of before rare outcomes were counted: a kurtosis of 60 leaves 3.3 of 200 draws, one of 10 the least of 20."""

    def flags(kurtosis: float, said: bool, variance: float = 4.0, **q: Any) -> tuple[bool, bool]:
        point = place(variance)
        for part in (point["q"], point["encoder"]):
            part |= {"kurtosis": kurtosis, "heavy_tailed": said}
        del point["q"]["rare_events"]
        point["q"] |= q
        (row,) = summarise([cell("disarm", {"points": [point]}, False, 1, 1)]).variance.to_dict("records")
        return row["heavy_tailed"], row["encoder_heavy_tailed"]

    assert flags(10.5, False) == (True, True) and flags(9.9, True) == (False, False)
    assert flags(10.5, True, variance=0.0) == (False, False)
    assert flags(9.9, True, rare_events=3.0) == (True, True), "a record that counted them says so itself"


FIVE = np.array([[4.0, 6.0], [3.0, 5.0], [8.0, 10.0], [2.0, 3.0], [5.0, 7.0]])


def test_a_report_of_trajectories_says_what_its_intervals_are_over(tmp_path: Path) -> None:
    """The margin is judged by the last three trajectories, whose ratios are a half, a third and a fourth."""
    factors = np.array([[2.0], [2.0], [2.0], [3.0], [4.0]])
    records = [replicated("disarm", FIVE), replicated("rloo", FIVE * factors), replicated("st", FIVE / 9, biased=True)]
    files = write(records, tmp_path, {"md", "html", "png"})
    assert len([path for path in files if path.suffix == ".png"]) == 3  # variance, bias and total noise
    captions = (tmp_path / "figures" / "captions.md").read_text()
    assert captions.count(
        "Mean over 2 minibatches (20 rows) of each of 5 trajectories, trained by rloo.\n"
    ) == 3  # fmt: skip
    bars = (
        r"95 % Student-t interval over trajectories, n = 200 draws at each of 2 minibatches of each of 5 trajectories"
    )
    assert captions.replace("\\", "").count(f"Bars: {bars}") == 3
    _, _, own = captions.partition("## variance-")  # after what all figures share
    assert "jackknife" not in own and "fixed" not in own
    page = re.sub("</?code>", "`", (tmp_path / "report.html").read_text())
    assert "of 2 unbiased estimators; half of the trajectories choose whose ratio is told, the others tell it:" in page
    mean, low, high = np.exp(student(-np.log([2.0, 3.0, 4.0])))
    assert f"step 300: `disarm`, {mean:.3f} [{low:.3f}, {high:.3f}] of rloo" in page
    caption = (tmp_path / "tables" / "variance.md").read_text().splitlines()[2]
    assert "the ratio to rloo is paired by trajectory" in caption and "Of single points" not in caption
    assert "jackknife" not in caption and "intervals pair the two by trajectory." in caption
    # The dots of the figure are the numbers of the table, and its bars their intervals.
    summary = summarise(records)
    (plot,) = (plot for plot in plots(summary) if plot.name == "variance-digits-b")
    (axes,) = show(plot).axes
    assert sorted(mark.x for mark in marks(axes)) == pytest.approx(sorted(summary.variance["variance"]))


def test_single_points_beside_trajectories_keep_their_own_interval() -> None:
    alone = place(4.0, log_se=0.2) | {"step": None}
    settings = {"kind": "moments", "draws": 200}
    toy = record(
        settings, problem("toy", "cubic", "bernoulli", logit=1.0), Made("rloo", 2, True, 0, 0, 0), {"points": [alone]}
    )
    summary = summarise([replicated("rloo", RLOO), toy])
    table = variance_table.make(summary.variance, "rloo")
    caption = table.caption
    assert caption.index("Student-t intervals over trajectories") < caption.index("Of single points: 95 % jackknife")
    assert "Monte Carlo error of one trajectory" not in caption, "a toy has none"
    titles = [column.title for column in table.columns]
    assert {section.heading: section.cells[0][titles.index("n")] for section in table.sections} == {
        "cubic": "200", "digits/b": "3 x 2 x 200"
    }  # fmt: skip


def test_a_setting_that_a_record_does_not_have_is_not_in_its_name() -> None:
    """Numbers of trajectories and minibatches came later, and are not written where there is one of each."""
    alone = cell("rloo", {"points": [place(3.0)]}, False, 1, 1)
    for name in ("trajectories", "minibatches"):
        del alone["config"]["measurement"][name]
    sections = summarise([replicated("rloo", RLOO), alone]).variance["section"]
    assert sorted(name.partition(" (")[2] for name in sections) == ["", "minibatches=2, trajectories=3)"]


def compared(tmp_path: Path, a: Record, b: Record) -> dict[str, Any]:
    tmp_path.mkdir(exist_ok=True)
    (row,), _ = compare(folder(tmp_path / "A", [a]), folder(tmp_path / "B", [b]))
    return row


def other_draws(made: Record) -> Record:
    """A cell of its own, and so with other noise."""
    made["config"]["measurement"]["warm_up"] = 7
    return made | {"cell": cell_id(made["config"])}


def test_runs_are_compared_by_all_their_points(tmp_path: Path) -> None:
    """With other draws at the same weights the ratio is paired by trajectory, exactly 2 on each of them."""
    row = compared(tmp_path / "same", replicated("rloo", DISARM), other_draws(replicated("rloo", RLOO)))
    assert (row["point"], row["estimate"], row["low"], row["high"]) == pytest.approx((300, 2, 2, 2))
    assert row["remark"] == "independent draws at the same weights, paired over 3 trajectories"
    # Of five trajectories beside the first three of them those three.
    more = other_draws(replicated("rloo", np.vstack([RLOO, RLOO[:2]])))
    row = compared(tmp_path / "more", replicated("rloo", DISARM), more)
    assert (row["estimate"], row["remark"]) == (
        pytest.approx(2),
        "independent draws at the same weights, paired over 3 trajectories",
    )
    alone = compared(tmp_path / "alone", replicated("rloo", DISARM[:1]), other_draws(replicated("rloo", RLOO[:1])))
    assert alone["remark"].endswith("paired over 1 trajectory: no interval") and math.isnan(alone["low"])


def test_without_rare_outcomes_a_comparison_of_runs_has_no_interval(tmp_path: Path) -> None:
    """As a report has none: 3.9 are expected at each of two minibatches, of the 8 that it takes."""
    few = other_draws(replicated("rloo", RLOO * [[1], [1.1], [0.9]], rare=3.9))
    row = compared(tmp_path, replicated("rloo", DISARM), few)
    assert (row["low"], row["high"]) == (0, math.inf) and row["estimate"] == pytest.approx(2 * 0.99 ** (1 / 3))
    assert row["remark"].endswith("paired over 3 trajectories; too few rare outcomes for an interval")


def test_other_weights_are_other_trajectories(tmp_path: Path) -> None:
    again = replicated("rloo", RLOO)
    again["measurements"]["weights"] = ["others"] * 3
    row = compared(tmp_path, replicated("rloo", DISARM), again)
    found = scipy.stats.ttest_ind(np.log([10, 8, 18]), np.log([5, 4, 9]), equal_var=False).confidence_interval(0.95)
    assert (row["estimate"], row["low"], row["high"]) == pytest.approx((2, math.exp(found.low), math.exp(found.high)))
    assert row["remark"] == "other weights: trajectories are independent"


def test_a_trajectory_that_both_runs_have_is_paired_wherever_it_stands(tmp_path: Path) -> None:
    """Means of 10, 8 and 18 at weights 0 to 2, beside 5, 4 and 9 at weights 1 to 3: 4 / 10 and so on, of two."""
    one, other = replicated("rloo", RLOO), other_draws(replicated("rloo", DISARM))
    other["measurements"]["weights"] = ["weights 1", "weights 2", "weights 3"]
    row = compared(tmp_path, one, other)
    assert row["remark"] == "independent draws at the same weights, paired over 2 trajectories"
    assert row["estimate"] == pytest.approx(math.sqrt(5 / 8 * 4 / 18))


def test_the_same_draws_at_the_same_weights_are_identical_or_say_why(tmp_path: Path) -> None:
    cases: dict[str, tuple[Values, str, float]] = {
        "equal": (DISARM, "same draws: identical", 1.0),
        "rounded": (DISARM * (1 + 5e-4), "same draws: identical up to rounding", 1.0005),
        "opposite": (np.add(DISARM, [0.5, -0.5]), "same draws, other machine or versions", 1.0),
        "last": (
            np.array([[4.0, 6.0], [3.0, 5.0], [8.0, 12.0]]),
            "same draws, other machine or versions",
            (10 / 9) ** (1 / 3),
        ),
    }
    for name, (grid, remark, ratio) in cases.items():
        row = compared(tmp_path / name, replicated("rloo", DISARM), replicated("rloo", grid))
        assert (row["remark"], row["estimate"]) == (remark, pytest.approx(ratio)), name
        assert math.isnan(row["low"]) is (name != "equal")


def test_one_point_beside_several_has_no_interval(tmp_path: Path) -> None:
    single = cell("rloo", {"points": [place(3.0)]}, False, 1, 1)
    row = compared(tmp_path / "one", single, replicated("rloo", DISARM))
    assert (row["estimate"], row["remark"]) == (
        pytest.approx(180 ** (1 / 3) / 3),
        "one point beside several: no interval",
    )
    assert math.isnan(row["low"])
    lacking = replicated("rloo", DISARM)
    lacking["measurements"]["points"].pop(2)
    assert compared(tmp_path / "lacking", lacking, replicated("rloo", RLOO))["remark"] == "a variance is 0 or missing"


def test_records_measured_at_other_weights_are_not_paired() -> None:
    """Each run trained weights of its own, so that the points of the two are not the same."""
    one, other = replicated("rloo", RLOO), replicated("disarm", DISARM)
    together = summarise([one, other]).variance
    assert row_of(together, "disarm")["ratio"] == pytest.approx(0.5)
    other["measurements"]["weights"] = ["elsewhere 0", "elsewhere 1", "elsewhere 2"]
    apart = summarise([one, other]).variance
    assert math.isnan(row_of(apart, "disarm")["ratio"])
    assert apart["section"].str.contains("weights=").all() and apart["section"].nunique() == 2


def test_the_draws_of_a_trajectorys_minibatches_count_together_for_its_tails() -> None:
    """200 draws at kurtosis k are 200 / k effective ones: at 20 each two minibatches have 20, at 20.2 not quite."""
    for kurtosis, heavy in ((20.0, False), (20.2, True)):
        made = replicated("disarm", DISARM)
        for point in made["measurements"]["points"]:
            for part in (point["q"], point["encoder"]):
                part |= {"kurtosis": kurtosis if point["trajectory"] == 1 else 3.0, "heavy_tailed": True}
        row = row_of(summarise([made]).variance, "disarm")
        assert (row["heavy_tailed"], row["encoder_heavy_tailed"]) == (heavy, heavy)
