"""`gradest recommend`: what it reads, what it ranks by, and the sentence that it answers with."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats

from bench.cli.recommend import recommend_verb
from bench.library.recommend import answer, problem_tables, suite_of
from bench.records.record import KEYS, Record, Tags, read
from bench.report.text import number
from estimators import BadInput, get


def record(label: str, values: list[float], **options: Any) -> Record:
    """A record of a trajectory whose points have these mean squared errors, with intervals of 10 %."""
    points = []
    for step, value in enumerate(values):
        low, high = (None, None) if options.get("exact") else (value / 1.1, value * 1.1)
        mse = {"mse": value, "mse_low": low, "mse_high": high}
        if (spread := options.get("variance")) is not None:
            mse["variance"] = {"estimate": spread, "low": 0.9 * spread, "high": 1.1 * spread, "log_se": 0.05}
        bias = {"relative": options.get("bias", 0.0), **options.get("ends", {}), "untestable": options.get("rare", 0)}
        bias["squared"] = options.get("squared", {})
        method = "exact" if options.get("exact") else "sampled"
        points.append(
            {"method": method, "step": 100 * step, "f_evals": options.get("f_evals", 2), "q": mse, "bias": bias}
        )
    problem = {"kind": "vae", "label": "digits"}
    config = {"measurement": {"kind": "moments"}, "problem": problem, "estimator": {"label": label, "samples": 2}}
    found = dict.fromkeys(KEYS) | {"schema": 1, "cell": label, "status": options.get("status", "ok"), "config": config}
    found |= {"tags": {"unbiased": options.get("unbiased", True)}, "provenance": {}, "measurements": {"points": points}}
    return read(found)


def test_the_one_that_is_nearest_to_the_best_everywhere_is_taken() -> None:
    """a is best at first and five times the best in the end; b is never more than twice the best."""
    found = answer([record("a", [1.0, 50.0]), record("b", [2.0, 15.0]), record("c", [9.0, 10.0])], budget=2)
    assert [one.label for one in found.candidates] == ["b", "a", "c"]
    assert [one.worst for one in found.candidates] == pytest.approx([2, 5, 9])
    assert found.candidates[0].worst_at == "digits, step 0"
    assert found.sentence == (
        "Take b with samples=2 at 2 evaluations of f a row: its mean squared error is nowhere more than 2.00 times the "
        "least (digits, step 0): 2.00 [1.82, 2.20] at digits, step 0; 15.0 [13.6, 16.5] at digits, step 100. "
        "Measured on one training and one minibatch: intervals say nothing of others. 3 estimators compared."
    )


def test_without_a_budget_evaluations_are_charged() -> None:
    cheap, dear = record("cheap", [3.0], f_evals=1), record("dear", [1.0], f_evals=4)
    assert [one.label for one in answer([cheap, dear], budget=None).candidates] == ["cheap", "dear"]
    assert [one.label for one in answer([cheap, dear], budget=4).candidates] == ["dear", "cheap"]
    assert (
        "its mean squared error times evaluations of f is the least: 3.00"
        in answer([cheap, dear], budget=None).sentence
    )


def test_a_bias_is_said_and_the_best_unbiased_one_named() -> None:
    ends = {"relative_low": 0.0, "relative_high": 0.51}
    records = [record("sly", [1.0], unbiased=False, bias=0.0, ends=ends), record("fair", [2.0]), record("dull", [3.0])]
    said = answer(records, budget=2).sentence
    assert "It is declared biased: by 0 % [0 %, 51 %] of the gradient where it may be largest; of the unbiased" in said
    assert "of the unbiased ones take fair with" in said
    assert answer(records, budget=2, unbiased=True).candidates[0].label == "fair"


def test_ties_exact_values_and_rare_outcomes_are_said() -> None:
    said = answer([record("a", [1.0]), record("b", [1.05]), record("c", [2.0])], budget=2).sentence
    assert "The draws do not tell b from it." in said
    exact = answer([record("a", [1.0], exact=True), record("b", [1.05], exact=True)], budget=2).sentence
    assert "1.00 at digits, step 0. Without an interval: exact" in exact and "do not tell" not in exact
    alike = [record("a", [1.0, 2.0 + 1e-9], exact=True), record("b", [2.0, 2.0], exact=True)]
    assert "its mean squared error is the least at every point: " in answer(alike, budget=2).sentence
    assert "too rare for the draws" in answer([record("a", [1.0], rare=1)], budget=2).sentence
    assert "too rare" not in said


def test_ties_are_with_the_one_that_is_taken() -> None:
    """c is the compromise of a and b, and d is as good to within a tenth, though far above a and b at a point."""
    records = [record("a", [1.0, 50.0]), record("b", [50.0, 1.0]), record("c", [3.0, 3.0]), record("d", [3.1, 3.05])]
    found = answer(records, budget=2)
    assert found.candidates[0].label == "c"
    assert "The draws do not tell d from it." in found.sentence
    apart = answer([*records[:3], record("d", [3.1, 6.0])], budget=2).sentence
    assert "do not tell" not in apart


def test_one_estimator_under_ten_labels_ties_with_itself() -> None:
    """At two points, of 60 runs in a twentieth at most, and a binomial's spread."""
    rng, falsely = np.random.default_rng(4), 0
    for _ in range(60):
        values = np.exp(math.log(1.1) / 1.96 * rng.normal(size=(10, 2))).tolist()
        said = answer([record(f"e{i}", own) for i, own in enumerate(values)], budget=2).sentence
        falsely += "nor 6 more" not in said
    assert falsely <= scipy.stats.binom.ppf(0.999, 60, 0.05)


def test_what_failed_somewhere_is_not_recommended() -> None:
    records = [record("a", [1.0]), record("b", [2.0, 2.0]), record("c", [0.1, 0.1], status="failed")]
    assert [one.label for one in answer(records, budget=2).candidates] == ["b"]
    with pytest.raises(BadInput, match="nothing was measured, so that there is nothing"):
        answer(records[2:], budget=2)
    with pytest.raises(BadInput, match="nothing was measured but for biased estimators"):
        answer([record("sly", [1.0], unbiased=False)], budget=2, unbiased=True)


@pytest.mark.parametrize(
    ("text", "table"),
    [
        ("vae", {"kind": "vae"}),
        (
            "toy[objective=quadratic, logits=[0, 3.5],latents=2]",
            {"objective": "quadratic", "logits": [0, 3.5], "latents": 2},
        ),
        ("mine:Mine[centre=true,name=a-b]", {"kind": "mine:Mine", "centre": True, "name": "a-b"}),
    ],
)
def test_a_problem_is_read_as_an_estimator_is(text: str, table: dict[str, Any]) -> None:
    (found,) = problem_tables(text)
    assert found == {"kind": text.partition("[")[0]} | table


def test_a_family_stands_for_a_model_on_embedded_data() -> None:
    (found,) = problem_tables("bernoulli[latents=50]")
    assert found == {"kind": "vae", "dataset": "digits", "family": "bernoulli", "latents": 50}


def test_a_black_box_is_asked_for_values_alone() -> None:
    """Nobody that differentiates f is measured, nor a negative control; without the flag all are but the latter."""
    settings: dict[str, Any] = {"f_evals": 4, "draws": 10, "steps": 1}
    black = suite_of("bernoulli[latents=50]", **settings, black_box=True)
    entries = [get(given.name) for given in black.estimators]
    assert {entry.needs for entry in entries} == {"neither"} and "rloo" in {entry.name for entry in entries}
    every = suite_of("bernoulli[latents=50]", **settings)
    assert {given.name for given in black.estimators} < {given.name for given in every.estimators}
    assert not any(get(given.name).negative_control for given in every.estimators)
    named = suite_of("bernoulli[latents=50]", **settings, estimators=["score-no-entropy"])
    assert [given.name for given in named.estimators] == ["score-no-entropy"]  # who asks for it by name gets it
    with pytest.raises(BadInput, match="--black-box: reinmax asks for a gradient of f, not for values of f alone"):
        suite_of("bernoulli[latents=50]", **settings, estimators=["rloo", "reinmax"], black_box=True)


def test_with_unbiased_no_biased_one_is_measured() -> None:
    """Nor is one that its options make so; who names one is told before anything is measured."""
    settings: dict[str, Any] = {"f_evals": 4, "draws": 10, "steps": 1}
    found = suite_of("bernoulli[latents=50]", **settings, unbiased=True)
    assert "rloo" in {given.name for given in found.estimators}
    assert all(get(given.name).claims_unbiased(given.options) for given in found.estimators)
    for label in ("reinmax", "reinforce[baseline=input-dependent,variance_normalisation=true]"):
        named = suite_of("bernoulli[latents=50]", **settings, estimators=["rloo", label])
        assert len(named.estimators) == 2
        with pytest.raises(BadInput, match=r"--unbiased: rei\S+ is declared biased; leave out the one or the other"):
            suite_of("bernoulli[latents=50]", **settings, estimators=["rloo", label], unbiased=True)


def test_a_label_may_be_spelled_with_spaces() -> None:
    found = suite_of("bernoulli[latents=50]", f_evals=None, draws=10, steps=1, estimators=["rloo[samples= 4]"],
                     black_box=True, unbiased=True)  # fmt: skip
    assert [given.label for given in found.estimators] == ["rloo[samples=4]"]


def test_a_bias_that_nothing_stands_beside_is_not_passed_over() -> None:
    """Whoever asks of reinmax alone learns what to add."""
    found = answer([record("reinmax", [1.0], unbiased=False)], budget=2, about=["reinmax"])
    (said,) = found.biases
    assert said.startswith("Whether the bias of reinmax can be borne is not told, as no unbiased one was measured be")
    assert said.endswith("name one too, such as -e rloo.") and found.sentence.endswith(" Compared with no other.")
    assert answer([record("rloo", [1.0])], budget=2, about=["rloo"]).biases == []
    records = [record("reinmax", [1.0], unbiased=False, exact=True, bias=0.5), record("sum", [2.0], variance=0.0)]
    found = answer([*records, record("rloo", [3.0], variance=3.0)], budget=2, about=["reinmax"])
    assert found.biases == ["The bias of reinmax buys nothing at digits, step 0: sum has neither bias nor noise there."]
    assert "It is declared biased: by 50 % (exact) of the gradient" in found.sentence
    (said,) = answer([records[0], record("sum", [2.0], variance=0.0, rare=1)], budget=2, about=["reinmax"]).biases
    assert said.startswith("Whether the bias of reinmax can be borne is not told")


def test_rare_outcomes_qualify_the_verdict_on_a_bias() -> None:
    """Of the biased one, or of the one that it stands beside."""
    sly: dict[str, Any] = {"unbiased": False, "variance": 1.0, "squared": {"estimate": 1.0, "low": 0.9, "high": 1.1}}
    for rare in ((0, 0), (1, 0), (0, 1)):
        records = [record("sly", [2.0], **sly, rare=rare[0]), record("fair", [9.0], variance=9.0, rare=rare[1])]
        (said,) = answer(records, budget=2, about=["sly"]).biases
        assert "means of up to 8.00 [6.36, 10.00] steps" in said
        assert said.endswith("Some outcomes are too rare for the draws, which may hide a bias.") == any(rare)


def test_a_control_is_not_recommended() -> None:
    control = record("wrong", [0.1], unbiased=False).model_copy(update={"tags": Tags(negative_control=True)})
    assert [one.label for one in answer([control, record("a", [1.0])], budget=2).candidates] == ["a"]
    asked = answer([control, record("a", [1.0])], budget=2, about=["wrong"])
    assert [one.label for one in asked.candidates] == ["wrong", "a"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("toy[", "cannot read problem 'toy\\['; expected KIND"),
        ("vae[dataset]", "cannot read option 'dataset' of problem 'vae'; expected key=value"),
        ("toi", "unknown problem kind 'toi'; did you mean 'toy'"),
        ("toy[objective=quadratic,family=bernoulli,logit=3]", "unknown key 'logit'; did you mean 'logits'"),
        ("none.toml", "no such file: 'none.toml'"),
        ("bernouli[latents=50]", "unknown family 'bernouli'; did you mean 'bernoulli'"),
    ],
)
def test_a_problem_that_cannot_be_is_said_in_one_line(text: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        suite_of(text, f_evals=4, draws=10, steps=1)


def test_it_measures_answers_and_keeps_its_records(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one bit: exact values, the same from the records of the first time."""
    monkeypatch.chdir(tmp_path)
    problem = "toy[objective=quadratic,family=bernoulli,latents=1,logits=[1]]"
    options: dict[str, Any] = {"f_evals": 2, "estimators": ["rloo", "disarm"], "draws": 50}
    assert recommend_verb(problem, **options, steps=300, workers=1) == 0
    said = capsys.readouterr().out
    assert "Take disarm with samples=2 at 2 evaluations of f a row: its mean squared error is the least: " in said
    assert recommend_verb(problem, **options, steps=300, workers=1, as_json=True) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["answer"] in said and [row["estimator"] for row in found["ranking"]] == ["disarm", "rloo"]
    # f(1) - f(0) = .1 of z in {0, 1}; with p the chance of 1, rloo's draws differ with chance 2 p (1 - p).
    p = 1 / (1 + math.exp(-1))
    gradient, chance = 0.1 * p * (1 - p), 2 * p * (1 - p)
    mse = chance * (0.1 / 2) ** 2 - gradient**2
    assert found["ranking"][1]["quadratic/bernoulli-1, |logit| 1"] == number(mse)
    assert recommend_verb(problem, **{**options, "estimators": ["reparameterization"]}, steps=300, workers=1) == 2
    assert "fits no problem of the suite" in capsys.readouterr().err


def test_a_bias_that_is_asked_about_is_judged_beside_the_best_unbiased_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By moments that are exact; at equal evaluations of f, or with the difference said."""
    monkeypatch.chdir(tmp_path)
    problem = "toy[objective=coupled,family=bernoulli,latents=2,logits=[1]]"
    options: dict[str, Any] = {"draws": 50, "steps": 300, "workers": 1}
    named = ["straight-through", "rloo"]
    assert recommend_verb(problem, **options, estimators=named, f_evals=2, as_json=True) == 0
    found = json.loads(capsys.readouterr().out)
    (said,) = found["biases"]
    assert said.startswith("straight-through at coupled/bernoulli-2, |logit| 1: its bias is ") and "(exact)" in said
    assert "Not at equal cost" not in said
    assert recommend_verb(problem, **options, estimators=named, as_json=True) == 0
    (said,) = json.loads(capsys.readouterr().out)["biases"]
    assert said.endswith("Not at equal cost: it spends 1 evaluation of f a row, rloo 2; --f-evals makes them equal.")
