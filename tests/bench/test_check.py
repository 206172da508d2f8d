"""`gradest check`: what stands on the terminal and in JSON, from certificates made by hand."""

import json
import os

import pytest
import torch

from bench.cli import check
from estimators import BadInput
from estimators.checks import Certificate, Result

PASSED = Result("unbiased", "bernoulli", "passed", "The mean is the exact gradient.", {"z": 1.5})
FAILED = Result(
    "evaluations", "categorical", "failed", "It takes 3 evaluations, not 2.", {"found": 3}, ("It is slow.",)
)
OUT = Result("stack", "gaussian", "not applicable", "It has no state.")
SIZED = Result("bias", "bernoulli", "measured", "The bias is 0.25.")


def _certificate(*results: Result, unbiased: bool = True) -> Certificate:
    return Certificate("mine[a=1]", unbiased, (2,), 7, results, 12.6)


@pytest.mark.parametrize(
    ("certificate", "words"),
    [
        (_certificate(PASSED, OUT, SIZED), "certified: no check of 3 failed"),
        (_certificate(SIZED, OUT, unbiased=False), "declared biased and measured: no check of 2 failed"),
        (_certificate(FAILED, PASSED, OUT, FAILED, SIZED), "refuted: 2 of 5 checks failed"),
        (_certificate(FAILED, PASSED, unbiased=False), "refuted: 1 of 2 checks failed"),
    ],
)
def test_the_verdict_counts_checks_and_names_seed_and_odds(certificate: Certificate, words: str) -> None:
    tail = "(13 s, seed 7; nominal rate of false refutations 0.001)"
    assert check.verdict(certificate) == f"mine[a=1] is {words} {tail}"


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize(
    ("certificate", "good"),
    [
        (_certificate(PASSED, OUT), True),
        (_certificate(PASSED, SIZED, unbiased=False), True),
        (_certificate(PASSED, FAILED), False),
    ],
)
def test_a_check_certifies_what_was_asked_for_and_is_good_unless_refuted(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    certificate: Certificate,
    good: bool,
    as_json: bool,
) -> None:
    asked: list[object] = []

    def certify(name, options, *, seed, workers, progress) -> Certificate:
        asked.append((name, options, seed, workers))
        for result in certificate.results if progress else ():
            progress(result)
        return certificate

    monkeypatch.setattr("estimators.checks.certify", certify)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert check.check("mine[a=1,samples=4]", 11, as_json) is good
    assert asked == [("mine", {"a": 1, "samples": 4}, 11, 3)]
    printed = capsys.readouterr().out
    if not as_json:
        assert len(printed.splitlines()) >= 1 + len(certificate.results)
        assert printed.splitlines()[-1] == check.verdict(certificate)
        return
    found = json.loads(printed)
    assert found["verdict"] == {True: "certified" if certificate.unbiased else "measured", False: "refuted"}[good]
    assert (found["estimator"], found["seed"], found["seconds"]) == ("mine[a=1]", 7, 12.6)
    assert [(r["check"], r["family"], r["status"]) for r in found["results"]] == [
        (r.check, r.family, r.status) for r in certificate.results
    ]


def test_every_check_is_its_outcome_family_name_and_sentence_in_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """At a width of 77, 40 columns of text beside 37 of names; a narrower terminal has as many."""
    results = (PASSED, FAILED, OUT, SIZED)
    monkeypatch.setattr(
        "estimators.checks.certify", lambda *_, progress, **more: [*map(progress, results)] and _certificate(FAILED)
    )
    for columns in ("77", "30"):
        monkeypatch.setenv("COLUMNS", columns)
        check.check("mine", 0, as_json=False)
        lines = capsys.readouterr().out.splitlines()
        assert " ".join(" ".join(lines[5:]).split()).startswith(
            "mine[a=1] is refuted: 1 of 1 checks failed (13 s, seed 7;"
        )
        assert lines[:5] == [
            "ok        bernoulli    unbiased      The mean is the exact gradient.",
            "FAILED    categorical  evaluations   It takes 3 evaluations, not 2.",
            "                                     warning: It is slow.",
            "-         gaussian     stack         It has no state.",
            "measured  bernoulli    bias          The bias is 0.25.",
        ]
    long = Result("bias", "bernoulli", "measured", "word " * 12, warnings=("much " * 9,))
    monkeypatch.setattr(
        "estimators.checks.certify", lambda *_, progress, **more: progress(long) or _certificate(FAILED)
    )
    check.check("mine", 0, as_json=False)
    margin = " " * 37
    assert capsys.readouterr().out.splitlines()[:4] == [
        "measured  bernoulli    bias          " + "word word word word word word word word",
        margin + "word word word word",
        margin + "warning: much much much much much much",
        margin + "much much much",
    ]


@pytest.mark.parametrize(("cores", "workers"), [(1, 1), (6, 6), (64, 8), (None, 1)])
def test_a_certificate_takes_a_thread_a_core_up_to_eight(
    monkeypatch: pytest.MonkeyPatch, cores: int | None, workers: int
) -> None:
    threads: list[int] = []
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    assert check.workers() == workers
    assert threads == [1]


def test_what_cannot_be_read_is_bad_input() -> None:
    with pytest.raises(BadInput, match="cannot read estimator 'rloo"):
        check.check("rloo[samples", 0, as_json=False)
    with pytest.raises(BadInput, match="stack is no option"):
        check.check("rloo[stack=3]", 0, as_json=False)
