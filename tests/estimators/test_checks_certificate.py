"""Certificates made of results, and what a user's pytest gets."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

import estimators
from estimators.checks import (
    ALPHA,
    CHECKS,
    BoundCheck,
    Certificate,
    Result,
    certificate,
    certify,
    checks_for,
    parametrize_with_checks,
    run_check,
    subjects,
)
from estimators.checks.result import failed
from estimators.checks.subject import Subject
from estimators.contract import Broken
from estimators.errors import BadInput
from estimators.families import FAMILIES
from tests.estimators.still import NONE, SILENT, Still, by_name, entry, subject_of

# Certificates


def test_subjects_share_what_may_be_spent() -> None:
    found = subjects("reinforce", {"baseline": "moving-average"}, seed=3, draws=77, alpha=0.3, workers=5)
    assert [subject.family for subject in found] == list(FAMILIES)
    for subject in found:
        assert subject.entry is estimators.get("reinforce")
        assert (subject.options, subject.seed, subject.draws, subject.workers) == (
            {"baseline": "moving-average"}, 3, 77, 5,
        )  # fmt: skip
        assert subject.alpha == pytest.approx(0.3 / len(FAMILIES))
    (plain,) = subjects(estimators.get("disarm"))
    assert (plain.options, plain.seed, plain.draws, plain.alpha, plain.workers) == ({}, 0, 2**18, 1e-3, 1)
    with pytest.raises(BadInput, match="unknown option of estimator 'disarm':"):
        subjects("disarm", {"no": 1})
    with pytest.raises(BadInput, match="unknown estimator 'disram'"):
        subjects("disram")


def test_an_unknown_check_is_named_with_the_nearest() -> None:
    with pytest.raises(BadInput) as raised:
        run_check("row", subject_of(Still))
    assert str(raised.value) == f"unknown check 'row'; did you mean 'rows'? Known: {', '.join(CHECKS)}"


UNDECIDED = "cannot be told where the generator does not decide the noise: see generator"


def test_what_repeats_noise_says_nothing_where_the_generator_does_not_decide_it() -> None:
    subject = subject_of(by_name("GlobalNoise"))
    for name in ("dtype", "rows", "leading-dims", "state"):
        assert run_check(name, subject) == Result(name, "bernoulli", "not applicable", UNDECIDED)
    assert run_check("evaluations", subject).status == "passed"
    assert run_check("auxiliary", subject).status == "not applicable"
    assert run_check("auxiliary", subject).message == NONE


def raising(error: Exception) -> Callable[[Subject], Result]:
    def check(subject: Subject) -> Result:
        raise error

    return check


def test_what_a_check_raises_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    subject = subject_of(Still)
    monkeypatch.setitem(CHECKS, "value", raising(Broken("it is\n broken")))
    assert run_check("value", subject) == Result("value", "bernoulli", "failed", "it is\n broken")
    for words, said in (("of\n another   kind", "of another kind"), ("w" * 201, "w" * 200)):
        monkeypatch.setitem(CHECKS, "value", raising(LookupError(words)))
        assert run_check("value", subject) == Result(
            "value",
            "bernoulli",
            "failed",
            f"the check could not be completed with what the estimator returns (LookupError: {said})",
        )


def scripted(monkeypatch: pytest.MonkeyPatch, says: Callable[[Subject, str], tuple[Any, str]]) -> list[tuple[str, str]]:
    """Puts checks a, b and c in the place of all; returns what of them is run."""
    ran: list[tuple[str, str]] = []

    def check(name: str) -> Callable[[Subject], Result]:
        def of(subject: Subject) -> Result:
            ran.append((subject.family, name))
            status, message = says(subject, name)
            return Result(name, subject.family, status, message, {"n": 1}, ("w",))

        return of

    for name in list(CHECKS):
        monkeypatch.delitem(CHECKS, name)
    for name in "abc":
        monkeypatch.setitem(CHECKS, name, check(name))
    return ran


def test_a_certificate_says_a_reason_once_a_family(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([10.0, 12.5])
    monkeypatch.setattr(certificate.time, "perf_counter", lambda: next(clock))
    ran = scripted(monkeypatch, lambda subject, name: ("failed", "the same"))
    told: list[Result] = []
    given = entry(Still, ("gaussian", "bernoulli"), samples=(2, 2))
    found = certify(given, seed=4, draws=99, alpha=0.2, workers=2, progress=told.append)
    assert ran == [(family, name) for family in ("gaussian", "bernoulli") for name in "abc"]
    expected = [
        Result(name, family, "failed", "the same" if name == "a" else "for the same reason as a", {"n": 1}, ("w",))
        for family in ("gaussian", "bernoulli")
        for name in "abc"
    ]
    assert found == Certificate("Still", True, (2, 3), 4, tuple(expected), 2.5)
    assert told == expected


@pytest.mark.parametrize(
    ("statuses", "messages", "said"),
    [
        (("failed", "failed", "failed"), ("x", "y", "y"), ("x", "y", "for the same reason as b")),
        (("failed", "passed", "failed"), ("x", "x", "x"), ("x", "x", "for the same reason as a")),
        (("passed", "failed", "failed"), ("x", "x", "z"), ("x", "x", "z")),
        (("not applicable", "measured", "passed"), ("x", "x", "x"), ("x", "x", "x")),
    ],
)
def test_only_failures_share_a_reason(
    statuses: tuple[str, ...], messages: tuple[str, ...], said: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = dict(zip("abc", zip(statuses, messages, strict=True), strict=True))
    scripted(monkeypatch, lambda subject, name: answers[name])
    found = certify(entry(Still, unbiased=False))
    assert tuple(result.message for result in found.results) == said
    assert tuple(result.status for result in found.results) == statuses
    assert found.verdict == ("refuted" if "failed" in statuses else "measured")
    assert (found.seed, found.samples, found.unbiased) == (0, (1, 3), False)
    assert found.seconds >= 0


def test_a_certificate_passes_on_what_may_be_spent(monkeypatch: pytest.MonkeyPatch) -> None:
    spent: list[tuple[Any, ...]] = []

    def says(subject: Subject, name: str) -> tuple[Any, str]:
        spent.append((subject.seed, subject.draws, subject.alpha, subject.workers, dict(subject.options)))
        return "passed", "well"

    scripted(monkeypatch, says)
    found = certify("rloo", {"samples": 4}, seed=7, draws=99, alpha=0.3, workers=2)
    assert set(map(str, spent)) == {str((7, 99, 0.3 / len(FAMILIES), 2, {"samples": 4}))}
    assert (found.estimator, found.seed, found.samples, found.verdict) == ("rloo[samples=4]", 7, (4,), "certified")
    spent.clear()
    certify("disarm")
    assert spent == [(0, 2**18, ALPHA, 1, {})] * 3


def test_a_certificate_in_plain_values() -> None:
    failure = failed("rows", "bernoulli", "moves", warnings=("of this",), share=0.2, n=3)
    assert failure == Result("rows", "bernoulli", "failed", "moves", {"share": 0.2, "n": 3}, ("of this",))
    assert failed("rows", "bernoulli", "moves") == Result("rows", "bernoulli", "failed", "moves", {}, ())
    passed, measured = replace(failure, status="passed"), replace(failure, status="measured")
    for results, unbiased, verdict in (
        ((passed, failure, measured), True, "refuted"),
        ((passed, measured), True, "certified"),
        ((passed, measured), False, "measured"),
        ((failure,), False, "refuted"),
        ((), True, "certified"),
    ):
        found = Certificate("it", unbiased, (1, 3), 2, results, 0.5)
        assert found.verdict == verdict
        assert found.failures == tuple(result for result in results if result is failure)
        assert found.plain() == {
            "verdict": verdict,
            "estimator": "it",
            "unbiased": unbiased,
            "samples": (1, 3),
            "seed": 2,
            "results": tuple(
                {"check": "rows", "family": "bernoulli", "status": result.status, "message": "moves",
                 "numbers": {"share": 0.2, "n": 3}, "warnings": ("of this",)}
                for result in results
            ),
            "seconds": 0.5,
        }  # fmt: skip


# What a user's pytest gets


def test_checks_are_bound_to_what_is_asked_for() -> None:
    disarm = estimators.get("disarm")
    for wanted, labels in (
        ("disarm", ["disarm-bernoulli"]),
        (disarm, ["disarm-bernoulli"]),
        (["disarm", disarm], ["disarm-bernoulli"] * 2),
        (("disarm", "arm"), ["disarm-bernoulli", "arm-bernoulli"]),
        (("disarm", {"samples": 4}), ["disarm[samples=4]-bernoulli"]),
        ([("disarm", {"samples": 4}), "arm"], ["disarm[samples=4]-bernoulli", "arm-bernoulli"]),
        ((("disarm", {"samples": 4}), (disarm, {})), ["disarm[samples=4]-bernoulli", "disarm-bernoulli"]),
        ((disarm, {}), ["disarm-bernoulli"]),
        ("rloo", [f"rloo-{family}" for family in FAMILIES]),
        ([], []),
    ):
        found = list(checks_for(wanted))  # type: ignore[arg-type]
        assert [check.id for check in found] == [f"{label}-{name}" for label in labels for name in CHECKS]
        assert [check.name for check in found] == list(CHECKS) * len(labels)
        assert all((check.subject.seed, check.subject.draws) == (0, 2**18) for check in found)
    assert {(c.subject.seed, c.subject.draws) for c in checks_for("rloo", seed=3, draws=8)} == {(3, 8)}


def test_a_bound_check_gives_its_result_or_raises_its_sentence() -> None:
    assert BoundCheck("generator", subject_of("exact", family="categorical"))() == Result(
        "generator", "categorical", "passed", SILENT
    )
    assert BoundCheck("auxiliary", subject_of("exact"))().status == "not applicable"
    with pytest.raises(AssertionError) as raised:
        BoundCheck("dtype", subject_of(by_name("SinglePrecisionOut")))()
    assert str(raised.value) == "SinglePrecisionOut-bernoulli-dtype: the surrogate is float32 where q is float64"


def test_a_test_is_decorated_with_all_checks() -> None:
    decorator = parametrize_with_checks(["disarm"], seed=3, draws=8)
    assert decorator.name == "parametrize"
    name, given = decorator.args
    assert name == "check"
    assert [parameter.id for parameter in given] == [f"disarm-bernoulli-{check}" for check in CHECKS]
    for parameter, check in zip(given, CHECKS, strict=True):
        (bound,) = parameter.values
        assert isinstance(bound, BoundCheck)
        assert (bound.name, bound.subject.seed, bound.subject.draws) == (check, 3, 8)
        assert not parameter.marks
    (first, *_) = parametrize_with_checks("disarm").args[1]
    assert (first.values[0].subject.seed, first.values[0].subject.draws) == (0, 2**18)


def test_expected_failures_are_strict_marks_of_their_checks() -> None:
    asked: list[str] = []

    def of(check: BoundCheck) -> dict[str, str]:
        asked.append(check.id)
        return {"dtype": "on purpose", "rows": ""} if check.subject.family == "gaussian" else {}

    def marks(expected: Any) -> dict[str, Any]:
        given = parametrize_with_checks("rloo", expected_failures=expected).args[1]
        return {parameter.id: parameter.marks for parameter in given if parameter.marks}

    xfail = pytest.mark.xfail(reason="on purpose", strict=True, raises=AssertionError)
    assert marks(of) == {"rloo-gaussian-dtype": [xfail]}
    assert asked == [check.id for check in checks_for("rloo")]
    assert list(marks({"dtype": "on purpose"})) == [
        f"rloo-{family}-dtype" for family in estimators.get("rloo").families
    ]
    assert marks({}) == marks(None) == {}


def test_expected_failures_must_name_checks() -> None:
    for expected in ({"rows": "known", "dtpe": "typo"}, lambda check: {"dtpe": "typo"}):
        with pytest.raises(BadInput) as raised:
            parametrize_with_checks("disarm", expected_failures=expected)  # type: ignore[arg-type]
        assert str(raised.value) == f"unknown check 'dtpe'; did you mean 'dtype'? Known: {', '.join(CHECKS)}"
