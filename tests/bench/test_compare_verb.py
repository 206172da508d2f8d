"""`gradest compare` as a person types it: the first screen, JSON, the exit code for CI, a page."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bench.command import Done
from tests.bench.test_compare import elbos, folder, made, times, variances

ELSEWHERE = {"estimator_source": "other"}


@pytest.fixture
def runs(tmp_path: Path) -> None:
    """B: a step of three times the time, on a busy machine; other numbers of a variance; one cell less."""
    same = [made("train", elbos([0, 1], [-20.0, -30.0]))]
    a = [
        made("time", times((9.0, 0.01), (2.0, 0.01))),
        made("moments", variances((0, 4.0, 0.1), (100, 4.0, 0.1))),
        made("moments", variances((0, 4.0, 0.1)), label="arm"),
    ]
    b = [
        made("time", times((9.0, 0.01), (6.0, 0.01), load=99.0), commit="beef"),
        made("moments", variances((0, 4.2, 0.1), (100, 4.0, 0.1)), **ELSEWHERE),
    ]
    folder(tmp_path / "A", [*same, *a])
    folder(tmp_path / "B", [*same, *b])


def test_the_first_screen_says_whether_it_is_slower(
    gradest: Callable[..., Done], runs: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    done = gradest("compare", "A", "B")
    assert (done.code, done.err) == (0, "")
    lines = [line.rstrip() for line in done.out.splitlines()]
    assert lines[:4] == [
        "2 of 4 changed: 1 slower, 0 faster, 1 other numbers; 2 identical.",
        "slower: rloo on digits: 3.00 [2.92, 3.08]",
        "doubt 1 of 1 step time: B on a busy machine",
        "1 cell went well in A alone: moments digits arm",
    ]
    assert "commit: c0ffee in A, beef, c0ffee in B" in lines
    heads = [" ".join(line.split()) for line in lines if line[:1] not in ("", " ")][-4:]
    assert heads[0] == "change comparison estimate p (Holm)"
    assert re.fullmatch(r"slower rloo on digits, step time.* 3.00 \[2.92, 3.08\] 8.2e-8", heads[1])
    assert heads[2:] == [
        "other-numbers rloo on digits at 0, variance B/A 1.05 0.73",
        "2 more not known to have changed; --all shows them",
    ]
    assert max(map(len, lines)) <= 80
    assert len(lines) < 24
    every = gradest("compare", "A", "B", "--all").out
    assert every.count("identical  ") == 2
    assert "not known to have changed" not in every
    assert "in A alone: moments digits arm" in every


def test_in_a_pipe_a_row_is_a_line_with_all_that_is_known(gradest: Callable[..., Done], runs: None) -> None:
    (line,) = [line for line in gradest("compare", "A", "B").out.splitlines() if line.startswith("slower  ")]
    words = ["slower", "digits", "rloo", "step", "time", "B/A,", "in", "plain", "steps", "-", "3", "2.92", "3.08"]
    assert line.split()[: len(words)] == words
    assert line.split()[-5:] == ["B", "on", "a", "busy", "machine"]


@pytest.mark.parametrize(
    ("asked", "code", "said"),
    [
        (["slower"], 1, "slower"),
        (["faster", "lower-elbo"], 0, ""),
        (["faster,missing", "changed"], 1, "missing, changed"),
        (["higher-variance, lower-elbo"], 0, ""),
    ],
)
def test_what_fails_ci(gradest: Callable[..., Done], runs: None, asked: list[str], code: int, said: str) -> None:
    options = [word for name in asked for word in ("--fail-on", name)]
    done = gradest("compare", "A", "B", *options)
    assert done.code == code
    assert done.out.splitlines()[-1].startswith(
        "--fail-on: found " + said if code else "2 more not known to have changed"
    )
    found = json.loads(gradest("compare", "A", "B", *options, "--json").out)
    assert (found["compared"], found["changed"]) == (4, 2)
    assert found["failed_on"] == ([] if not said else said.split(", "))


def test_a_page_is_written(gradest: Callable[..., Done], runs: None, tmp_path: Path) -> None:
    assert gradest("compare", "A", "B", "--html", "c.html").out.endswith("page: c.html\n")
    page = (tmp_path / "c.html").read_text()
    assert "<strong>2 of 4 changed: 1 slower, 0 faster" in page
    assert page.count("<tr><td") == 4


def test_what_cannot_be_compared_is_one_line(gradest: Callable[..., Done], runs: None) -> None:
    done = gradest("compare", "A", "B", "--fail-on", "slowr")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: unknown change 'slowr'; did you mean 'slower'")


def test_one_folder_twice_is_a_doubt(gradest: Callable[..., Done], runs: None) -> None:
    """A slip in the second name looks like a change that alters nothing."""
    said = gradest("compare", "A", "A").out
    assert "doubt all: both folders hold the same records" in said
    assert "the same records" not in gradest("compare", "A", "B").out
