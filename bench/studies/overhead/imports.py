"""What `import estimators` and its registry, which imports every method, add to `import torch`."""

import subprocess
import sys
import tempfile
from pathlib import Path

from bench.studies.results import Row

TARGET = 50.0
"""Milliseconds."""
# torch keeps its own bytecode, wherever that lies; what is measured starts after it.
_TIMED = """
import sys, time, torch
sys.pycache_prefix, sys.dont_write_bytecode = sys.argv[1], sys.argv[2] == "compiled"
started = time.perf_counter()
import estimators
estimators.available()
print(1e3 * (time.perf_counter() - started))
"""


def _once(bytecode: Path, state: str) -> float:
    command = [sys.executable, "-c", _TIMED, str(bytecode), state]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def measure(repeats: int) -> list[Row]:
    """Import times in fresh interpreters, with bytecode at hand and without, in turns."""
    with tempfile.TemporaryDirectory() as folder:
        kept, empty = Path(folder) / "kept", Path(folder) / "empty"
        _once(kept, "cached")  # writes the bytecode that the others read
        pairs = [(_once(kept, "cached"), _once(empty, "compiled")) for _ in range(repeats)]
    cached, compiled = zip(*pairs, strict=True)
    return [
        Row.repeated("import estimators, beyond torch", cached, unit="ms", target=TARGET),
        Row.repeated("the same where its sources are compiled first", compiled, unit="ms", target=TARGET),
    ]
