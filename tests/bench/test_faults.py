"""Real runs that are killed, starved, crowded and damaged: the study of faults, for some seeds, and its judge."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.records.record import Record
from bench.studies.chaos import kinds, scale, table, verdict
from bench.studies.chaos.__main__ import Lane, scheduled
from bench.studies.chaos.trial import Trial
from bench.studies.chaos.verdict import Reference
from bench.studies.results import Results, Run
from bench.suite.load import parse_suite
from bench.suite.plan import plan
from tests.bench.plain import Store, typed
from tests.bench.records import BERNOULLI, VAE, moments

KINDS = kinds.load()


@pytest.fixture(scope="module")
def lane() -> Iterator[Lane]:
    one = Lane()
    yield one
    one.end()


def tried(lane: Lane, name: str, seeds: int) -> int:
    """Try faults of a kind, of which none may go wrong; returns how many signals reached a process."""
    if reason := KINDS[name].needs():
        pytest.skip(reason)
    signals = 0
    for seed in range(seeds):
        found = lane.tried(name, seed)
        assert table.guilty(found) == [], table.command(name, seed)
        signals += found["signals"]
    return signals


def test_sixty_kills_of_a_run_lose_and_change_no_record(lane: Lane) -> None:
    assert tried(lane, "kill-often", 6) == 60


def test_kills_of_workers_lose_and_change_no_record(lane: Lane) -> None:
    assert tried(lane, "workers-killed", 4) == 16


def test_kills_of_a_run_with_workers_lose_and_change_no_record(lane: Lane) -> None:
    assert tried(lane, "runners-of-workers-killed", 4) == 16


@pytest.mark.parametrize(
    ("name", "kills"),
    [
        ("external-worker-killed", 4),
        ("external-nanny-killed", 1),
        ("external-scheduler-killed", 1),
        ("external-runner-killed", 4),
    ],
)
def test_kills_beside_an_external_scheduler_lose_and_change_no_record(lane: Lane, name: str, kills: int) -> None:
    assert tried(lane, name, 1) == kills


@pytest.mark.parametrize("name", ["full-disk", "read-only"])
def test_a_disk_that_takes_no_more_costs_no_record(lane: Lane, name: str) -> None:
    tried(lane, name, 1)


@pytest.mark.parametrize("name", ["three-runners-one-killed", "two-runners-one-stopped"])
def test_runners_with_the_same_process_ids_share_a_folder(lane: Lane, name: str) -> None:
    tried(lane, name, 1)


@pytest.mark.parametrize("name", ["kill-in-write", "kill-at-checkpoint", "io-error", "damaged-record", "deleted"])
def test_what_else_befalls_files_costs_no_record(lane: Lane, name: str) -> None:
    tried(lane, name, 1)


@pytest.mark.parametrize("name", ["cell-raises-exit", "cell-kills-itself-once", "cell-wants-memory"])
def test_a_cell_that_misbehaves_costs_no_other_record(lane: Lane, name: str) -> None:
    tried(lane, name, 1)


def record(cell: str, **more: Any) -> Record:
    config = {"measurement": {"kind": "moments"}, "problem": {"kind": "toy", "label": "p"}}
    plain = {
        "cell": cell,
        "config": config | {"estimator": {"label": "e", "name": more.pop("name", "e")}},
        "measurements": {"points": [], "seconds": 1.0, "value": 3.0},
        "provenance": {"host": "here"},
    }
    return typed(plain | more)


LEFT_ALONE = Reference({cell: record(cell) for cell in ("a", "b")}, 1.0, 1.0)


def test_a_record_that_says_something_else_is_mixed() -> None:
    same = {"a": record("a", started="2020", seconds=7.0), "b": record("b")}
    same["b"].measurements["seconds"] = 9.0
    assert verdict.missing_and_mixed(same, LEFT_ALONE) == ([], [])
    other = {"a": record("a", status="failed"), "b": record("b"), "c": record("c")}
    other["b"].measurements["value"] = 3.0000000000000004
    assert verdict.missing_and_mixed(other, LEFT_ALONE) == (
        [],
        ["c: of no cell of the suite", "a: another status", "b: another measurements"],
    )
    assert verdict.missing_and_mixed({"a": record("a", provenance={"host": "there"})}, LEFT_ALONE) == (
        ["b"],
        ["a: another provenance.host"],
    )


def test_only_a_cell_that_misbehaves_may_be_ill() -> None:
    ill = {cell: record(cell, status="died", name=name) for cell, name in (("a", "misbehaving:Dies"), ("b", "rloo"))}
    missing, mixed = verdict.missing_and_mixed(ill, LEFT_ALONE, frozenset({"died"}))
    assert (missing, mixed) == ([], ["b: another status, config"])


def test_half_of_a_file_is_torn(tmp_path: Path) -> None:
    for name in ("cells", "checkpoints", "weights"):
        (tmp_path / name).mkdir()
    (tmp_path / "cells/a.json").write_text(json.dumps({"whole": 1}))
    (tmp_path / "cells/.b.json.7-ab.tmp").write_text("{")
    assert verdict.torn(tmp_path) == []
    (tmp_path / "cells/c.json").write_text('{"half": ')
    (tmp_path / "checkpoints/d.pt").write_bytes(b"gradest checkpoint\n" + b"0" * 64 + b"\nwhat")
    (tmp_path / "weights/e.pt").touch()
    (tmp_path / "suite.toml").touch()
    assert verdict.torn(tmp_path) == ["cells/c.json", "checkpoints/d.pt", "suite.toml", "weights/e.pt"]


def test_what_a_resume_makes_again_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a run whose record was whole after the fault, and which the next one wrote anew, with the same numbers."""
    rng = np.random.default_rng(0)
    whole = [moments(rng, VAE, estimator) for estimator in BERNOULLI[:2]]
    a, b = sorted(one["cell"] for one in whole)
    with Trial("by hand", 1, {}) as trial:
        for one in whole:
            Store(trial.out).write(one)
        trial.references["small"] = Reference(verdict.records(trial.out), 1.0, 1.0)

        def again() -> bool:
            (trial.out / f"cells/{a}.json").write_bytes((trial.out / f"cells/{a}.json").read_bytes() + b" ")
            (trial.out / f"cells/{b}.json").unlink()
            return True

        monkeypatch.setattr(trial, "go_on", again)
        found = trial.judged()
    assert not trial.folder.exists()
    lost = [b, f"{a}: was done, and was done again", f"{b}: was done, and was done again"]
    assert (found["lost"], found["mixed"], found["torn"], found["ended"]) == (lost, [], [], True)
    assert table.guilty(found) == [f"lost: {one}" for one in lost]


FOUND = {"lost": [], "mixed": [], "torn": [], "tracebacks": [], "told": [], "ended": True, "seconds": 1.0, "signals": 1}


def test_a_table_counts_what_went_wrong_and_says_how_to_try_it_again() -> None:
    wrong = FOUND | {"lost": ["a", "b"], "ended": False, "seconds": 3.0, "told": ["a resume ended with 2"]}
    found = [{"kind": "kill", "seed": seed} | one for seed, one in enumerate([FOUND, wrong, {"broken": "x\nOSError"}])]
    assert table.guilty(found[0]) == []
    (row,) = table.rows_of(KINDS, found)
    case = {name: row.case[name] for name in ("tried", "lost", "mixed", "not_ended", "broken", "most")}
    assert case == {"tried": 2, "lost": 2, "mixed": 0, "not_ended": 1, "broken": 1, "most": 3.0}
    assert (row.value, row.n) == (2.0, 2)
    failures = table.failures_of(found)
    assert [one["command"].partition(" OUT ")[2] for one in failures] == [
        "--kinds kill --seed 1 --faults 1",
        "--kinds kill --seed 2 --faults 1",
    ]
    assert failures[0]["wrong"] == ["lost: a", "lost: b", "did not end", "a resume ended with 2"]
    machine = {"gradest": "1", "torch": "2", "cpu": "a", "cores": 2, "load": [0.0]}
    about = {"seed": 0, "minutes": 1.0, "skipped": ["x (no root)"], "failures": failures}
    files = table.texts(Results(runs=(Run(name="faults", provenance=machine, about=about, rows=(row,)),)))
    page = files["reliability.md"]
    assert "| all   | 1 kinds      |     2 |    2 |" in page
    assert (
        "- `python -m bench.studies.chaos OUT --kinds kill --seed 1 --faults 1`: lost: a; lost: b; did not end" in page
    )
    assert files["reliability.csv"].splitlines()[1].startswith("kill,SIGKILL,2,2,0,0,0,1,2.0,")


def test_a_fault_is_told_by_its_kind_and_seed() -> None:
    def draws(kind: str, seed: int) -> float:
        with Trial(kind, seed, {}) as trial:
            return trial.random.random()

    assert draws("kill", 3) == draws("kill", 3)
    assert len({draws("kill", 3), draws("kill", 4), draws("term", 3)}) == 3
    turns = scheduled([KINDS["kill"], KINDS["kill-often"]], 5)
    assert [next(turns) for _ in range(4)] == [("kill", 5), ("kill", 6), ("kill", 7), ("kill-often", 7)]
    alone = scheduled([KINDS["kill-often"]], 8)
    assert next(alone) == ("kill-often", 8)


def test_a_suite_of_many_cells_has_as_many_as_were_asked_for() -> None:
    cells = plan(parse_suite(scale.suite(2_500).encode(), "many.toml")).cells
    assert len({cell.id for cell in cells}) == len(cells) == 2_520


def test_there_are_kinds_enough_and_each_says_what_happens() -> None:
    assert len(KINDS) >= 20
    assert len({one.says for one in KINDS.values()}) == len(KINDS)
