"""What a report says to take: sets by hand, who may be asked, and ranks that hold under chance."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.report.answer import answers
from bench.report.answered import answered
from bench.report.choices import SECONDS, Answer, Choice
from bench.report.findings import TRAINED, findings
from bench.report.ranking import rankings
from bench.report.summary import summarise
from bench.statistics import rank_intervals, rank_intervals_paired
from tests.bench.records import Made, Record, problem, record, timing

TOY = problem("toy", "toy/b", "bernoulli")


def point(label: str, variance: float, **tags: Any) -> Record:
    """An estimator at one point, with intervals of 2 %; `bias` is its squared bias, the gradient's norm is 1."""
    bias, f_evals, logit = tags.pop("bias", 0.0), tags.pop("f_evals", 2), tags.pop("logit", 0.0)
    log_se = math.log(1.02) / 1.959964
    ends = {"estimate": variance, "low": variance / 1.02, "high": variance * 1.02, "log_se": log_se}
    mse = variance + bias
    q = {"variance": ends, "gradient_norm": 1.0, "mse": mse, "mse_low": mse / 1.02, "mse_high": mse * 1.02}
    q |= {"kurtosis": 3.0, "coordinates": 4}
    relative = math.sqrt(bias)
    off = {"squared": {"estimate": bias, "low": bias, "high": bias}, "relative": relative, "p_value": 0.5}
    off |= {"relative_low": relative, "relative_high": relative, "smallest_visible": 0.01}
    made = Made(label, 2, tags.pop("unbiased", True), 0, 0, 0)
    found = record(
        {"kind": "moments", "draws": 1000},
        TOY | {"logit": logit},
        made,
        {"points": [{"draws": 1000, "f_evals": f_evals, "q": q, "bias": off}]},
    )
    return found | {"tags": found["tags"] | {"needs": "neither"} | tags}


def only(records: list[Record]) -> Answer:
    """The answer of a report with one family."""
    (found,) = answers(summarise(records))
    return found


def choice(found: Answer, question: int, line: int = -1) -> Choice:
    """What is chosen under a question."""
    made = found.lines[line].choices[question]
    assert made is not None
    return made


RECORDS = [
    point("rloo", 2.0),
    point("disarm", 1.0),
    point("arm", 1.01),
    point("rebar", 0.5, needs="relaxed f"),
    point("straight-through", 0.01, needs="gradient of f", unbiased=False, bias=0.09),
    point("wrong", 0.001, unbiased=False, negative_control=True),
]


def test_each_question_has_the_set_of_those_that_it_allows() -> None:
    found = only(RECORDS)
    assert [line.at for line in found.lines] == ["2 evaluations of f"]
    values, gradient, biased = (choice(found, i) for i in range(3))
    assert (values.names, values.of) == ("`disarm` (not told apart from `arm`)", 3)
    assert values.labels == ("`disarm`", "`arm`")
    assert (gradient.names, gradient.of) == ("`rebar`", 4)
    assert (biased.names, biased.of) == ("`straight-through` †", 5)
    assert biased.bias == "bias 30 % [30 %, 30 %] of the gradient"
    assert found.remarks == ["Negative controls, not ranked: `wrong` †."]


def test_a_ratio_holds_over_all_who_might_have_been_named() -> None:
    """Two log standard errors of 2 % intervals, at 1 - .05 / 3 of four unbiased ones."""
    from scipy.stats import norm

    log_se = math.hypot(math.log(1.02), math.log(1.02)) / 1.959964
    reach = math.exp(norm.isf(0.025 / 3) * log_se)
    assert choice(only(RECORDS), 1).ratio == f"0.250 [{0.25 / reach:.3f}, {0.25 * reach:.3f}] of rloo"


def test_a_reference_that_is_not_asked_for_is_none_of_those_who_might_have_been_named() -> None:
    """rloo, here said to need a gradient, is held beside three that do not: each of them might have been named."""
    from scipy.stats import norm

    found = only([point("rloo", 2.0, needs="gradient of f"), *(point(f"e{i}", 1.0 + i) for i in range(3))])
    reach = math.exp(norm.isf(0.025 / 3) * math.hypot(math.log(1.02), math.log(1.02)) / 1.959964)
    assert choice(found, 0).ratio == f"0.500 [{0.5 / reach:.3f}, {0.5 * reach:.3f}] of rloo"
    assert choice(found, 1).ratio == choice(found, 0).ratio


def test_one_question_s_answer_is_said_once() -> None:
    alike = [one for one in RECORDS if one["tags"]["needs"] == "neither"]
    found = only(alike)
    assert [columns for _, columns in found.lines[0].cells] == [3]  # none is biased but the control
    (sentence,) = found.sentences
    assert sentence.startswith("Unbiased, from values of f alone, and unbiased, where f is differentiable, and if a ")
    assert sentence.endswith("`disarm` is the best or not told apart from it in the only comparison; `arm` in 1 of 1.")


def test_of_many_that_are_equal_a_sentence_counts_those_that_it_does_not_name() -> None:
    (sentence,) = only([point(f"e{i}", 1 + 0.001 * i) for i in range(20)]).sentences
    assert sentence.endswith(
        "`e0` is the best or not told apart from it in the only comparison; `e1` in 1 of 1; `e2` in 1 of 1; 17 more as "
        "often."
    )


def timed(label: str, cost: float = 1.0, samples: int = 2, **more: Any) -> Record:
    """A time of an estimator beside its moments at `point`; a plain step takes the same for all."""
    where = TOY | {"logit": 0.0}
    found = timing(np.random.default_rng(0), where, Made(label, samples, True, 0, 0, cost))
    spread = found["measurements"]["plain_ratio"] | {"log_se": more.pop("log_se", 0.01)}
    found["measurements"] |= {"plain_ratio": spread}
    found["provenance"] |= more
    return found | {"cell": f"time-{label}-{samples}-{sorted(more.items())}"}


def at_samples(label: str, variance: float, samples: int) -> Record:
    """An estimator that spends as many evaluations of f as it takes samples."""
    found = point(label, variance, f_evals=samples)
    found["config"]["estimator"]["samples"] = samples
    return found | {"cell": f"{label}-{samples}"}


TWO_BUDGETS = [
    *(at_samples("rloo", 4.0 / samples, samples) for samples in (2, 4)),
    *(at_samples("disarm", 2.0 / samples, samples) for samples in (2, 4)),
    *(timed(label, samples / 2, samples) for label in ("rloo", "disarm") for samples in (2, 4)),
]


def test_an_estimator_of_two_budgets_counts_once_a_comparison() -> None:
    """At 2, at 4 evaluations, and at equal seconds, where both of its budgets are as good."""
    found = only(TWO_BUDGETS)
    assert [line.at for line in found.lines] == ["2 evaluations of f", "4 evaluations of f", SECONDS]
    assert choice(found, 0).labels == ("`disarm`", "`disarm`")
    assert choice(found, 0, 0).ratio.endswith(" of rloo") and choice(found, 0).ratio.endswith(" of `rloo, S=4`")
    assert found.sentences[0].endswith("`disarm` is the best or not told apart from it in 3 of its 3 comparisons.")


def test_seconds_of_two_machines_are_not_compared() -> None:
    """disarm is dear on one machine alone; where each was timed on another one, nothing is said."""
    moments = [point("rloo", 1.0), point("disarm", 0.5)]
    one = [timed(label, host="one") for label in ("rloo", "disarm")]
    two = [timed("rloo", host="two"), timed("disarm", 5.0, host="two")]
    found = only([*moments, *one, *two])
    said = {line.at: choice(found, 0, i).names for i, line in enumerate(found.lines) if SECONDS in line.at}
    assert said == {f"{SECONDS} (machine=one)": "`disarm`", f"{SECONDS} (machine=two)": "`rloo`"}
    assert [line.at for line in only([*moments, one[0], two[1]]).lines] == ["2 evaluations of f"]


def test_a_clock_whose_noise_is_not_known_tells_nothing_apart() -> None:
    moments = [point("rloo", 1.0), point("disarm", 0.5)]
    assert [line.at for line in only([*moments, timed("rloo"), timed("disarm")]).lines][1:] == [SECONDS]
    unknown = [timed(label) for label in ("rloo", "disarm")]
    for found in unknown:
        del found["measurements"]["plain_ratio"]["log_se"]
    assert [line.at for line in only([*moments, *unknown]).lines][1:] == []


def test_who_says_nothing_of_what_it_needs_is_not_taken_for_a_black_box() -> None:
    found = only([*RECORDS, point("mute", 0.1, needs=None)])
    assert "mute" not in choice(found, 0).names and choice(found, 1).names == "`mute`"
    assert any("Said nothing of what they need" in remark and "`mute`" in remark for remark in found.remarks)


def test_who_is_in_no_comparison_is_said() -> None:
    """One that spends as much as nobody, and one that lacks rare outcomes where another's variance is exact."""
    lacking, exact = point("rare", 0.1), point("exact", 1.0)
    lacking["measurements"]["points"][0]["q"] |= {"rare_events": 0.1}
    (at,) = exact["measurements"]["points"]
    at |= {"method": "exact", "draws": None}
    at["q"]["variance"] |= {"low": None, "high": None, "log_se": 0.0}
    found = only([point("rloo", 2.0), exact, lacking, point("dear", 0.1, f_evals=5)])
    assert choice(found, 0).of == 2
    assert found.remarks == [
        "With too few rare outcomes among the draws at some points, and not ranked beside exact ones there: `rare`.",
        "Where no other spends as many evaluations of f, not compared at equal ones: `dear`.",
    ]


def test_an_estimator_that_two_runs_measured_is_compared_once() -> None:
    """By the run of more draws; neither counts it twice, nor holds it against itself."""
    records = [point("rloo", 2.0), point("disarm", 1.0)]
    again = [point("rloo", 2.1), point("disarm", 1.001)]
    for found in again:
        found["config"]["measurement"] |= {"draws": 500}
        found["measurements"]["points"][0] |= {"draws": 500}
        found["cell"] += "-500"
    summary = summarise([*again, *records])
    (said,) = answers(summary)
    assert said == only(records) and choice(said, 0).of == 2
    assert rankings(summary.variance) == rankings(summarise(records).variance)


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((1, 2), "1 trajectory x 2 minibatches x 1000 draws"),
        ((3, 1), "3 trajectories x 1 minibatch x 1000 draws"),
    ],
)
def test_a_count_of_one_is_not_a_plural(shape: tuple[int, int], words: str) -> None:
    records = [point("rloo", 2.0), point("disarm", 1.0)]
    for found in records:
        (at,) = found["measurements"]["points"]
        places = [{"trajectory": t, "minibatch": m, "step": 0} for t, m in np.ndindex(shape)]
        found["measurements"]["points"] = [at | place for place in places]
    assert only(records).lines[0].draws == words


def test_only_equal_evaluations_are_compared_and_both_ends_of_a_sweep() -> None:
    records = [
        one
        for logit in (0.0, 3.0, 6.0)
        for one in (
            point("rloo", 2.0, logit=logit),
            point("disarm", 1.0 if logit < 6 else 4.0, logit=logit),
            point("local-expectation", 0.1, f_evals=5, logit=logit),
        )
    ]
    found = only(records)
    assert [line.point for line in found.lines] == ["|logit| 0", "|logit| 6"]
    assert [choice(found, 0, i).names for i in (0, 1)] == ["`disarm`", "`rloo`"]
    assert {made.of for line in found.lines if (made := line.choices[0])} == {2}


def test_a_report_without_moments_has_no_answer() -> None:
    time = record({"kind": "time"}, problem("vae", "digits/b", "bernoulli"), Made("rloo", 2, True, 0, 0, 1), {})
    summary = summarise([time])
    assert answers(summary) == [] and rankings(summary.variance) == []
    assert answered(summary, []) is None


def test_a_published_run_is_answered_as_its_findings_say() -> None:
    """The set that the findings give the lowest variance at a point is the answer's."""
    from bench.run.store import Store

    summary = summarise(Store(Path(__file__).parents[2] / "results" / "mnist-linear").records())
    told = findings(summary)
    shown = answered(summary, told.get(TRAINED, []))
    assert shown is not None
    (family,) = shown.families
    last = next(line for line in reversed(family.lines) if line.at != SECONDS)
    unbiased = last.choices[1]
    (variance,) = told["Lowest variance"]
    assert unbiased is not None
    assert any(unbiased.names in words for words in variance.points)
    assert family.ranking is not None
    assert [name for name, _ in family.ranking.rows[:3]] == ["straight-through †", "zgr †", "reinmax †"] or {
        name for name, _ in family.ranking.rows[:3]
    } == {"straight-through †", "zgr †", "reinmax †"}


def test_ranks_by_hand() -> None:
    """The first two are not told apart, the third is from both; one without an interval may stand anywhere."""
    assert rank_intervals([0.0, 0.01, 1.0], [0.01, 0.01, 0.01]) == [(1, 2), (1, 2), (3, 3)]
    assert rank_intervals([0.0, 1.0, 0.5], [0.01, 0.01, math.inf]) == [(1, 2), (2, 3), (1, 3)]
    assert rank_intervals([0.3], [0.1]) == [(1, 1)]
    assert rank_intervals([0.0, 1.0], [0.0, 0.0]) == [(1, 1), (2, 2)]
    paired = np.array([[0.0, 1.0, 2.0, 3.0], [0.1, 1.1, 2.1, 3.1001], [0.0, 1.3, 1.9, 3.0]])
    assert rank_intervals_paired(paired) == [(1, 2), (2, 3), (1, 3)]
    with pytest.raises(ValueError, match="without NaN"):
        rank_intervals([math.nan, 0.0], [0.1, 0.1])


def test_what_is_exact_and_equal_but_for_the_rounding_of_an_integral_shares_its_ranks() -> None:
    records = [point("a", 1.0), point("b", 1.0 + 1e-12), point("c", 2.0)]
    for found in records:
        (at,) = found["measurements"]["points"]
        ends = at["q"]["variance"] | {"low": None, "high": None, "log_se": 0.0}
        at |= {"method": "exact", "tolerance": 1e-12, "draws": None, "q": at["q"] | {"variance": ends}}
    (ranking,) = rankings(summarise(records).variance)
    assert ranking.rows == [("a", ["1 to 2"]), ("b", ["1 to 2"]), ("c", ["3"])]


@pytest.mark.parametrize("spread", [0.0, 0.05])
def test_ranks_hold_together(spread: float) -> None:
    """All intervals at once hold the true ranks in 95 % of runs at least, also where all are equal."""
    rng, wrong, runs = np.random.default_rng(3), 0, 400
    truth = spread * np.arange(8)
    for _ in range(runs):
        se = np.full(8, 0.05)
        ranges = rank_intervals(truth + se * rng.standard_normal(8), se)
        if spread:
            wrong += any(not low <= rank <= high for rank, (low, high) in enumerate(ranges, 1))
        else:
            wrong += any((low, high) != (1, 8) for low, high in ranges)
    assert wrong / runs <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)
