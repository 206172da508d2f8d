"""The progress line in a pseudoterminal of 80 and of 40 columns, and the time left that it tells."""

import os
import re
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from bench.cli.loudness import ASKED
from bench.cli.terminal import Display, Left
from bench.measure.cost import Cost
from bench.records.identity import Identity
from bench.run.expected import Expected, Span, at_once
from tests.bench.screens import screen


def cell(name: str, kind: str, cost: int, typical: float | None = None) -> Any:
    """A cell of which it may be known what it takes on a typical core."""
    said = None if typical is None else Cost(1.0, typical)
    about = {
        "measurement": SimpleNamespace(kind=kind, alone=kind == "time"),
        "problem": SimpleNamespace(cost=cost, kind="toy" if cost == 1 else "vae", label="p"),
        "device": "cpu",
        "estimator": None,
        "cost": said,
    }
    return SimpleNamespace(id=name, title=f"{kind} digits/bernoulli-20/nonlinear {name}", **about, identity=identity(
        kind, "toy" if cost == 1 else "vae"))  # fmt: skip


def identity(kind: str, problem: str) -> Identity:
    return Identity.model_validate({
        "measurement": {"kind": kind}, "problem": {"kind": problem, "label": "p"}, "device": "cpu",
        "estimator": {"label": "rloo"},
    })  # fmt: skip


def record(of: Any, seconds: float | None, started: float = 0.0) -> Any:
    """A record of a cell that went well, begun at so many seconds of a day."""
    moment = (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=started)).isoformat(timespec="milliseconds")
    return SimpleNamespace(cell=of.id, config=of.identity, seconds=seconds, started=moment, went_well=True)


LONG = "reinforce[baseline=input-dependent,variance_normalisation=true]"
CELLS = [cell(f"{LONG}{i}", "moments", 20) for i in range(3)]


def test_the_time_left_is_by_medians_of_a_kind() -> None:
    """Of 5 toys of 1 s and 3 trainings of 100 s nothing is said of what they cost."""
    toys, trainings = [cell(f"t{i}", "moments", 1) for i in range(5)], [cell(f"v{i}", "train", 20) for i in range(3)]
    left = Left([*toys, *trainings])
    assert left.seconds() is None  # nothing is known yet
    left.finish(toys[0], record(toys[0], 1.0, 0.0), 1.0)
    assert left.seconds() == 7 * 1  # all like the one that is known
    left.finish(trainings[0], record(trainings[0], 100.0, 1.0), 101.0)
    assert left.seconds() == pytest.approx(4 * 1 + 2 * 100)
    left.finish(toys[1], record(toys[1], 9.0, 101.0), 110.0)  # one slow toy: the median of two is 5
    assert left.seconds() == pytest.approx(3 * 5 + 2 * 100)
    left.finish(toys[2], record(toys[2], 1.0, 116.0), 117.0)  # 6 s passed between two cells, of three such times
    assert left.seconds() == pytest.approx(2 * 1 + 2 * 100 + 4 * 6 / 3)
    left.finish(toys[3], record(toys[3], None, 117.0), 117.0)
    left.finish(toys[4], record(toys[4], None, 117.0), 117.0)
    left.finish(trainings[1], record(trainings[1], None, 117.0), 117.0)
    left.finish(trainings[2], record(trainings[2], None, 117.0), 117.0)
    assert left.seconds() == 0


def test_a_cell_that_costs_ten_times_as_much_is_expected_to_take_ten_times_as_long() -> None:
    cells = [cell(f"c{i}", "train", 20, typical) for i, typical in enumerate((1.0, 10.0, 2.0))]
    left = Left([*cells, cell("x", "moments", 1, 3.0)])
    left.finish(cells[0], record(cells[0], 1.5), 1.5)
    assert left.seconds() == pytest.approx(1.5 * (10 + 2 + 3))  # of another kind by the machine alone


def test_expected_goes_from_the_narrowest_kind_to_any_of_a_measurement() -> None:
    toys, trainings = [cell(f"t{i}", "moments", 1) for i in range(4)], [cell(f"v{i}", "moments", 20) for i in range(2)]
    expected = Expected([record(one, 1.0) for one in toys])
    assert expected.seconds(toys[0]) == expected.seconds(toys[0].identity) == 1.0
    assert expected.seconds(trainings[0]) == 1.0  # no other is known
    expected.add(record(trainings[0], 50.0))
    assert expected.seconds(trainings[1].identity) == 1.0  # one is not enough
    for _ in range(2):
        expected.add(record(trainings[0], 50.0))
    assert expected.seconds(trainings[1].identity) == 50.0
    failed = record(toys[0], 900.0)
    failed.went_well = False
    expected.add(failed)
    assert expected.seconds(toys[1]) == 1.0
    assert expected.seconds(identity("train", "vae")) is None
    assert Expected().seconds(toys[0]) is None


def test_two_at_once_take_half_as_long_but_for_those_that_run_alone() -> None:
    cells = [cell(f"c{i}", "train", 20) for i in range(8)]
    left = Left([*cells, *(cell(f"t{i}", "time", 20, 0.5) for i in range(2))])
    for i in range(4):  # two and two, of 10 s each
        left.finish(cells[i], record(cells[i], 10.0, 10.0 * (i // 2)), 10.0 * (i // 2 + 1))
    # Four trainings by two, and two times that nobody knows, as long as a usual cell each.
    assert left.seconds() == pytest.approx(4 * 10 / 2 + 2 * 10)
    assert at_once([Span.of(record(cells[0], 1.0, i / 4)) for i in range(9)]) == 4
    assert at_once([]) == at_once([Span.of(record(cells[0], None))]) == 1
    assert at_once([Span(i, 1.001) for i in range(9)]) == 1  # known to a millisecond


def test_ten_thousand_cells_are_counted_in_no_time() -> None:
    """A second is a tenth of a millisecond a cell."""
    cells = [cell(f"c{i}", "moments", 1, 0.01) for i in range(10_000)]
    began = time.process_time()
    left = Left(cells)
    for i, one in enumerate(cells):
        left.finish(one, record(one, 0.02, i / 10), i / 10)
        if i % 100 == 0:
            assert left.seconds() is not None
    assert time.process_time() - began < 5
    assert left.seconds() == 0
    assert len(left.spans) == 200


def in_a_terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a terminal so wide shows while three cells run, a line a redrawing."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("COLUMNS", raising=False)
    with screen(columns) as terminal:
        display = Display()
        width = os.get_terminal_size(terminal.file.fileno()).columns
        display.console = Console(file=terminal.file, force_terminal=True, width=width, markup=False, highlight=False)
        with display.running(CELLS, 0):
            for one in CELLS:
                display.cell_done(record(one, 60.0), one)
                display.progress.refresh()
    return terminal.lines


@pytest.mark.parametrize(("columns", "title", "bar"), [(120, True, True), (80, True, True), (55, True, False),
                                                       (40, False, False)])  # fmt: skip
def test_count_and_time_left_are_seen_at_any_width(
    columns: int, title: bool, bar: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [line for line in in_a_terminal(columns, monkeypatch) if "of 3 cells" in line]
    assert lines
    for line in lines:
        assert len(line) <= columns, line
        assert re.search(r"\d of 3 cells 0:00:0\d left (-:--:--|\d:\d\d:\d\d)\s*$", line), line
        assert line.startswith("moments digits") == title
        assert ("━" in line) == bar
    assert any("…" in line for line in lines) == title  # what runs is cut, not the rest


@pytest.mark.parametrize(
    ("quiet", "verbose", "said"),
    [
        (False, False, "3 cells to run\nfailed: {1}: why\n"),
        (False, True, "3 cells to run\nok: {0} (60.0 s)\nfailed: {1}: why\nok: {2} (60.0 s)\n"),
        (True, False, "failed: {1}: why\n"),
    ],
)
def test_quiet_and_verbose(
    quiet: bool, verbose: bool, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ASKED, "quiet", quiet)
    monkeypatch.setattr(ASKED, "verbose", verbose)
    display = Display()
    with display.running(CELLS, 0):
        for i, one in enumerate(CELLS):
            done = record(one, 60.0)
            done.went_well, done.status, done.reason = i != 1, "failed", "why"
            display.cell_done(done, one)
    assert capsys.readouterr().err == said.format(*(one.title for one in CELLS))
