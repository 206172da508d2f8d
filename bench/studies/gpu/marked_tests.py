"""The tests that need a GPU, in a process of their own and within a time."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.studies.results import Row

ROOT = Path(__file__).parents[3]
MARK = "pytest.mark.gpu"
_RAN = (0, 1)
"""Exit codes of pytest after tests that all passed or were skipped, and after some that failed."""
_COUNTS = re.compile(r"(\d+) (passed|failed|error|skipped)")


def files() -> list[Path]:
    """Those that hold such tests: others need not be collected, nor what they import be there."""
    return [path for path in sorted((ROOT / "tests").rglob("test_*.py")) if MARK in path.read_text()]


def measure(limit: float) -> Iterator[Row]:
    """How many passed, failed, broke and were skipped, a row each; or one that says why that is not known.

    Args:
        limit: in seconds.
    """
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-p", "no:cacheprovider", *map(str, files())]
    # A session of its own: processes that a test started are stopped with it, or they would hold the pipe open.
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        output, _ = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        yield Row(quantity="tests stopped", unit="s", value=limit, case={"because": "they took longer"})
        return
    last = (output.strip().splitlines() or ["no output"])[-1]
    found = {word: int(count) for count, word in _COUNTS.findall(last)}
    if process.returncode:
        print(output[-4000:])
    if process.returncode not in _RAN or not found:
        yield Row(quantity="failed", case={"title": "tests marked gpu", "because": last})
        return
    for word, count in (dict.fromkeys(("passed", "failed", "error", "skipped"), 0) | found).items():
        asked = 0.0 if found.get("passed") and word in ("failed", "error") else None
        yield Row(quantity=f"tests {word}", value=count, case={"because": last}, target=asked)
