"""A report over many records, by stage."""

import json
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from bench.run.store import Record, Store
from bench.studies.overhead.copies import Size, copies
from bench.studies.results import Row

TARGET = 20.0
"""Seconds, for 10,000 records."""


def stages(run: Path, out: Path) -> dict[str, Any]:
    """Write the report of a run in all formats; seconds of each stage, and the number of figures."""
    from bench.report.output import write

    marks = [("start", time.perf_counter())]

    def finished(stage: str) -> None:
        marks.append((stage, time.perf_counter()))

    records = Store(run).records()
    finished("read")
    files = write(records, out, title="A long report", finished=finished)
    seconds = {stage: end - start for (_, start), (stage, end) in pairwise(marks)}
    return {"seconds": seconds, "figures": sum(path.suffix == ".pdf" for path in files)}


def measure(records: list[Record], size: Size, out: Path, repeats: int) -> tuple[list[Row], dict[str, int]]:
    """Copy a run's records to a study of a size, and write its report in processes of their own.

    Returns:
        Seconds in all and of each stage; what the study consists of.
    """
    store = Store(out / "study")
    store.cells.mkdir(parents=True)
    for record in copies(records, size):
        store.path(record["cell"]).write_text(json.dumps(record, indent=1))
    count = len(list(store.cells.iterdir()))
    walls, found, figures = [], [], 0
    for repeat in range(repeats):
        started = time.perf_counter()
        command = [sys.executable, "-m", __name__, str(store.root), str(out / f"report-{repeat}")]
        done = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        walls.append(time.perf_counter() - started)
        found.append({"start": walls[-1] - sum(done["seconds"].values()), **done["seconds"]})
        figures = done["figures"]
    rows = [
        Row.repeated(f"report over {count} records, in all", walls, unit="s", target=TARGET),
        *(Row.repeated(f"of it: {name}", [seconds[name] for seconds in found], unit="s") for name in found[0]),
    ]
    problems = size.vaes + size.toys
    return rows, {"records": count, "problems": problems, "estimators": size.estimators, "figures": figures}


if __name__ == "__main__":
    import bench.cli
    import bench.run.folder  # noqa: F401  (as `gradest report` does, so that the start is the same)

    print(json.dumps(stages(Path(sys.argv[1]), Path(sys.argv[2]))))
