"""What a report says of times: an efficiency's interval, a busy machine, a floor that is none."""

import copy
import math
import re
from typing import Any

import numpy as np
import pytest
import scipy.stats

from bench.report.figures import efficiency, plots
from bench.report.figures import time as time_figure
from bench.report.findings import FIRST, findings
from bench.report.summary import RELATIVE_TO, summarise
from bench.report.tables import render, time
from bench.report.text import interval
from bench.statistics import best, ratio_interval
from tests.bench import records as made_up
from tests.bench.records import VAE, Made, Record, find, quick

RECORDS = [r for r in quick() if r["config"]["problem"]["label"] == "digits/bernoulli-8/nonlinear"]
for made in RECORDS:  # all spend equally much, so that they are held against each other
    for point in made["measurements"].get("points", []):
        point["f_evals"] = 2
TOPIC = "Highest efficiency, 1 / (variance x seconds)"


def timed(records: list[Record], label: str) -> Record:
    """The measurements of its time cell."""
    return find(records, "time", label)["measurements"]


def notes(records: list[Record], label: str) -> str:
    """What the time table notes of an estimator."""
    summary = summarise(records)
    (row,) = summary.time[summary.time["label"] == label].to_dict("records")
    return time._note(row)


def test_an_efficiency_holds_the_noise_of_draws_and_of_clocks() -> None:
    records = copy.deepcopy(RECORDS)
    timed(records, "disarm")["plain_ratio"]["log_se"] = 0.3
    timed(records, RELATIVE_TO)["plain_ratio"]["log_se"] = 0.4
    summary = summarise(records)
    (row,) = summary.time[summary.time["label"] == "disarm"].to_dict("records")
    variances = [find(records, "moments", label)["measurements"]["points"][2]["q"]["variance"]
                 for label in (RELATIVE_TO, "disarm")]  # fmt: skip
    costs = [timed(records, label)["plain_ratio"]["median"] for label in (RELATIVE_TO, "disarm")]
    products = [variance["estimate"] * cost for variance, cost in zip(variances, costs, strict=True)]
    noise = [math.hypot(variances[0]["log_se"], 0.4), math.hypot(variances[1]["log_se"], 0.3)]
    expected = ratio_interval(products[0], noise[0], products[1], noise[1])
    found = [row[f"efficiency_seconds{end}"] for end in ("", "_low", "_high")]
    assert found == pytest.approx(expected)
    assert found[2] / found[0] > math.exp(1.96 * 0.5)  # the clocks alone
    of_f = [row[f"efficiency_f_evals{end}"] for end in ("", "_high")]
    assert of_f[1] / of_f[0] == pytest.approx(math.exp(1.959964 * math.hypot(0.045, 0.045)))  # no clock in it


def test_a_record_without_the_noise_of_its_clock_is_reported_and_said_to_be() -> None:
    records = copy.deepcopy(RECORDS)
    assert "leaves the clock out" not in notes(records, "disarm")
    del timed(records, "disarm")["plain_ratio"]["log_se"]
    assert "interval leaves the clock out" in notes(records, "disarm")
    assert "leaves the clock out" not in notes(records, "rebar")
    del timed(records, RELATIVE_TO)["plain_ratio"]["log_se"]
    assert "interval leaves the clock out" in notes(records, "rebar")
    assert "leaves the clock out" not in notes(records, RELATIVE_TO)  # 1, without an interval
    assert any("leaves the clock out" in finding.text for finding in findings(summarise(records))[TOPIC])
    markdown = render.markdown(time.make(summarise(records).time, RELATIVE_TO))
    assert "interval leaves the clock out" in markdown


def test_too_few_rounds_for_the_noise_of_a_clock_bound_nothing() -> None:
    records = copy.deepcopy(RECORDS)
    timed(records, "disarm")["plain_ratio"]["log_se"] = None  # infinite
    frame = summarise(records).time
    assert frame.loc[frame["label"] == "disarm", "efficiency_seconds_high"].tolist() == [math.inf]


def winner(records: list[Record]) -> str:
    """Whom the findings name."""
    (finding,) = findings(summarise(records))[TOPIC]
    return finding.text.split("`")[1]


@pytest.mark.parametrize(("load", "is_busy"), [(1.9, False), (2.0, False), (2.1, True), (7.0, True)])
def test_what_was_timed_on_a_busy_machine_is_named_first_and_not_ranked(load: float, is_busy: bool) -> None:
    """The record says that the machine has 2 cores; nothing that its cell does brings the load above them."""
    best = winner(RECORDS)
    records = copy.deepcopy(RECORDS)
    timed(records, best)["load"] = [load, 9.0, 9.0]
    assert (winner(records) != best) == is_busy
    first = findings(summarise(records))[FIRST][0].text
    assert (first.startswith("Timed while the machine did something else") and f"`{best}`" in first) == is_busy
    if is_busy:
        assert f"load {load:.1f} on 2 cores" in first
        assert f"not ranked: load {load:.1f} on 2 cores" in notes(records, best)
    summary = summarise(records)
    front = efficiency.front(efficiency._drawable(summary.time))
    assert (best not in set(front["label"])) == is_busy
    captions = {plot.name: plot.said for plot in plots(summary)}
    for name in ("efficiency", "time"):
        said = captions[f"{name}-digits-bernoulli-8-nonlinear"]
        assert ("did something else (load above its cores)" in said) == is_busy


def test_on_a_busy_machine_nobody_wins_and_a_busy_reference_gives_no_ratio() -> None:
    records = copy.deepcopy(RECORDS)
    timed(records, RELATIVE_TO)["load"] = [7.0, 7.0, 7.0]
    (finding,) = findings(summarise(records))[TOPIC]
    assert f"times {RELATIVE_TO}" not in finding.text
    assert "relative to a time of a busy machine" in notes(records, "disarm")
    assert "relative to a time" not in notes(records, RELATIVE_TO)
    for record in records:
        if record["config"]["measurement"]["kind"] == "time":
            record["measurements"]["load"] = [7.0, 7.0, 7.0]
    summary = summarise(records)
    assert TOPIC not in findings(summary)
    assert efficiency.front(efficiency._drawable(summary.time)).empty
    for plot in plots(summary):
        if plot.name.startswith(("efficiency", "time")):
            plot.draw()


@pytest.mark.parametrize(
    ("ratio", "beaten"),
    [
        ({"median": 0.93, "q25": 0.86, "q75": 0.95, "n": 30}, True),  # an older record: its quartiles
        ({"median": 0.93, "q25": 0.86, "q75": 1.01, "n": 30}, False),
        ({"median": 0.93, "q25": 0.86, "q75": 1.01, "n": 30, "log_se": 0.03}, True),  # up to .986
        ({"median": 0.93, "q25": 0.86, "q75": 0.95, "n": 30, "log_se": 0.04}, False),  # up to 1.006
        ({"median": 0.93, "q25": 0.86, "q75": 0.95, "n": 4, "log_se": None}, False),
        ({"median": 1.2, "q25": 1.1, "q75": 1.3, "n": 30, "log_se": 0.03}, False),
    ],
)
def test_a_floor_that_is_none_is_said_to_be_and_not_drawn(ratio: Record, beaten: bool) -> None:
    records = copy.deepcopy(RECORDS)
    timed(records, "disarm")["ratio"] = ratio
    summary = summarise(records)
    said = [f.text for f in findings(summary).get(FIRST, []) if "is not one" in f.text]
    assert (len(said) == 1 and "The floor of `disarm` on digits/bernoulli-8/nonlinear is not one" in said[0]) == beaten
    assert ("below its floor" in notes(records, "disarm")) == beaten
    drawn = time_figure._drawable(summary.time)
    assert math.isnan(drawn[drawn["label"] == "disarm"]["floor_cost"].item()) == beaten
    assert drawn[drawn["label"] != "disarm"]["floor_cost"].notna().all()
    caption = next(plot.said for plot in plots(summary) if plot.name.startswith("time-"))
    assert ("so that it is none: disarm" in caption) == beaten


def test_variances_of_two_settings_make_no_efficiency() -> None:
    """A variance falls with the rows that it is the mean of: ten times as many are no tenfold efficiency."""
    records = copy.deepcopy(RECORDS)
    names = [f"efficiency_{cost}" for cost in ("seconds", "f_evals", "total", "mse_seconds")]

    def found() -> list[float]:
        time = summarise(records).time
        return [float(x) for x in time.loc[time["label"] == "disarm", names].iloc[0]]

    assert all(value > 0 for value in found())
    find(records, "moments", "disarm")["config"]["measurement"]["rows"] = 200
    assert all(map(math.isnan, found()))


def alike(label: str, variance: float, cost: float, grid: Any = None) -> list[Record]:
    """Moments of one point, or of [trajectories, minibatches], and times; their errors are .05 and .02."""
    at = [((None, None), variance)] if grid is None else np.ndenumerate(grid)
    points = [
        {"step": 0, "draws": 900, "rows": 9, "f_evals": 2, "trajectory": place[0], "minibatch": place[1], "bias": {},
         "q": {"variance": {"estimate": float(one), "low": 0.0, "high": 9.0, "log_se": 0.05}, "gradient_norm": 1.0,
               "kurtosis": 3.0, "mse": float(one)}}
        for place, one in at
    ]  # fmt: skip
    ratio = {"median": cost, "q25": cost, "q75": cost, "n": 30, "log_se": 0.02}
    second = {"median": 1e-3, "q25": 1e-3, "q75": 1e-3, "n": 30}
    times = {"ratio": ratio, "plain_ratio": ratio, "step": second, "floor": second, "plain": second}
    who = Made(label, 2, True, 0, 0, 0)
    return [
        made_up.record({"kind": "moments"}, VAE, who, {"points": points}),
        made_up.record({"kind": "time", "batch": 50}, VAE, who, {**times, "rows": 2, "load": [0.5, 0.5, 0.5]}),
    ]


def efficient(records: list[Record]) -> str:
    (finding,) = findings(summarise(records))[TOPIC]
    return finding.text.partition("estimators: ")[2]


@pytest.mark.parametrize("trajectories", [0, 5])
def test_one_estimator_under_ten_labels_is_not_more_efficient_than_itself(
    trajectories: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told apart in a twentieth of suites at most, and a binomial's spread; the ratio of who is named holds 1."""
    monkeypatch.setattr(best, "SIMULATIONS", 0)
    monkeypatch.setattr(best, "OF_EACH", 2000)
    rng, falsely, held, suites = np.random.default_rng(5), 0, 0, 25
    for _ in range(suites):
        records = []
        for label in ("rloo", *(f"same-{i}" for i in range(9))):
            cost, grid = math.exp(0.02 * rng.normal()), np.exp(0.05 * rng.normal(size=(trajectories, 1)))
            records += alike(label, math.exp(0.05 * rng.normal()), cost, grid if trajectories else None)
        text = efficient(records)
        falsely += text.count("`") // 2 - 1 + (3 if "and 3 more" in text else 0) < 9
        ratio = re.search(r"\[(\S+), (\S+)\] times rloo \(95 % over all of them at once\)", text)
        held += ratio is None or float(ratio[1]) <= 1 <= float(ratio[2])
        assert ratio is None or "`rloo`" not in text, "a ratio to what is not told apart"
    assert falsely <= scipy.stats.binom.ppf(0.999, suites, 0.05)
    assert held >= scipy.stats.binom.ppf(0.001, suites, 0.95)


def test_who_is_told_to_be_more_efficient_is_named_alone() -> None:
    """By draws and clocks; the ratio's interval is that of one of two comparisons with rloo."""
    text = efficient([*alike("rloo", 4.0, 2.0), *alike("disarm", 1.0, 2.0), *alike("arms", 1.1, 4.0)])
    error = scipy.stats.norm.isf(0.0125) * math.hypot(0.05, 0.05, 0.02, 0.02)
    shown = interval(4.0, 4 * math.exp(-error), 4 * math.exp(error))
    assert text == f"`disarm`, {shown} times rloo (95 % over all of them at once)."
    near = efficient([*alike("rloo", 4.0, 2.0), *alike("disarm", 1.0, 2.0), *alike("arms", 1.05, 2.0)])
    assert near.startswith("`disarm` (not told apart from `arms`), 4.00 [")
    grid = np.array([[1.0], [3.0], [0.5], [2.0]])
    paired = [*alike("rloo", 0, 2.0, 4 * grid), *alike("disarm", 0, 2.0, grid), *alike("arms", 0, 2.6, grid)]
    error = scipy.stats.t.isf(0.0125, 3) * math.hypot(0.02, 0.02) * 1.959964 / scipy.stats.t.isf(0.025, 3)
    shown = interval(4.0, 4 * math.exp(-error), 4 * math.exp(error))
    assert efficient(paired) == f"`disarm`, {shown} times rloo (95 % over all of them at once)."
