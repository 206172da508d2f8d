"""The tests that need a GPU, in a process of their own and within a time."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.studies.results import Row

ROOT = Path(__file__).parents[3]
MARK = "pytest.mark.gpu"
_COUNTS = re.compile(r"(\d+) (passed|failed|error|skipped)")


def files() -> list[Path]:
    """Those that hold such tests: others need not be collected, nor what they import be there."""
    return [path for path in sorted((ROOT / "tests").rglob("test_*.py")) if MARK in path.read_text()]


def measure(limit: float) -> Iterator[Row]:
    """How many passed, failed, broke and were skipped, a row each; one that says so where the time ran out.

    Args:
        limit: in seconds.
    """
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", *map(str, files())]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        yield Row(quantity="tests stopped", unit="s", value=limit, case={"because": "they took longer"})
        return
    last = (done.stdout.strip().splitlines() or [done.stderr.strip()])[-1]
    counts = dict.fromkeys(("passed", "failed", "error", "skipped"), 0) | {
        word: int(count) for count, word in _COUNTS.findall(last)
    }
    for word, count in counts.items():
        asked = 0.0 if word in ("failed", "error") else None
        yield Row(quantity=f"tests {word}", value=count, case={"because": last}, target=asked)
    if done.returncode:
        print(done.stdout[-4000:])
