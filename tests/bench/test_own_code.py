"""Looking at a run imports nothing that its folder names; running says what it imports, before it does."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench.cli.guard import BAD_INPUT, guarded
from bench.run.executors import inline
from bench.run.runner import run_suite
from bench.run.status import status
from bench.suite.load import override, parse_suite
from estimators import BadInput
from estimators.plugins import import_own, module_of, telling, without_imports
from tests.bench.processes import forked
from tests.bench.test_suite import SMALL

MARK = "import pathlib\npathlib.Path({mark!r}).touch()\n"
PLUGIN = Path(__file__).parent.parent / "plugin"
TOY = """
name = "small"
samples = 2
estimators = ["rloo"]
problems = [{kind = "toy", objective = "cubic", family = "bernoulli", latents = 2, logits = [0, 3]}]

[moments]
draws = 40
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two runs of an estimator of somebody's own, beside its file, which tells of its import."""
    own = (PLUGIN / "halfway.py").read_text()
    (tmp_path / "halfway.py").write_text(MARK.format(mark=str(tmp_path / "imported")) + own)
    (tmp_path / "small.toml").write_text(TOY)
    done = forked("bench", "run", "small.toml", "-e", "halfway:Halfway", "-e", "rloo", "--out", "a", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    said = done.stderr.splitlines()
    assert said.index(f"runs code of your own: halfway ({tmp_path / 'halfway.py'})") < said.index("4 cells to run")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    (tmp_path / "imported").unlink()
    return tmp_path


class Panic(BaseException):
    """As bindings of Rust raise it, and asyncio what it cancels: no Exception."""


@pytest.mark.parametrize("failure", [SystemExit(3), Panic("own")], ids=["sys.exit", "no Exception"])
def test_whatever_a_cell_raises_is_its_failure_and_the_run_goes_on(
    tmp_path: Path, failure: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A code of a person's own would be taken for one of ours: 3 is that of a run that was stopped and goes on."""

    def fail(*_: object) -> None:
        raise failure

    monkeypatch.setattr("estimators.rloo.RLOO.estimate", fail)
    outcome = run_suite(parse_suite(TOY.encode(), "toy"), tmp_path, executor=inline)
    said = f"{type(failure).__name__}: {failure}"
    assert [(record.status, record.reason) for record in outcome.unwell] == [("failed", said)] * 2


def test_a_verb_in_which_code_of_a_persons_own_exits_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(lambda: sys.exit(3))() == BAD_INPUT
    said = capsys.readouterr().err
    assert re.fullmatch(r"error: code of your own called sys.exit\(3\) \(test_own_code.py, line [0-9]+\)\n", said)


def test_status_report_and_compare_import_nothing_of_the_folder(folder: Path) -> None:
    """Neither where the plan is there nor where it is gone, and the suite alone says what there is."""
    for typed in (["status", "a"], ["report", "a", "--format", "csv"], ["compare", "a", "b"]):
        done = forked("bench", *typed, cwd=folder)
        assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    (folder / "a" / "plan.json").unlink()
    done = forked("bench", "status", "a", cwd=folder)
    assert "4 cells done" in done.stdout
    reason = "what is left to run cannot be told here: 'halfway:Halfway' is a person's own code, which reading"
    assert reason in done.stdout
    assert not (folder / "imported").exists()


@pytest.mark.parametrize("kind", ["problems", "measurements", "data set"])
def test_whatever_a_suite_names_is_not_imported_by_status(tmp_path: Path, kind: str) -> None:
    mark = tmp_path / "imported"
    (tmp_path / "mine.py").write_text(MARK.format(mark=str(mark)))
    named = {
        "problems": TOY.replace('kind = "toy"', 'kind = "mine:Mine"'),
        "measurements": f'{TOY}\n[measurements."mine:Mine"]\n',
        "data set": SMALL.replace('"digits"', '"mine:Mine"'),
    }[kind]
    (tmp_path / "suite.toml").write_text(named)
    done = forked("bench", "status", ".", cwd=tmp_path)
    assert "Traceback" not in done.stderr
    assert "0 cells done" in done.stdout or "error: " in done.stderr
    assert not mark.exists()


def test_an_entry_point_beside_a_run_is_not_loaded(tmp_path: Path) -> None:
    """The folder that a person is in is no place of installed packages for a verb that reads."""
    run_suite(override(parse_suite(TOY.encode(), "small.toml"), estimators=["rloo"]), tmp_path / "a", executor=inline)
    (tmp_path / "a" / "plan.json").unlink()
    mark, evil = tmp_path / "imported", tmp_path / "evil-1.dist-info"
    (tmp_path / "evil.py").write_text(MARK.format(mark=str(mark)))
    evil.mkdir()
    (evil / "METADATA").write_text("Metadata-Version: 2.1\nName: evil\nVersion: 1\n")
    groups = ("estimators", "families", "problems", "measurements", "datasets")
    (evil / "entry_points.txt").write_text("".join(f"[gradest.{group}]\nevil = evil\n" for group in groups))
    here = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": here if (Path(here) / "bench").is_dir() else ""}
    typed = [
        sys.executable,
        "-P",
        "-m",
        "bench",
        "status",
        "a",
    ]  # as the installed command, which has no folder of ours
    done = subprocess.run(typed, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert "2 of 2 cells done" in done.stdout, done.stderr
    assert not mark.exists()


def test_a_module_that_a_person_names_is_imported_for_them_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("read_first", "read_second"):
        (tmp_path / f"{name}.py").write_text("value = 1\n")
    told: list[tuple[str, str]] = []
    with without_imports(), telling(lambda module, file: told.append((module, file))):
        with pytest.raises(
            BadInput, match="'read_first:X' is a person's own code, which reading a folder does not run"
        ):
            module_of("read_first:X")
        import_own("read_first")
        assert module_of("read_first:X")[0].value == 1
        with pytest.raises(BadInput, match="read_second"):
            module_of("read_second:X")
    assert told == [("read_first", str(tmp_path / "read_first.py"))]
    for name in ("read_first", "read_second"):
        sys.modules.pop(name, None)


def test_status_tells_the_time_left_by_kind_of_cell(tmp_path: Path) -> None:
    suite = override(parse_suite(TOY.encode(), "small.toml"), estimators=["rloo", "arm"])
    run_suite(suite, tmp_path, executor=inline)
    assert status(tmp_path)["seconds_left"] is None
    cells = sorted((tmp_path / "cells").iterdir())
    took = status(tmp_path)["seconds"]
    for path in cells[:2]:
        path.unlink()
    left = status(tmp_path)["seconds_left"]
    assert 0 < left < 20 * took
    done = forked("bench", "status", str(tmp_path), cwd=tmp_path)
    assert "2 of 4 cells done, 2 to run" in done.stdout and " left" in done.stdout
