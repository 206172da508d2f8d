"""The part of a run that is no measurement: planning, looking for what is done, records, progress."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from bench.cli.terminal import Display
from bench.records.record import Record
from bench.run.cell import make_record
from bench.run.executors import inline
from bench.run.runner import pending, run_suite
from bench.run.store import Store
from bench.studies.results import Row
from bench.suite.plan import plan
from bench.suite.schema import Suite

TARGET = 3.0
"""Percent of the wall clock of a run."""


def _seconds(part: Callable[[], object]) -> float:
    started = time.perf_counter()
    part()
    return time.perf_counter() - started


def _parts(suite: Suite, out: Path, records: list[Record]) -> dict[str, float]:
    """Seconds of the parts that can be timed by themselves, each over all cells."""
    cells, again = plan(suite).cells, Store(out / "again")
    measured = {record.cell: record.measurements for record in records}
    return {
        "plan": _seconds(lambda: plan(suite)),
        "find what is done": _seconds(lambda: pending(Store(out), cells)),
        "make records": _seconds(
            lambda: [make_record(cell, measured[cell.id], None, datetime.now(UTC), 0.0) for cell in cells]
        ),
        "write records, each flushed to the disk": _seconds(lambda: list(map(again.write, records))),
    }


def measure(suite: Suite, out: Path, repeats: int) -> list[Row]:
    """Run a suite into `out`, several times anew, with progress as a person sees it: the share outside measurements."""
    shares, walls, parts, records = [], [], [], list[Record]()
    for repeat in range(repeats):
        folder, display = out / str(repeat), Display()
        started = time.perf_counter()
        run_suite(suite, folder, executor=inline, progress=display.cell_done, starting=display.running)
        walls.append(time.perf_counter() - started)
        records = Store(folder).records()
        shares.append(100 * (1 - sum(record.seconds or 0.0 for record in records) / walls[-1]))
        parts.append(_parts(suite, folder, records))
    return [
        Row.repeated(f"share of a run of {suite.name} outside its measurements", shares, unit="%", target=TARGET),
        Row.repeated(f"run of {suite.name}, {len(records)} cells, in all", walls, unit="s"),
        *(Row.repeated(f"of it: {name}", [part[name] for part in parts], unit="s") for name in parts[0]),
    ]
