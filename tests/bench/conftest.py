"""The command line in this process, and cells that are measured at once."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import bench.report.output
from bench.cli import main
from bench.suite.schema import Cell
from tests.bench.command import Done
from tests.bench.records import LEAST
from tests.bench.test_suite import SMALL

Record = dict[str, Any]


@pytest.fixture
def gradest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Run a command in an empty folder that holds small.toml."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "small.toml").write_text(SMALL)

    def command(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["gradest", *arguments])
        capsys.readouterr()
        with pytest.raises((SystemExit, KeyboardInterrupt)) as exited:  # the second would stop all tests
            main()
        assert isinstance(exited.value, SystemExit)
        return Done(exited.value.code, *capsys.readouterr())

    return command


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A cell takes a second, a report three, and times of `arm` fail; the titles of what is run are noted."""
    seen: list[str] = []
    clock = [0.0]
    for name in ("monotonic", "perf_counter"):
        monkeypatch.setattr(time, name, lambda: clock[0])

    def at_once(cell: Cell) -> Record:
        seen.append(cell.title)
        clock[0] += 1
        if cell.title.startswith("time") and cell.title.endswith("arm"):
            raise RuntimeError("no such luck")
        kind = cell.measurement.kind
        return LEAST[kind] | ({"seeds": [0, 1], "diverged": [None, 3]} if kind == "train" else {})

    def write(
        records: list[Record], out: Path, formats: set[str], title: str, notes: list[str], **more: Any
    ) -> list[Path]:
        page = out / "report.html"
        out.mkdir(exist_ok=True)
        clock[0] += 3
        assert more.keys() == {"answering", "selection"}
        page.write_text(json.dumps({"records": len(records), "formats": sorted(formats), "title": title} |
                                   {"notes": notes}))  # fmt: skip
        return [page, out / "cells.parquet"] if "html" in formats else [out / "cells.parquet"]

    monkeypatch.setattr("bench.run.cell.measure", at_once)
    monkeypatch.setattr(bench.report.output, "write", write)
    return seen
