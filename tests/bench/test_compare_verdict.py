"""What two runs come to: what changed is named and by how much, and runs that differ in nothing but their seed do not.

Numbers are drawn as cells draw them, so that the verdict is held against what chance makes of hundreds of comparisons.
"""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm, t

from bench.records.record import read
from bench.records.results import Noise
from bench.report.compare.notes import Difference
from bench.report.compare.pairs import Pair
from bench.report.compare.quantities import Row, rows_of
from bench.report.compare.runs import Comparison, compare
from bench.report.compare.shown import left, long, page, plain, short, shown
from bench.report.compare.significance import corrected, effective, p_value
from bench.report.compare.verdict import Verdict, judge
from bench.statistics import Interval, kurtosis, median_log_se, variance_log_se
from tests.bench.test_compare import elbos, folder, made, times, variances

Record = dict[str, Any]


def of(*rows: Row, alone: tuple[list[str], list[str]] = ([], [])) -> Verdict:
    return judge(Comparison(("A", "B"), list(rows), alone, [], [], []))


def row(estimate: float, half: float, p: float, **more: Any) -> Row:
    """A step time by default; its interval is the estimate times and over e^half."""
    ends = estimate * math.exp(-half), estimate * math.exp(half)
    given = {"kind": "time", "quantity": "step time B/A, in plain steps", "point": None, "p_value": p} | more
    names = {"problem": given.pop("problem", "digits"), "estimator": given.pop("estimator", "rloo")}
    return Row(**names, estimate=estimate, low=ends[0], high=ends[1], remark=given.pop("remark", ""), **given)


def test_a_p_value_is_that_of_the_interval() -> None:
    """1.96 standard errors out it is .05, 3.29 out .001; of Student's t its own quantiles; no interval has none."""
    half = 0.2
    for errors, expected in ((norm.isf(0.025), 0.05), (norm.isf(0.0005), 0.001)):
        ratio = math.exp(errors * half / norm.isf(0.025))
        found = p_value(Interval(ratio, ratio * math.exp(-half), ratio * math.exp(half)), 1, math.inf)
        assert found == pytest.approx(expected)
    # Of 5 stretches: the half-width holds 2.776 standard errors, and .001 lies at 8.61 of them.
    ratio = math.exp(t.isf(0.0005, 4) / t.isf(0.025, 4) * half)
    assert p_value(Interval(ratio, ratio * math.exp(-half), ratio * math.exp(half)), 1, 4) == pytest.approx(0.001)
    assert p_value(Interval(-3.0, -4.0, -2.0), 0, 9) == pytest.approx(2 * t.sf(3 * t.isf(0.025, 9), 9))
    assert p_value(Interval(3.0, 0.0, math.inf), 1, 9) == 1
    assert math.isnan(p_value(Interval(3.0, math.nan, math.nan), 1, 9))
    assert (p_value(Interval(0.0, 0.0, 0.0), 1, 9), p_value(Interval(1.0, 1.0, 1.0), 1, 9)) == (0, 1)


def test_holms_p_values() -> None:
    """By hand: of four the smallest counts fourfold, the next threefold, and none less than one before it."""
    nan = math.nan
    assert corrected([0.01, nan, 0.02, 0.014, 0.9, nan]) == pytest.approx(
        [0.04, nan, 0.042, 0.042, 0.9, nan], nan_ok=True
    )
    assert corrected([0.6, 0.7]) == [1.0, 1.0]
    assert corrected([]) == []


def test_a_variance_of_few_effective_draws_has_few_degrees_of_freedom() -> None:
    assert effective(Noise(kurtosis=4.0), 1000) == 249
    assert effective(Noise(kurtosis=900.0), 1000) == 2
    assert math.isinf(effective(Noise(), 1000))


def test_the_verdict_names_what_is_slower_and_by_how_much() -> None:
    busy = {"doubts": ("B on a busy machine",)}
    verdict = of(
        row(1.01, 0.1, 0.8, estimator="arm"),
        row(1.5, 0.1, 1e-6, estimator="rebar", **busy),
        row(0.9, 0.1, 0.04, estimator="disarm"),
        row(3.0, 0.1, 1e-9, kind="moments", quantity="variance B/A", point=300, estimator="ugc"),
        row(1.0, 0.0, math.nan, kind="moments", quantity="variance B/A", point=0, likeness="equal"),
        alone=(["time digits exact"], []),
    )
    assert verdict.lines() == [
        "2 of 5 changed: 1 slower, 0 faster, 1 higher variance; 1 identical, 2 not told apart.",
        "slower: rebar on digits: 1.50 [1.36, 1.66]",
        "higher variance: ugc on digits at 300: 3.00 [2.71, 3.32]",
        "all 3 steps together, in plain steps: 1.11 [0.57, 2.16] times A's, not told apart",
        "1 not told apart has a 95 % interval that leaves out no change: of 4 some 0.20 do by chance",
        "doubt 1 of 3 step times: B on a busy machine",
        "1 cell went well in A alone: time digits exact",
        verdict.rule(),
    ]
    assert "(5 tests)" in verdict.rule()  # four, and the steps together
    assert [one.row.estimator for one in verdict.judged] == ["ugc", "rebar", "disarm", "arm", "rloo"]


def test_what_is_asked_for_fails() -> None:
    nothing = of(row(1.0, 0.1, 0.9))
    slower = of(row(2.0, 0.1, 1e-9), alone=(["x"], []))
    worse = of(row(2.0, 0.1, 1e-9, kind="moments"), row(-2.0, 0.1, 1e-9, kind="train", nothing=0.0), alone=([], ["x"]))
    asked = ["changed", "slower", "faster", "higher-variance", "lower-elbo", "missing"]
    assert nothing.fails(asked) == []
    assert slower.fails(asked) == ["changed", "slower", "missing"]
    assert worse.fails(asked) == ["changed", "higher-variance", "lower-elbo"]
    assert worse.fails([]) == []


def test_steps_that_are_all_a_little_slower_are_seen_together() -> None:
    """None of them alone, each with 10 % of noise; 40 of them with 5 % more."""
    rng = np.random.default_rng(0)
    rows = [row(math.exp(0.05 + 0.03 * rng.normal()), 0.1, 0.3, estimator=f"e{i}") for i in range(40)]
    verdict = of(*rows)
    whole = "all 40 steps together, in plain steps slower"  # in the one line of --quiet and of CI too
    assert verdict.sentence() == f"0 of 40 changed: 0 slower, 0 faster; 40 not told apart; {whole}."
    assert [one.outcome for one in verdict.together] == ["slower"]
    assert verdict.fails(["slower"]) == ["slower"]
    assert verdict.lines()[1].endswith("times A's, slower")


def test_settings_that_differ_are_a_doubt() -> None:
    apart = [Difference("draws", "1", "2", "moments"), Difference("steps", "1", "2", "train")]
    verdict = judge(Comparison(("A", "B"), [row(1.0, 0.1, math.nan)], ([], []), [], apart, []))
    assert verdict.lines()[:2] == [
        "0 of 1 changed: 0 slower, 0 faster; 1 untested for want of an interval.",
        "doubt moments and train: their settings differ (below), and may be what changed",
    ]


def test_without_times_it_is_said_that_speed_is_not_known() -> None:
    lines = of(row(1.0, 0.1, 0.9, kind="moments")).lines()
    assert lines[0] == "0 of 1 changed; 1 not told apart."
    assert lines[1] == "no step was timed in both runs: whether any is slower is not known"


@pytest.mark.parametrize(
    ("old", "new", "about", "outcome"),
    [
        ((4.0, 0.1), (4.0, 0.1), {}, "identical"),
        ((4.0, 0.1), (4.0039, 0.1), {}, "identical"),  # rounding of another machine
        # The same draws, other numbers: by less than the draws' own noise, and by more.
        ((4.0, 0.1), (4.4, 0.1), {"estimator_source": "other"}, "other-numbers"),
        ((4.0, 0.1), (9.0, 0.1), {"estimator_source": "other"}, "higher-variance"),
        ((4.0, 0.1), (4.4, 0.1), {"settings": {"draws": 7}}, "not-told-apart"),
        ((4.0, 0.1), (1.0, 0.1), {"settings": {"draws": 7}}, "lower-variance"),
        ((4.0, None), (1.0, 0.1), {"settings": {"draws": 7}}, "not-told-apart"),
        ((0.0, 0.0), (1.0, 0.1), {"settings": {"draws": 7}}, "higher-variance"),
        ((1.0, 0.1), (0.0, 0.0), {"settings": {"draws": 7}}, "lower-variance"),
        ((0.0, 0.0), (0.0, 0.0), {"settings": {"draws": 7}}, "identical"),
    ],
)  # fmt: skip
def test_what_two_variances_come_to(
    tmp_path: Path, old: tuple[float, Any], new: tuple[float, Any], about: Any, outcome: str
) -> None:
    runs = [made("moments", variances((0, *old)))], [made("moments", variances((0, *new)), **about)]
    verdict = judge(compare(*(folder(tmp_path / name, run) for name, run in zip("AB", runs, strict=True))))
    assert [one.outcome for one in verdict.judged] == [outcome]


def test_a_ratio_of_rounding_errors_is_no_change(tmp_path: Path) -> None:
    """A method without noise has a variance of 1e-30 beside a gradient of 1, and 3e-30 with another seed."""

    def run(variance: float, draws: int) -> Record:
        points = variances((0, variance, 0.02))
        points["points"][0]["q"]["gradient_norm"] = 1.0
        return made("moments", points, settings={"draws": draws})

    for floor, outcome in ((1e-30, "identical"), (1e-3, "higher-variance")):
        a, b = (read(run(floor * factor, factor)) for factor in (1, 3))
        verdict = of(*rows_of(Pair(a, b)))
        assert [one.outcome for one in verdict.judged] == [outcome]


def test_too_few_rare_outcomes_are_no_test(tmp_path: Path) -> None:
    """Draws that met no rare outcome have a variance of 0 and do not say that there is no noise."""

    def run(variance: float, draws: int) -> Record:
        points = variances((0, variance, 0.02 if variance else 0.0))
        points["points"][0]["q"] |= {"gradient_norm": 1.0, "rare_events": 2.0}
        return made("moments", points, settings={"draws": draws})

    verdict = of(*rows_of(Pair(read(run(0.0, 1)), read(run(1.0, 2)))))
    assert [one.outcome for one in verdict.judged] == ["untested"]


POINTS, DRAWS, CELLS, SEEDS, ROUNDS = 40, 300, 8, 10, 30


def drawn(rng: np.random.Generator, run: int) -> list[Record]:
    """A run that differs from another in its draws alone: other cells, so nothing is of the same draws."""
    tails = rng.lognormal(0.0, 0.5, (POINTS // 2, DRAWS))  # half of the points have heavy tails
    draws = np.concatenate([rng.standard_normal((POINTS // 2, DRAWS)), tails])
    d = np.square(draws - draws.mean(1, keepdims=True))
    points = variances(*((step, float(one.sum() / (DRAWS - 1)), variance_log_se(one)) for step, one in enumerate(d)))
    for point, one in zip(points["points"], d, strict=True):
        point["draws"] = DRAWS
        point["q"]["kurtosis"] = kurtosis(one)
    other = {"settings": {"draws": run}}
    records = [made("moments", points, **other)]
    for cell in range(CELLS):
        label = f"e{cell}"
        rounds = np.exp(0.05 * rng.standard_normal(ROUNDS))
        seconds = times((1.0, 0.1), (float(np.median(rounds)), median_log_se(rounds)), load=None)
        records.append(made("time", seconds, label=label, **other))
        records.append(
            made("train", elbos(list(range(SEEDS)), rng.normal(-20, 1, SEEDS).tolist()), label=label, **other)
        )
    return records


def test_runs_that_differ_in_their_seed_alone_are_said_to_have_changed_in_one_of_twenty_at_most() -> None:
    rng = np.random.default_rng(18)
    changed, beside = 0, 0
    for _ in range(200):
        runs = ([read(record) for record in drawn(rng, run)] for run in (1, 2))
        rows = [found for a, b in zip(*runs, strict=True) for found in rows_of(Pair(a, b))]
        assert len(rows) == POINTS + 2 * CELLS
        verdict = of(*rows)
        changed += bool(verdict.fails(["changed"]))
        beside += any(found.p_value < 0.05 for found in rows)
    assert changed <= 10
    assert beside > 150  # what the correction is for


def test_a_verdict_is_rows_for_a_terminal_values_for_a_program_and_a_page() -> None:
    verdict = of(
        row(2.0, 0.1, 1e-9, estimator="<b>&", remark="B on a busy machine"),
        row(3.0, math.inf, 1.0, kind="moments", quantity="variance B/A", point=2.0),
        row(1.0, math.nan, math.nan, kind="train", quantity="test ELBO B - A", nothing=0.0, point=0.1),
    )._replace(
        comparison=Comparison(
            ("A", "B"), [], ([], ["a cell"]), ["1 record left out."],
            [Difference("draws", "1", "2", "moments")], [Difference("torch", "2.1", "2.2")],
        )
    )  # fmt: skip
    assert [one.row.estimator for one in shown(verdict, everything=False)] == ["<b>&"]
    assert len(shown(verdict, everything=True)) == 3
    assert left(verdict) == "2 more not known to have changed; --all shows them"
    assert [list(short(one).values()) for one in verdict.judged] == [
        ["slower", "<b>& on digits, step time B/A, in plain steps", "2.00 [1.81, 2.21]", "2.0e-9"],
        ["not-told-apart", "rloo on digits at 2, variance B/A", "3.00 [0, ∞]", "1.0"],
        ["untested", "rloo on digits, learning rate 0.1, test ELBO B - A", "1.00 (no interval)", "-"],
    ]
    assert long(verdict.judged[0])["remark"] == "B on a busy machine"
    found = json.loads(json.dumps(plain(verdict), allow_nan=False))
    assert (found["compared"], found["changed"], found["counts"]["slower"]) == (3, 1, 1)
    assert found["runs"]["b"] == {"name": "B", "alone": ["a cell"]}
    assert found["settings"] == [{"name": "draws", "a": "1", "b": "2", "kind": "moments"}]
    assert found["provenance"] == [{"name": "torch", "a": "2.1", "b": "2.2"}]
    assert [(one["outcome"], one["high"]) for one in found["rows"][1:]] == [
        ("not-told-apart", "inf"),
        ("untested", None),
    ]
    text = page(verdict)
    assert "&lt;b&gt;&amp;" in text and "<b>&" not in text
    assert "SETTINGS DIFFER: moments draws: 1 in A, 2 in B" in text
    assert "1 cell that went well in B alone" in text
    assert "http" not in text  # it needs no other file
