"""The part of a run that is no measurement: planning, looking for what is done, records, progress."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from bench.cli.terminal import Display
from bench.overhead.quantities import Quantity
from bench.run.executors import inline
from bench.run.runner import make_record, pending, run_suite
from bench.run.store import Record, Store
from bench.suite.plan import plan
from bench.suite.schema import Suite

TARGET = 3.0
"""Percent of the wall clock of a run."""


def _seconds(part: Callable[[], object]) -> float:
    started = time.perf_counter()
    part()
    return time.perf_counter() - started


def _parts(suite: Suite, out: Path, records: list[Record]) -> dict[str, float]:
    """Seconds of the parts that can be told apart, each over all cells."""
    cells = plan(suite).cells
    by_cell = {record["cell"]: record for record in records}
    again = Store(out / "again")

    def make() -> None:
        for cell in cells:
            make_record(cell, by_cell[cell.id]["measurements"], None, datetime.now(UTC), 0.0)

    def write() -> None:
        for record in records:
            again.write(record)

    return {
        "plan": _seconds(lambda: plan(suite)),
        "find what is done": _seconds(lambda: pending(Store(out), cells)),
        "make records": _seconds(make),
        "write records, each flushed to the disk": _seconds(write),
    }


def measure(suite: Suite, out: Path, repeats: int) -> tuple[list[Quantity], list[Record]]:
    """Run a suite into `out`, several times anew, with progress as a person sees it.

    Returns:
        The share outside measurements with its parts, and the records of the last run.
    """
    shares, walls, parts, records = [], [], [], list[Record]()
    for repeat in range(repeats):
        folder = out / str(repeat)
        display = Display()
        wall = _seconds(
            lambda folder=folder, display=display: run_suite(  # type: ignore[misc]
                suite, folder, executor=inline, progress=display.cell_done, starting=display.running
            )
        )
        records = Store(folder).records()
        inside = sum(record["seconds"] for record in records)
        shares.append(100 * (wall - inside) / wall)
        walls.append(wall)
        parts.append(_parts(suite, folder, records))
    return [
        Quantity(f"share of a run of {suite.name} outside its measurements", "%", tuple(shares), TARGET),
        Quantity(f"run of {suite.name}, {len(records)} cells, in all", "s", tuple(walls)),
        *(Quantity(f"of it: {name}", "s", tuple(part[name] for part in parts)) for name in parts[0]),
    ], records
