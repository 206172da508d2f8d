"""The progress line in a pseudoterminal of 80 and of 40 columns, and the time left that it tells."""

import os
import re
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from bench.cli.loudness import ASKED
from bench.cli.terminal import Display, Left
from tests.bench.screens import screen


def cell(name: str, kind: str, cost: int) -> Any:
    about = {"measurement": SimpleNamespace(kind=kind), "problem": SimpleNamespace(cost=cost)}
    return SimpleNamespace(id=name, title=f"{kind} digits/bernoulli-20/nonlinear {name}", **about)


LONG = "reinforce[baseline=input-dependent,variance_normalisation=true]"
CELLS = [cell(f"{LONG}{i}", "moments", 20) for i in range(3)]


def test_the_time_left_is_by_medians_of_a_kind() -> None:
    """Of 4 toys of 1 s and 2 trainings of 100 s the rough cost says 1 to 20."""
    toys, trainings = [cell(f"t{i}", "moments", 1) for i in range(4)], [cell(f"v{i}", "train", 20) for i in range(2)]
    left = Left([*toys, *trainings])
    assert left.seconds(0.0) == 0  # nothing is known yet
    left.finish(toys[0], 1.0)
    assert left.seconds(1.0) == 3 * 1 + 2 * 20  # the cost alone, at a second a unit
    left.finish(trainings[0], 100.0)
    assert left.seconds(101.0) == pytest.approx(3 * 1 + 100)
    left.finish(toys[1], 9.0)  # one slow toy: the median of two is 5
    assert left.seconds(110.0) == pytest.approx(110 * (2 * 5 + 100) / (5 + 5 + 100))
    # Two processes bring twice the work in the same time.
    assert left.seconds(55.0) == pytest.approx(55 * (2 * 5 + 100) / (5 + 5 + 100))
    left.finish(toys[2], None)
    left.finish(toys[3], None)
    left.finish(trainings[1], None)
    assert left.seconds(200.0) == 0


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
                display.cell_done(SimpleNamespace(seconds=60.0, went_well=True), one)  # type: ignore[arg-type]
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
            record = SimpleNamespace(seconds=60.0, went_well=i != 1, status="failed", reason="why")
            display.cell_done(record, one)  # type: ignore[arg-type]
    assert capsys.readouterr().err == said.format(*(one.title for one in CELLS))
