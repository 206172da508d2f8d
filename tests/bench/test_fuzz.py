"""Whatever is typed is answered in one line, and whatever is accepted is written and read back as it was."""

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.cli.guard import BAD_INPUT, CUT, LONGEST, complain
from bench.cli.loudness import ASKED
from bench.run.files import write_atomic
from bench.studies.chaos import answer, fuzz, made
from bench.studies.chaos.answer import MOST, Outcome, typed
from bench.studies.chaos.fuzz import SORTS, Row
from bench.suite.load import parse_suite
from bench.suite.plan import plan
from bench.suite.toml import dumps
from estimators import registry

QUIETLY = settings(
    max_examples=40, derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
TEXT = st.text(max_size=20)
NUMBER = st.one_of(st.integers(-3, 100), st.floats(), st.integers())
POINTS = st.lists(st.one_of(st.sampled_from([0, 0.0, -0.0, 1, 4.5, 6]), st.floats(0, 50)), min_size=1, max_size=4)
TOY = st.fixed_dictionaries(
    {"kind": st.just("toy"), "family": st.just("bernoulli"), "objective": st.sampled_from(["cubic", "random"])},
    optional={"latents": st.integers(1, 5), "target": NUMBER, "label": TEXT, "table": st.integers(0, 9)},
)  # fmt: skip
TOYS = st.builds(lambda toy, logits: toy | {"logits": logits}, TOY, POINTS)
LABEL = st.sampled_from([entry.name for entry in registry.available() if "bernoulli" in entry.families])
ESTIMATOR = st.one_of(LABEL, st.fixed_dictionaries({"name": LABEL, "label": TEXT}))
SUITE = st.fixed_dictionaries(
    {
        "name": st.from_regex(r"[a-z][a-z0-9-]{0,9}", fullmatch=True),
        "problems": st.lists(TOYS, min_size=1, max_size=3),
        "estimators": st.lists(ESTIMATOR, min_size=1, max_size=3),
        "moments": st.fixed_dictionaries({}, optional={"draws": st.integers(3, 50), "exact": st.booleans()}),
    },
    optional={"title": TEXT, "seeds": st.integers(1, 20), "threads": st.integers(1, 8), "samples": st.integers(1, 9)},
)  # fmt: skip


ACCEPTED = Counter[bool]()


@QUIETLY
@given(SUITE)
def test_a_suite_that_is_accepted_is_planned_once_written_and_read_back(data: dict[str, Any]) -> None:
    try:
        suite = parse_suite(dumps(data).encode(), "a.toml")
        chosen = plan(suite)
    except ValueError:  # BadInput, or of what no file can say: half a character, or NaN
        ACCEPTED[False] += 1
        return
    ACCEPTED[True] += 1
    ids = [cell.id for cell in chosen.cells]
    assert len(set(ids)) == len(ids)
    again = parse_suite(dumps(suite.model_dump(mode="json", exclude_none=True)).encode(), "a.toml")
    assert again == suite
    assert [cell.id for cell in plan(again).cells] == ids


def test_such_suites_are_accepted_and_refused() -> None:
    """Or the test above would have looked at one sort alone."""
    if sum(ACCEPTED.values()):
        assert min(ACCEPTED[True], ACCEPTED[False]) >= 3


def test_whatever_is_typed_is_answered_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A seeded part of `python -m bench.studies.chaos.fuzz`."""
    said = list[str]()
    rows = fuzz.fuzz(240, 0, lambda what, outcome, number: said.append(f"{what} {number}: {outcome.said[-500:]}"))
    assert said == []
    assert [row.what for row in rows] == [*SORTS]
    assert sum(row.tried for row in rows) == 240
    assert sum(row.refused for row in rows) > 80
    # A sort of which nothing is accepted tries what lies before a refusal alone.
    fair = [row for row in rows if row.what not in ("suites, values changed", "suites, bytes changed")]
    assert [row.what for row in fair if min(row.accepted, row.refused) < 4] == []
    assert max(row.longest for row in rows) <= LONGEST


def test_a_fault_is_counted_for_what_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    line = f"error: {'a' * (LONGEST - 7)}\n"
    row = Row("x")
    for outcome in (
        Outcome(BAD_INPUT, line, 0.1), Outcome(BAD_INPUT, f"a{line}", 0.1), Outcome(BAD_INPUT, f"{line}b", 0.1),
        Outcome(BAD_INPUT, "error: \x1b", 0.1), Outcome(BAD_INPUT, "", 0.1), Outcome(0, "", 0.1),
        Outcome(1, "wrong", 0.1), Outcome(None, "Traceback", 0.1), Outcome(None, "", MOST),
    ):  # fmt: skip
        row = row.with_one(outcome)
    assert row == ("x", 9, 1, 2, 4, 1, 1, LONGEST)
    assert row.faults == 6
    lines = fuzz.table([row, row._replace(what="yy", longest=5)]).splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["x", "9", "1", "2", "4", "1", "1", "300"],
        ["yy", "9", "1", "2", "4", "1", "1", "5"],
        ["all", "18", "2", "4", "8", "2", "2", "300"],
    ]


def test_what_would_take_long_or_write_elsewhere_ends_and_was_accepted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    assert typed("check", "rloo").code == 0
    assert typed("check", "rloo[samples=1]").refused
    (here / "held.toml").write_bytes(fuzz.HELD)
    assert typed("run", "held.toml", "--out", "held").code == 0
    assert sorted(tmp_path.rglob("*")) == [here, here / "held.toml"]
    fuzz.run_suite(parse_suite(fuzz.HELD, "held.toml"), here / "held", executor=fuzz.inline)
    before = sorted(tmp_path.rglob("*"))
    assert typed("report", "held", "--out", "../there", within=60).code == 0
    assert typed("compare", "held", "held", "--html", str(tmp_path / "page.html"), within=60).code == 0
    assert sorted(tmp_path.rglob("*")) == before
    assert typed("report", "held", "--out", "../here/there", within=60).code == 0
    assert {one.suffix for one in (here / "there").rglob("*.*")} == {".csv", ".md", ".parquet", ".tex"}


def test_an_answer_that_does_not_come_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    def forever() -> None:
        while True:
            pass

    monkeypatch.setattr(answer, "main", forever)
    outcome = typed("list", within=0.1)
    assert outcome[:2] == (None, "")

    def broken() -> None:
        raise RuntimeError("no such luck")

    monkeypatch.setattr(answer, "main", broken)
    assert typed("list").said.endswith("RuntimeError: no such luck\n")


def test_a_fuzzed_suite_differs_from_the_next() -> None:
    for make in (made.of_values, made.of_bytes, made.of_schema):
        different = {make(random.Random(i)) for i in range(20)}
        assert len(different) > 15
        assert make(random.Random(3)) == make(random.Random(3))


def test_a_long_complaint_is_cut_but_where_all_of_it_is_asked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    long = "bc " * 333 + "b"
    assert complain(long) == BAD_INPUT
    assert capsys.readouterr().err == f"error: {long[: LONGEST - 7 - len(CUT)]}{CUT}\n"
    complain(f"no {'9' * 500} here; nearest: 8")  # what a person typed is cut in its middle, and not what to do
    assert capsys.readouterr().err == f"error: no {'9' * 60}...{'9' * 10} here; nearest: 8\n"
    complain("b" * (LONGEST - 7))
    assert len(capsys.readouterr().err) == LONGEST + 1
    complain(long, whole=True)
    assert capsys.readouterr().err == f"error: {long}\n"
    monkeypatch.setattr(ASKED, "verbose", True)
    complain(long)
    assert capsys.readouterr().err == f"error: {long}\n"


@pytest.mark.parametrize("path", ["", ".", "..", "/", "x/.."])
def test_a_file_is_not_written_under_the_name_of_a_folder(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of `--html .` pathlib made a ValueError, which ended in a traceback."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(IsADirectoryError):
        write_atomic(Path(path), b"page")
    assert [*tmp_path.iterdir()] == []
