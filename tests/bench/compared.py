"""Two folders side by side, as rows of numbers and words and as notes."""

from pathlib import Path
from typing import Any

from bench.report.compare.runs import compare as of_runs


def compare(first: Path, second: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """Rows as far as a person reads them, and all that sets the runs apart."""
    found = of_runs(first, second)
    return [dict(list(row._asdict().items())[:8]) for row in found.rows], found.notes()
