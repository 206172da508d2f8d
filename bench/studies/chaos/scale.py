"""`python -m bench.studies.chaos.scale OUT`: thousands of small cells, beside what those take by themselves."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import typer

from bench.run.provenance import machine
from bench.run.store import Store
from bench.studies.chaos import table
from bench.studies.results import Row, Run

ESTIMATORS = ("rloo", "reinforce", "arm", "disarm", "arms", "bitflip", "ugc", "reinmax", "zgr", "straight-through")
UNREPORTED = (
    "import bench.cli.report, bench.cli\nbench.cli.report.write_report = lambda folders, out: None\nbench.cli.main()\n"
)
"""The command line, whose runs end with their records."""
POINTS = 100
"""As many as a problem may have."""
OVERHEAD, RESUME, FLAT = 5.0, 5.0, 1.0
"""Milliseconds a cell, seconds, and kilobytes of memory a cell that a run may take."""
EACH = 0.2
"""Seconds between two looks at a process's memory."""
LIMIT = 3600.0
"""Seconds that a command may take; ten thousand cells over two workers take two minutes."""


def suite(cells: int) -> str:
    """A suite of so many cells, tens at least, each of eight draws of a toy."""
    count = -(-cells // (POINTS * len(ESTIMATORS)))
    points = [round(0.01 * i, 2) for i in range(-(-cells // (count * len(ESTIMATORS))))]
    toy = 'kind = "toy", objective = "random", family = "bernoulli", latents = 2'
    problems = [f"    {{{toy}, table = {i}, logits = {points}}}," for i in range(count)]
    head = ['name = "many"', "samples = 2", f"estimators = {json.dumps(ESTIMATORS)}"]
    return "\n".join([*head, "problems = [", *problems, "]", "", "[moments]", "draws = 8", ""])


class Watched(NamedTuple):
    """A command that ran to its end."""

    seconds: float
    memory: Sequence[float]
    """Its resident memory in MB, at even distances."""


def watched(folder: Path, *arguments: str) -> Watched:
    """Run a command line of ours in a folder, and look at its memory meanwhile.

    Raises:
        RuntimeError: it failed.
    """
    began, memory = time.monotonic(), []
    with (folder / "said").open("w") as said:
        process = subprocess.Popen(
            [sys.executable, "-c", UNREPORTED, *arguments], cwd=folder, stdout=said, stderr=said, env=_environment()
        )
        page = os.sysconf("SC_PAGE_SIZE")
        while process.poll() is None:
            time.sleep(EACH)
            if time.monotonic() - began > LIMIT:
                process.kill()
                process.wait()
                said.write(f"\nkilled, as it did not end within {LIMIT:.0f} s\n")
                break
            try:
                memory.append(int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * page / 1e6)
            except (OSError, IndexError):  # it has just ended
                continue
    if process.returncode:
        raise RuntimeError(f"{' '.join(arguments)} ended with {process.returncode}: {(folder / 'said').read_text()}")
    return Watched(time.monotonic() - began, memory)


def _environment() -> dict[str, str]:
    path = os.pathsep.join(filter(None, [os.getcwd(), os.environ.get("PYTHONPATH")]))
    return os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def rows_of(folder: Path, workers: int, cells: int, startup: float) -> list[Row]:
    """A run of the suite in a folder, a resume with nothing to do, and its status.

    Args:
        folder: holds many.toml.
        workers: how many processes.
        cells: of the suite.
        startup: seconds of a run of ten cells, most of which are no cell's.
    """
    out = f"out{workers}"
    run = ("run", "many.toml", "--out", out, "--workers", str(workers))
    made = watched(folder, *run)
    records = Store(folder / out).whole()
    if len(records) != cells or any(not record.went_well for record in records):
        raise RuntimeError(f"{len(records)} of {cells} cells have a record, or one of them failed")
    own = sum(record.seconds or 0.0 for record in records)
    case: dict[str, Any] = {"workers": workers, "cells": cells}
    where = "inline" if workers == 1 else f"over {workers} workers"
    memory = np.trim_zeros(np.asarray(made.memory), "b")  # of a process that has ended, and was not waited for yet
    late = memory[len(memory) // 3 :]
    slope = np.polyfit(np.linspace(0, 2 / 3 * cells, len(late)), late, 1)[0] if len(late) > 1 else 0.0
    again, told = watched(folder, *run), watched(folder, "status", out)

    def row(quantity: str, value: float, unit: str, target: float | None = None) -> Row:
        return Row(quantity=f"{quantity}, {where}", case=case, unit=unit, value=value, target=target)

    return [
        row("run", made.seconds, "s"),
        row("the cells' own seconds, a worker", own / workers, "s"),
        row("overhead a cell", 1e3 * (made.seconds - startup - own / workers) / cells, "ms", OVERHEAD),
        row("memory of the runner at its end", float(memory[-1]), "MB"),
        row("its growth a cell, over the last two thirds", 1e3 * float(slope), "kB", FLAT),
        row("a resume with nothing to do", again.seconds, "s", RESUME),
        row("gradest status", told.seconds, "s", RESUME),
    ]


def measure(cells: int, workers: Sequence[int]) -> list[Row]:
    """Runs of a suite of so many cells."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for count in workers:
            (folder / "many.toml").write_text(suite(1))
            startup = watched(folder, "run", "many.toml", "--out", f"one{count}", "--workers", str(count))
            (folder / "many.toml").write_text(suite(cells))
            rows += rows_of(folder, count, cells, startup.seconds)
    return rows


def main(
    out: Annotated[Path, typer.Argument(help="Folder to write into.")],
    cells: Annotated[int, typer.Option(min=1, help="Cells of the suite.")] = 10_000,
    workers: Annotated[str, typer.Option(help="Numbers of workers, with commas between them.")] = "2,1",
) -> None:
    """Measure and write."""
    about = machine("cpu")
    rows = measure(cells, [int(count) for count in workers.split(",")])
    run = Run(name="scale", provenance=about, about={"cells": cells}, rows=tuple(rows))
    table.publish(run, out)


if __name__ == "__main__":
    typer.run(main)
