"""The command line in this process, on cells that are measured at once: every line that a person reads, every code."""

import importlib.util
import json
import math
import os
import platform
import pwd
import re
import runpy
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import bench.cli.check
import bench.cli.doctor
import bench.cli.report
import bench.cli.run
import bench.datasets
import bench.report.compare.runs
import bench.report.output
import bench.run.executors.pool
from bench.cli import main
from bench.cli.tables import print_table
from bench.cli.terminal import Display
from bench.records.damage import Damage
from bench.records.identity import cell_id
from bench.report.selection import Selection
from bench.run import runner
from bench.run.claims import Claims
from bench.run.executors import Asked
from bench.run.executors.inline import Inline, inline
from bench.run.executors.local import Local
from bench.run.limit import AT_LIMIT, Limit
from bench.run.status import status
from bench.run.work import Work
from bench.suite.load import load_suite, override, parse_suite
from bench.suite.plan import plan
from bench.suite.schema import Cell
from bench.training.stopped import Stopped
from estimators import BadInput
from tests.bench.command import Done
from tests.bench.plain import Store, typed
from tests.bench.records import LEAST
from tests.bench.test_suite import SMALL

Record = dict[str, Any]


RLOO = ["run", "small.toml", "-e", "rloo"]
REPORTED = "wrote 2 files in 3 s\nreport: runs/small/report.html\n"


def test_a_run_is_reported_and_a_second_has_nothing_to_do(
    gradest: Callable[..., Done], world: list[str], tmp_path: Path
) -> None:
    assert gradest(*RLOO) == (0, f"ran 5 cells in 5 s\n{REPORTED}", "5 cells to run\n")
    assert len(world) == 5
    page = tmp_path / "runs" / "small" / "report.html"
    everything = ["csv", "html", "md", "pdf", "png", "svg", "tex"]
    told = json.loads(page.read_text())
    assert told == {"records": 5, "formats": everything, "title": "small", "notes": []}

    nothing = "nothing to do: all 5 cells are done; the report is runs/small/report.html\n"
    assert gradest(*RLOO) == (0, nothing, "")
    assert len(world) == 5
    for age in (1, -1):  # of the report, beside the newest record
        newest = max(path.stat().st_mtime for path in (page.parent / "cells").iterdir())
        os.utime(page, (newest - age, newest - age))
        assert gradest(*RLOO).out == (REPORTED if age > 0 else nothing)
    page.unlink()
    assert gradest(*RLOO).out == REPORTED
    assert gradest(*RLOO, "-e", "rebar").err == "5 cells to run, 5 done before\n"
    assert gradest(*RLOO, "--force").err == "5 cells to run\n"
    assert len(world) == 15
    assert gradest(*RLOO, "--seeds", "3").err == "1 cell to run, 4 done before\n"
    # Of the two trainings of rloo in the folder the newer one is reported.
    assert json.loads(page.read_text())["records"] == 10
    assert json.loads(page.read_text())["notes"] == [
        "1 record left out of runs/small: an older one of the same thing with other settings."
    ]


def test_what_went_wrong_is_said_and_is_exit_code_1_until_it_is_forced(
    gradest: Callable[..., Done], world: list[str], tmp_path: Path
) -> None:
    both = ["run", "small.toml", "-e", "arm", "-e", "rloo", "--out", "here"]
    said = "failed: time digits/bernoulli-3/8 arm: RuntimeError: no such luck"
    line = f"{said} (conftest.py, line 52)\n"
    end = "1 of 10 cells went wrong; --retry-failed runs those again that failed, --traceback shows where\n"
    done = gradest(*both)
    assert done.code == 1
    assert done.out == "ran 10 cells in 10 s\nwrote 2 files in 3 s\nreport: here/report.html\n"
    assert done.err == f"10 cells to run\n{said}\n{line}{end}"  # when it happens, and again at the end
    assert len(world) == 10
    nothing = "nothing to do: all 10 cells are done; the report is here/report.html\n"
    assert gradest(*both) == (1, nothing, line + end)
    assert gradest("run", "small.toml", "-e", "rloo", "--out", "here").code == 0
    assert len(world) == 10

    state = "suite small in here: 5 of 5 cells done, 0 to run, 0 went wrong, 1 seeds diverged, 5 s of work\n"
    assert gradest("status", "here") == (0, state, "")
    gradest(*both)
    for path in (tmp_path / "here" / "cells").iterdir():
        store = Store(tmp_path / "here")
        store.write(store.read(path.stem) | {"seconds": 7.26})
    next((tmp_path / "here" / "cells").iterdir()).rename(tmp_path / "elsewhere.json")
    cells = {record["cell"]: record for record in Store(tmp_path / "here").whole()}
    done = gradest("status", "here")
    failed = any(record["status"] != "ok" for record in cells.values())
    diverged = sum(record["config"]["measurement"]["kind"] == "train" for record in cells.values())
    assert done.out == (
        f"suite small in here: 9 of 10 cells done, 1 to run, {int(failed)} went wrong, {diverged} seeds diverged, "
        f"65 s of work, about {done.out.partition('about ')[2].partition(' ')[0]} s left\n{line if failed else ''}"
    )
    assert done.code == int(failed)


def test_workers_run_all_but_the_times(
    gradest: Callable[..., Done], world: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    class Workers(Inline):
        def __init__(self, local: Local, limit: Limit, *_: Any) -> None:
            asked.append(local.count)
            assert limit.deadline == math.inf

        def __call__(self, cells: Iterable[Cell], run: Callable[[Cell], Record]) -> Any:
            taken = list(cells)
            asked.append([cell.title for cell in taken])
            yield from inline(taken, run)
            asked.append(list(world))

        alone = inline.alone

    monkeypatch.setattr(bench.run.executors.pool, "Pool", Workers)
    assert gradest("run", "small.toml", "-e", "rloo", "-e", "rebar", "--workers", "2").code == 0
    workers, given, before = asked
    assert workers == 2
    assert len(given) == 8
    assert not any(title.startswith("time") for title in given)
    assert before == given  # no time is taken while a worker is there
    assert [title.split()[0] for title in world[8:]] == ["time", "time"]
    asked.clear()
    gradest("run", "small.toml", "-e", "rloo", "--workers", "1", "--force")
    assert asked == []


def test_without_packages_of_the_report_the_records_stay(
    gradest: Callable[..., Done], world: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    missing = ("scipy", "pandas", "distributed")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in missing else find(name))
    assert gradest(*RLOO).out == (
        "ran 5 cells in 5 s\n"
        "records are in runs/small; no report here without pandas, scipy: gradest report runs/small\n"
    )


def test_an_interrupted_run_says_how_to_go_on(
    gradest: Callable[..., Done], world: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(cell: Cell) -> Record:
        if len(world) == 2:
            raise KeyboardInterrupt
        world.append(cell.title)
        return LEAST[cell.measurement.kind]

    monkeypatch.setattr("bench.run.cell.measure", interrupted)
    done = gradest("run", "small.toml", "-e", "reinforce[samples=3]", "--force", "--out", "a b")
    assert done == (
        130,
        "",
        "5 cells to run\ninterrupted; 2 cells are done and kept in a b. Go on with: "
        "gradest run small.toml -e 'reinforce[samples=3]' --out 'a b'\n",
    )


@pytest.mark.parametrize("done_before", [0, 1])
def test_a_limit_within_which_nothing_got_further_is_said_to_be_too_short(
    gradest: Callable[..., Done], world: list[str], monkeypatch: pytest.MonkeyPatch, done_before: int
) -> None:
    def stopped(cell: Cell) -> Record:
        if len(world) == done_before:
            raise Stopped(AT_LIMIT)
        world.append(cell.title)
        return LEAST[cell.measurement.kind]

    monkeypatch.setattr("bench.run.cell.measure", stopped)
    done = gradest(*RLOO, "--time-limit", "1h")
    lines = done.err.splitlines()
    short = "nothing got further before the time limit: give a longer --time-limit"
    assert (done.code, short in lines) == (3, not done_before)
    said = "1 cell is done and kept in runs/small, 4 are left" if done_before else "0 cells are done and kept in runs/"
    assert lines[-1].startswith(f"stopped by its time limit; {said}")
    assert short in gradest(*RLOO, "--time-limit", "1h").err.splitlines()


@pytest.mark.parametrize(
    ("taken", "said"),
    [
        (
            5,
            "nothing got further before the time limit: all that is left was waited for, and is with process {pid} on ",
        ),
        (2, "nothing got further before the time limit: give a longer --time-limit; at work beside this run: process "),
        (0, "nothing got further before the time limit: process {pid} on {host} measures times, beside which nothing "),
    ],
)
def test_a_limit_that_came_while_a_run_waited_for_another_is_not_said_to_be_too_short(
    gradest: Callable[..., Done], world: list[str], monkeypatch: pytest.MonkeyPatch, taken: int, said: str
) -> None:
    def stopped(*_: object) -> Record:
        raise Stopped(AT_LIMIT)

    monkeypatch.setattr("bench.run.cell.measure", stopped)
    monkeypatch.setattr(Work, "_wait", stopped)
    cells = plan(override(parse_suite(SMALL.encode(), "small.toml"), estimators=["rloo"])).cells
    with Claims(Path("runs/small")) as other:
        for cell in cells[:taken]:
            assert other.take(cell.id) is None
        with nullcontext() if taken else other.alone(lambda: None):  # which measures times
            lines = gradest(*RLOO, "--time-limit", "1h").err.splitlines()
        assert said.format(pid=os.getpid(), host=platform.node()) in lines[-2]
        assert lines[-1].startswith("stopped by its time limit; 0 cells are done")


def test_what_another_runner_did_meanwhile_is_not_said_to_be_nothing(
    gradest: Callable[..., Done], world: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = plan(override(parse_suite(SMALL.encode(), "small.toml"), estimators=["rloo"])).cells

    def waited(*_: object) -> None:
        Store(Path("runs/small")).path(cells[0].id).parent.mkdir(exist_ok=True)
        Store(Path("runs/small")).path(cells[0].id).write_text("{}")
        raise Stopped(AT_LIMIT)

    monkeypatch.setattr(Work, "_wait", waited)
    with Claims(Path("runs/small")) as other:
        for cell in cells:
            assert other.take(cell.id) is None
        done = gradest(*RLOO, "--time-limit", "1h")
        for cell in cells:
            other.release(cell.id)
    assert done.code == 3
    assert "nothing got further" not in done.err


def test_a_folder_of_another_suite_is_refused(gradest: Callable[..., Done], world: list[str], tmp_path: Path) -> None:
    gradest(*RLOO)
    (tmp_path / "other.toml").write_text(SMALL.replace('"small"', '"other"'))
    assert gradest("run", "other.toml", "-e", "rloo", "--out", "runs/small") == (
        2,
        "",
        "error: 'runs/small' holds a run of suite 'small', not 'other'; choose another folder with --out\n",
    )
    assert gradest("run", "other.toml", "-e", "rloo").out.endswith("report: runs/other/report.html\n")
    (tmp_path / "runs" / "other" / "suite.toml").write_text("")
    damaged = "runs/other/suite.toml names no suite, so that it is damaged: delete it, and a run of 'other' writes it"
    assert gradest("run", "other.toml", "-e", "rloo") == (2, "", f"error: {damaged} anew\n")
    (tmp_path / "runs" / "other" / "suite.toml").unlink()
    assert gradest("run", "other.toml", "-e", "rloo").out.startswith("nothing to do: all ")


def test_a_dry_run_says_what_is_done_what_would_run_and_what_is_left_out(
    gradest: Callable[..., Done], world: list[str], tmp_path: Path
) -> None:
    text = SMALL.replace("problems = [", 'problems = [\n    {kind = "vae", dataset = "digits", family = "gaussian", '
                         "latents = 2},").replace('"exact", "reparameterization"]', '"exact"]')  # fmt: skip
    (tmp_path / "small.toml").write_text(text)
    arguments = ["run", "small.toml", "-e", "disarm", "-e", "rloo"]
    cells = plan(override(parse_suite(text.encode(), "x"), estimators=["disarm", "rloo"])).cells
    assert len(cells) == 13
    done = gradest(*arguments, "--dry-run", "--verbose")
    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    assert lines == [
        "cell done what",
        *(f"{cell.id} no {cell.title}" for cell in cells),
        "left out: disarm on digits/gaussian-2/linear: it is for bernoulli latents, not gaussian",
        *lines[15:19],  # steps, evaluations, memory, timing cells: tests/bench/test_dry_run.py
        "13 cells, into runs/small",
    ]
    assert (done.code, done.err, world) == (0, "", [])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small.toml"]
    gradest(*arguments, "--out", "x")
    Store(tmp_path / "x").path(cells[1].id).unlink()
    done = gradest(*arguments, "--out", "x", "--dry-run", "--verbose")
    said = {line.split()[0]: line.split()[1] for line in done.out.splitlines()[1:14]}
    assert said == {cell.id: "no" if cell is cells[1] else "yes" for cell in cells}
    assert done.out.splitlines()[-1] == "13 cells, 12 of them done, into x"


def test_reports_of_one_and_several_folders(gradest: Callable[..., Done], world: list[str], tmp_path: Path) -> None:
    (tmp_path / "titled.toml").write_text(SMALL.replace('name = "small"', 'name = "titled"\ntitle = "A title"'))
    gradest(*RLOO, "--out", "a")
    gradest("run", "titled.toml", "-e", "rloo", "-e", "rebar", "--out", "b")
    gradest(*RLOO, "--out", "c")

    def page(folder: str) -> Any:
        return json.loads((tmp_path / folder / "report.html").read_text())

    assert gradest("report", "a", "--format", "html,md") == (
        0,
        "wrote 2 files in 3 s\nreport: a/report.html\n",
        "",
    )
    assert page("a") == {"records": 5, "formats": ["html", "md"], "title": "small", "notes": []}
    # Without the page the folder is named.
    assert gradest("report", "a", "--format", "csv,,").out == "wrote 1 file in 3 s\nreport: a\n"
    refused = gradest("report", "a", "--format", "md", "--columns", "estimator")  # nothing would heed them
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "of the tables in LaTeX, and --format md writes none: add tex" in refused.err
    done = gradest("report", "a", "b", "c", "--out", "all")
    assert done.out == (
        "5 records left out of a: an older one of the same cell.\n"
        "5 records left out of b: an older one of the same cell.\n"
        "wrote 2 files in 3 s\nreport: all/report.html\n"
    )
    formats = ["csv", "html", "md", "pdf", "png", "svg", "tex"]
    assert page("all") == {"records": 20, "formats": formats, "title": "small and A title", "notes": []}
    gradest(*RLOO, "--seeds", "3", "--out", "a")
    gradest(*RLOO, "--seeds", "3", "--out", "c")
    older = "1 record left out of {}: an older one of the same thing with other settings."
    assert page("a")["notes"] == [older.format("a")]
    gradest("report", "a", "b", "c", "--out", "all")
    assert page("all")["notes"] == [older.format("a"), older.format("c")]
    several = "error: several folders are read as one run; say where to write with --out DIR\n"
    assert gradest("report", "a", "b") == (2, "", several)
    unknown = "error: unknown format 'docx'. Known: "
    assert gradest("report", "a", "--format", "md,docx").err.startswith(unknown)
    for path in (tmp_path / "c" / "cells").iterdir():
        path.unlink()
    empty = "error: 'c' holds no records yet; gradest run makes them\n"
    assert gradest("report", "a", "c", "--out", "all") == (2, "", empty)
    assert gradest("report", "nowhere").err == "error: no such folder: 'nowhere'\n"


def test_the_state_of_a_folder_is_counted_from_its_records(tmp_path: Path, world: list[str]) -> None:
    """Of the suite's cells; torn records are missing, and those of another run are not looked at."""
    suite = override(parse_suite(SMALL.encode(), "small.toml"), estimators=["arm", "rloo"])
    runner.run_suite(suite, tmp_path, executor=inline)
    store, cells = Store(tmp_path), plan(suite).cells
    titles = {cell.title: cell.id for cell in cells}
    failed = titles["time digits/bernoulli-3/8 arm"]
    for number, cell in enumerate(cells):
        store.write(store.read(cell.id) | {"seconds": 2.0**number})
    last = cells[-1].id
    store.path(last).write_text("torn")
    store.path(cells[2].id).unlink()
    trained = store.read(titles["train digits/bernoulli-3/8 arm, learning rate 0.001"])
    gone = trained["measurements"] | {"diverged": [0, 3]}
    store.write(trained | {"status": "diverged", "reason": "a", "measurements": gone})
    config = trained["config"] | {"threads": 7}
    another = {"cell": cell_id(config), "config": config, "status": "failed", "reason": "b", "measurements": {}}
    store.write(trained | another | {"seconds": 1e6})
    unwell = sorted(
        [
            {"cell": failed, "title": "time digits/bernoulli-3/8 arm", "status": "failed"}
            | {"reason": "RuntimeError: no such luck"},
            {"cell": trained["cell"], "title": "train digits/bernoulli-3/8 arm, learning rate 0.001"}
            | {"status": "diverged", "reason": "a"},
        ],
        key=lambda item: item["cell"],
    )
    found = status(tmp_path)
    traces = [item.pop("traceback") for item in found["unwell"]]
    assert sum(bool(trace) and "no such luck" in trace for trace in traces) == 1
    assert found == {
        "suite": "small",
        "directory": str(tmp_path),
        "cells": 10,
        "done": 8,
        "pending": 2,
        "in_progress": [],
        "running": [],
        "seconds_left": found["seconds_left"],  # tests/bench/test_own_code.py
        "failed": 2,
        "damaged": [Damage(last, str(store.path(last)), "is torn or no JSON (Expecting value at byte 0 of 4)").plain()],
        "diverged_seeds": 3,  # both of arm, one of rloo
        "seconds": 2.0**10 - 1 - 2.0**2 - 2.0**9,
        "unwell": unwell,
        "note": None,
    }


def test_the_state_of_a_folder_whose_estimator_is_not_at_hand(
    gradest: Callable[..., Done], world: list[str], tmp_path: Path
) -> None:
    gradest("run", "small.toml", "-e", "rloo", "-e", "arm", "--out", "a")
    suite = tmp_path / "a" / "suite.toml"
    suite.write_text(suite.read_text().replace('name = "arm"', 'name = "nowhere:Thing"'))
    found = json.loads(gradest("status", "a", "--json").out)
    assert (found["cells"], found["pending"], found["done"], found["failed"]) == (None, None, 10, 1)
    note = (
        "what is left to run cannot be told here: 'nowhere:Thing' is a person's own code, which reading a folder "
        "does not run"
    )
    assert found["note"] == note
    done = gradest("status", "a")
    assert done.out == (
        f"suite small in a: 10 cells done, 1 went wrong, 2 seeds diverged, 10 s of work\n{note}\n"
        "failed: time digits/bernoulli-3/8 arm: RuntimeError: no such luck (conftest.py, line 52)\n"
    )
    assert done.code == 1


def test_a_published_run_has_its_records_in_one_file_on_which_all_verbs_work(
    gradest: Callable[..., Done], world: list[str], tmp_path: Path
) -> None:
    two = [*RLOO, "-e", "arm"]
    gradest(*two)
    out = tmp_path / "runs" / "small"
    records, state = Store(out).whole(), gradest("status", "runs/small")
    assert gradest("report", "runs/small", "--archive") == (0, f"{REPORTED}records: runs/small/cells.zip\n", "")
    assert sorted(path.name for path in out.iterdir()) == ["cells.zip", "report.html", "suite.toml"]
    assert Store(out).whole() == records
    assert gradest("status", "runs/small") == state
    assert gradest("report", "runs/small") == (0, REPORTED, "")
    assert json.loads((out / "report.html").read_text())["records"] == 10
    archived = (out / "cells.zip").read_bytes()

    # A run goes on beside the archive, and does nothing that it holds.
    assert gradest(*two).out.startswith("nothing to do: all 10 cells are done; the report is runs/small/report.html\n")
    assert gradest(*two, "--dry-run", "--verbose").out.count(" yes ") == 10
    assert len(world) == 10
    assert gradest(*two, "-e", "rebar").err.startswith("5 cells to run, 10 done before\n")
    assert (len(world), len(list((out / "cells").iterdir()))) == (15, 5)
    assert (out / "cells.zip").read_bytes() == archived
    assert json.loads((out / "report.html").read_text())["records"] == 15
    gradest("report", "runs/small", "--archive", "--format", "csv")
    assert sorted(path.name for path in out.iterdir()) == ["cells.zip", "report.html", "suite.toml"]
    assert len(Store(out).whole()) == 15
    assert gradest(*RLOO, "--force").err.startswith("5 cells to run\n")
    assert len(list((out / "cells").iterdir())) == 5


def test_what_cannot_be_archived_and_a_damaged_archive_are_one_line(
    gradest: Callable[..., Done], world: list[str], tmp_path: Path
) -> None:
    gradest(*RLOO, "--out", "a")
    refused = "error: --archive moves the records of one run within its folder; leave out --out and other folders\n"
    assert gradest("report", "a", "--archive", "--out", "b") == (2, "", refused)
    assert gradest("report", "a", "a", "--archive") == (2, "", refused)
    gradest("report", "a", "--archive")
    path = tmp_path / "a" / "cells.zip"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    before = sorted(tmp_path.rglob("*"))
    damaged = (
        "error: 'a/cells.zip' is damaged (File is not a zip file); fetch it again, or delete it and gradest run makes "
        "its records\n"
    )
    again = [*RLOO, "--out", "a"]
    for arguments in (["status", "a"], ["report", "a"], ["report", "a", "--archive"], ["compare", "a", "a"],
                      again, [*again, "--dry-run"]):  # fmt: skip
        assert gradest(*arguments) == (2, "", damaged)
    assert sorted(tmp_path.rglob("*")) == before
    path.unlink()
    assert gradest("report", "a") == (2, "", "error: 'a' holds no records yet; gradest run makes them\n")
    assert gradest(*again).out.startswith("ran 5 cells")
    assert len(world) == 10


def test_a_table_shows_plain_values(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"name": "a[b=1]", "value": True, "more": {"x": 0.123456, "y": None}},
        {"name": ":smile:", "value": None, "more": ["a", 2, False, [0.5]]},
        {"name": "c", "value": float("nan"), "more": {}},
        {"name": "d", "value": 123456.0, "more": ()},
        {"name": "e", "value": float("inf"), "more": 1234567},
    ]
    print_table(rows)
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == [
        "name     value     more",
        "a[b=1]   yes       x 0.123, y -",
        ":smile:  -         a 2 no 0.5",
        "c        -         -",
        "d        1.23e+05  -",
        "e        inf       1234567",
    ]
    print_table([])
    assert capsys.readouterr().out == "nothing to show\n"


def test_on_a_narrow_terminal_names_stay_whole_and_the_rest_is_folded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    print_table([{"name": "a-name-of-20-letters", "what": "abcdefghijklmnopq 7"}])
    lines = [line.rstrip() for line in re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out).splitlines()]
    gap = " " * 22
    assert lines == [
        "name                  what",
        "a-name-of-20-letters  abcdefgh",
        f"{gap}ijklmnop",
        f"{gap}q 7",
    ]


def outcome(**changes: Any) -> Any:
    return typed({"config": {}, "provenance": {}} | changes)


def test_progress_tells_what_is_done_what_runs_and_what_is_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A toy is a twentieth of a VAE's cell: two toys and three cells of a VAE are 62 of work. Where no record says how
    long its cell took nothing is said of the time left; tests/bench/test_progress.py has what is said else."""
    cells = plan(override(parse_suite(SMALL.encode(), "x"), estimators=["rloo"])).cells
    cells = [cells[0], cells[2], cells[1], *cells[3:]]
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    display = Display()
    shown: list[str] = []

    def after(seconds: float, cell: Cell, **record: Any) -> tuple[Any, ...]:
        clock[0] += seconds
        display.cell_done(outcome(**record, cell=cell.id, seconds=None), cell)
        shown.append(capsys.readouterr().err)
        (task,) = display.progress.tasks
        return task.completed, task.description, task.fields["done"]

    with display.running(cells, 4):
        assert capsys.readouterr().err == "5 cells to run, 4 done before\n"
        (task,) = display.progress.tasks
        assert (task.total, task.completed, task.description, task.fields["done"]) == (
            62,
            0,
            cells[0].title,
            "0 of 5 cells",
        )
        assert after(16, cells[0]) == (1, cells[1].title, "1 of 5 cells")
        assert after(15, cells[3], status="failed", reason="why") == (21, cells[1].title, "2 of 5 cells")
        assert after(11, cells[1]) == (41, cells[2].title, "3 of 5 cells")
        assert after(15.1, cells[2]) == (42, cells[4].title, "4 of 5 cells")
        assert after(16, cells[4]) == (62, cells[4].title, "5 of 5 cells")
    assert shown == [
        "1 of 5 cells, 16 s\n",
        f"failed: {cells[3].title}: why\n",
        "3 of 5 cells, 42 s\n",
        "4 of 5 cells, 57 s\n",
        "5 of 5 cells, 73 s, about 0 s left\n",
    ]
    with display.running([], 5):
        pass
    assert capsys.readouterr().err == ""


def test_a_terminal_has_a_bar_and_no_lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    cells = plan(override(parse_suite(SMALL.encode(), "x"), estimators=["rloo"])).cells
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    display = Display()
    display.console = Console(stderr=True, force_terminal=True, width=120, color_system=None, highlight=False)
    with display.running(cells, 0):
        assert not display.progress.disable
        clock[0] = 100.0
        for cell in cells:
            display.cell_done(outcome(cell=cell.id), cell)
    said = capsys.readouterr().err
    assert "5 cells to run\n" in said
    assert "about" not in said
    assert "5 of 5 cells" in said


CALLS = [
    (["check", "rloo[samples=4]"], "check", ("rloo[samples=4]", 0, False)),
    (["check", "rloo", "--seed", "7", "--json"], "check", ("rloo", 7, True)),
    (["run", "small.toml"], "run",
     ("small", Path("runs/small"), {"asked": Asked(), "force": False, "retry_failed": False})),
    (["run", "small.toml", "--out", "x/y", "--workers", "3", "--force"], "run",
     ("small", Path("x/y"), {"asked": Asked(3), "force": True, "retry_failed": False})),
    (["run", "small.toml", "--time-limit", "1h30m"], "run",
     ("small", Path("runs/small"), {"asked": Asked(), "force": False, "retry_failed": False, "limit": 5400})),
    (["run", "small.toml", "--dry-run", "--out", "z"], "plan", ("small", Path("z"), {"as_json": False, "workers": 1})),
    (["run", "quick", "--dry-run"], "plan", ("quick", Path("runs/quick"), {"as_json": False, "workers": 1})),
    (["report", "a", "b", "--format", "md,csv", "--out", "c"], "report",
     ([Path("a"), Path("b")], "md,csv", Path("c"), Selection(), False)),
    (["report", "a", "--estimators", "arm,rloo", "--width", "column", "--json"], "report",
     ([Path("a")], "", None, Selection(estimators=("arm", "rloo"), width="column"), True)),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "verb", "given"), CALLS, ids=[" ".join(call[0]) for call in CALLS])
@pytest.mark.parametrize("answer", [0, 1])
def test_verbs_hand_on_what_was_typed(
    gradest: Callable[..., Done],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    verb: str,
    given: Any,
    answer: int,
) -> None:
    calls: list[Any] = []

    def noted(name: str, returned: Any) -> Any:
        def called(*positional: Any, **more: Any) -> Any:
            if (limit := more.pop("limit", None)) and limit.left < math.inf:
                more["limit"] = round(limit.left, -2)  # it began a moment ago
            first = positional[0]
            named = first.name if hasattr(first, "estimators") else first
            calls.append((name, (named, *positional[1:], *([more] if more else []))))
            return returned

        return called

    monkeypatch.setattr(bench.cli.check, "check", noted("check", not answer))
    monkeypatch.setattr(bench.cli.run, "run_and_report", noted("run", answer))
    monkeypatch.setattr(bench.cli.run, "show_plan", noted("plan", None))
    monkeypatch.setattr(bench.cli.report, "report", noted("report", answer))
    done = gradest(*arguments)
    assert calls == [(verb, given)]
    assert done.code == (0 if verb == "plan" else answer)
    assert done.out == ""


def test_run_overrides_the_suite(gradest: Callable[..., Done], monkeypatch: pytest.MonkeyPatch) -> None:
    suites: list[Any] = []
    monkeypatch.setattr(bench.cli.run, "run_and_report", lambda suite, *_, **__: suites.append(suite) or 0)
    gradest("run", "quick")
    gradest("run", "quick", "-e", "rloo[samples=3]", "--estimator", "arm", "--seeds", "3", "--device", "cuda")
    quick = load_suite("quick")
    assert suites[0] == quick
    assert suites[1] == override(quick, estimators=["rloo[samples=3]", "arm"], seeds=3, device="cuda")
    assert [estimator.samples for estimator in suites[1].estimators] == [3, None]


def test_doctor_and_lists_print_tables(gradest: Callable[..., Done], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.cli.doctor, "examine", lambda: [{"what": "x", "found": "y", "note": "z"}])
    assert gradest("doctor") == (0, "what  found  note\nx     y      z   \n", "")
    rows = json.loads(gradest("list", "suites", "--json").out)
    assert [row["name"] for row in rows][:3] == ["budgets", "catalogue", "disarm"]
    lines = gradest("list", "suites").out.splitlines()
    assert lines[0].split() == ["name", "problems", "estimators", "seeds", "title"]
    assert [line.split()[:4] for line in lines[1:]] == [
        [str(row[key]) for key in ("name", "problems", "estimators", "seeds")] for row in rows
    ]
    assert ["quick", "10", "18", "5"] in [line.split()[:4] for line in lines]


class Absent:
    """What a verb meets that it is not made for."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        raise self.error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (BadInput("two\n  lines   of it"), "two lines of it"),
        (bench.datasets.DataError("no file"), "no file"),
        (
            OSError(28, "No space left on device", "a/file"),
            "No space left on device: a/file; what is written is whole. Make room, and go on with: gradest doctor",
        ),
        (OSError("by itself"), "by itself: {folder}"),
        (FileNotFoundError(2, "No such file or directory"), "No such file or directory: {folder}"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_2(
    gradest: Callable[..., Done], monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    monkeypatch.setattr(bench.cli.doctor, "examine", Absent(error))
    assert gradest("doctor") == (2, "", f"error: {said.format(folder=Path.cwd())}\n")


def test_a_fault_of_ours_is_a_traceback(gradest: Callable[..., Done], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.cli.doctor, "examine", Absent(ZeroDivisionError("ours")))
    monkeypatch.setattr(sys, "argv", ["gradest", "doctor"])
    with pytest.raises(ZeroDivisionError):
        main()


@pytest.mark.parametrize(
    ("arguments", "said", "typed"),
    [
        (["lst"], "No such command 'lst'", "gradest lst"),
        (["run", "a b", "--sede", "1"], "No such option: --sede", "gradest run 'a b' --sede 1"),
        (["check"], "Missing argument 'estimator'.", "gradest check"),
        (["run", "quick", "--workers", "0"], "Invalid value for '--workers': ", "gradest run quick --workers 0"),
        (["run", "quick", "--seeds", "many"], "Invalid value for '--seeds': ", "gradest run quick --seeds many"),
        (["check", "rloo", "--seed", "-1"], "Invalid value for '--seed': ", "gradest check rloo --seed -1"),
    ],
)
def test_what_the_parser_rejects_is_one_line(
    gradest: Callable[..., Done], arguments: list[str], said: str, typed: str
) -> None:
    """The parser's own words, as a sentence, and what was typed."""
    done = gradest(*arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"error: {said}")
    assert done.err.endswith(f" You typed: {typed} (gradest --help)\n")
    assert re.search(r"[^.?][.?] You typed", done.err)
    assert "Value error" not in done.err


def test_without_a_verb_the_help_is_shown_and_the_code_is_2(gradest: Callable[..., Done]) -> None:
    done = gradest()
    assert done.code == 2
    assert "Benchmark gradient estimators" in done.out
    assert done.err == ""


def test_a_persons_own_estimators_are_found_behind_all_that_is_installed(
    gradest: Callable[..., Done], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[Any] = []
    before = dict(os.environ)
    monkeypatch.setattr(bench.cli.check, "check", lambda *_: seen.append(sys.path[-1]) or True)
    gradest("check", "rloo")
    assert seen == [str(tmp_path)]
    assert dict(os.environ) == before


def test_a_user_without_a_home_or_a_name_has_one(
    gradest: Callable[..., Done], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    gradest("--version")
    assert os.environ["HOME"] == str(tmp_path)
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)
    assert gradest("--version").code == 0
    assert os.environ["HOME"] == "/"


def test_the_package_is_the_command(gradest: Callable[..., Done], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.cli.doctor, "examine", lambda: [])
    monkeypatch.setattr(sys, "argv", ["gradest", "doctor"])
    with pytest.raises(SystemExit) as exited:
        runpy.run_module("bench", run_name="__main__")
    assert exited.value.code == 0


def test_what_is_written_to_a_closed_output_goes_nowhere_and_into_no_file(tmp_path: Path) -> None:
    code = """
import os, subprocess, sys
from bench.printed import open_what_is_closed
open_what_is_closed()
with open("record", "w") as file:
    print("lost")
    os.write(1, b"of a library")
    subprocess.run(["sh", "-c", "echo of a worker; echo of a worker >&2"], check=True)
    file.write(str(file.fileno() > 2))
"""
    typed = shlex.join([sys.executable, "-c", code])
    root = Path(__file__).parents[2]
    done = subprocess.run(
        ["sh", "-c", f"{typed} <&- >&- 2>&-"], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(root)}
    )
    assert done.returncode == 0
    assert (tmp_path / "record").read_text() == "True"


def test_a_verb_whose_output_is_closed_does_its_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.cli.doctor, "examine", lambda: [])
    monkeypatch.setattr(sys, "argv", ["gradest", "doctor"])
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(SystemExit) as exited:
        main()
    sys.stdout.close()
    assert exited.value.code == 0
