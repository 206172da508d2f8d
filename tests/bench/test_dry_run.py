"""What a plan says that its cells will take: evaluations of f, time, memory, and what runs alone."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import bench.run.probe
from bench.cli.dry_run import Foretold, foretell, in_time, in_words, sentences
from bench.records.record import Provenance, Record, Tags
from bench.suite.cost import Total, total, typical_seconds
from bench.suite.load import load_suite
from bench.suite.plan import plan
from bench.suite.schema import Cell
from tests.bench.command import Done

RUN = ["run", "small.toml", "-e", "disarm", "-e", "rloo"]


@pytest.fixture
def steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine twice as slow as a typical core."""
    monkeypatch.setattr(bench.run.probe, "slowness", lambda: 2.0)


def quick() -> list[Cell]:
    return plan(load_suite("quick")).cells


def taking(cell: Cell, seconds: float) -> Record:
    return Record(
        schema=1, cell=cell.id, status="ok", reason=None, started=None, seconds=seconds, config=cell.identity,
        tags=Tags(), measurements={}, provenance=Provenance(),
    )  # fmt: skip


def test_the_probe_is_short_and_finds_a_core() -> None:
    assert 0.02 < bench.run.probe.slowness() < 50


def test_nothing_known_is_told_by_the_probe(steady: None) -> None:
    cells = quick()
    found = foretell(cells, [], 1)
    typical = typical_seconds(cells)
    assert found.seconds == pytest.approx(2 * sum(typical.values()))
    assert found.by == "by a short probe of this machine"
    assert found.alone == sum(cell.measurement.kind == "time" for cell in cells) == 40
    assert found.total == total(cells)
    alone = sum(typical[cell.id] for cell in cells if cell.measurement.alone)
    assert foretell(cells, [], 4).seconds == pytest.approx(2 * ((sum(typical.values()) - alone) / 4 + alone))


def test_records_tell_what_others_like_them_will_take(steady: None) -> None:
    cells = quick()
    typical = typical_seconds(cells)
    done = [taking(cell, 3 * typical[cell.id]) for cell in cells[: len(cells) // 2]]
    found = foretell(cells, done, 1)
    assert found.by == "by the records of the folder"
    left = sum(typical[cell.id] for cell in cells[len(cells) // 2 :])
    assert found.seconds == pytest.approx(3 * left, rel=1e-6)
    every = foretell(cells, [taking(cell, 1.0) for cell in cells], 1)
    assert (every.seconds, every.alone, every.total.evaluations) == (0, 0, 0)
    assert sentences(every) == []


def test_what_says_nothing_of_itself_is_unknown() -> None:
    assert sentences(Foretold(Total(0.0, None, 0.0, 3), None, "", 0)) == [
        "3 cells of a measurement that does not say what it costs"
    ]


def test_a_person_reads_it_before_the_count(
    gradest: Callable[..., Done], steady: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = [" ".join(line.split()) for line in gradest(*RUN, "--dry-run").out.splitlines()]
    at = next(i for i, line in enumerate(lines) if "evaluations of f; time: about" in line)
    assert lines[at].endswith("thousand evaluations of f; time: about 1 s, by a short probe of this machine")
    assert "of memory, which" in " ".join(lines[at + 1 :])
    assert lines[-2] == "2 timing cells run alone, after the others"
    assert not (tmp_path / "runs").exists()
    said = json.loads(gradest(*RUN, "--dry-run", "--json").out)["to_run"]
    assert said["evaluations_of_f"] > 1000
    assert said["seconds_by"] == "by a short probe of this machine"
    assert said["alone"] == 2
    assert said["unknown"] == 0
    assert said["memory_bytes"] > 1e6


def test_numbers_are_said_as_a_person_would() -> None:
    assert [in_words(n) for n in (7, 999, 1234, 56_700, 1.2e7, 3.4e11, 5e16)] == [
        "7", "999", "1.2 thousand", "57 thousand", "12 million", "340 billion", "50000 trillion",
    ]  # fmt: skip
    assert [in_words(n) for n in (99.7e3, 999.4, 999.7e3)] == ["100 thousand", "999", "1 million"]
    assert [in_time(n) for n in (0.2, 61, 121, 7000, 7300, 200_000)] == [
        "1 s", "61 s", "2 min", "117 min", "2 h", "2 days",
    ]  # fmt: skip


def test_a_suite_for_a_gpu_tells_of_one() -> None:
    """In a line of its own, after what this machine would take."""
    found = Foretold(Total(5e6, None, 0.0, 0, 3e6, 7300.0), 90.0, "by hand", 0)
    assert sentences(found) == ["time: about 90 s, by hand", "on an H100: about 2 h, by recorded steps of one"]
    cell = plan(load_suite("quick")).cells[0]
    assert sentences(found._replace(total=found.total._replace(largest=cell, memory=2e9)))[:2] == [
        "3 million steps of training", "5 million evaluations of f; time: about 90 s, by hand",
    ]  # fmt: skip
