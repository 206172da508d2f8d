"""Where a number came from: machine, versions, commit, and the source of the estimator."""

import hashlib
import inspect
import os
import platform
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import numpy
import torch

from bench.run.version import checkout, version


@cache
def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


@cache
def _driver() -> str | None:
    """Version of the NVIDIA driver, which torch does not tell."""
    try:
        query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        done = subprocess.run(query, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip().splitlines()[0] if done.stdout.strip() else None


def source_hash(estimator: torch.nn.Module) -> str:
    """SHA-256 of the files that define an estimator: its class, what that inherits from and its parts, not torch's."""
    return source_of(*{type(module) for module in estimator.modules()})


def source_of(*wanted: type) -> str:
    """SHA-256 of the files that define some classes and what they inherit from, not torch's."""
    classes = {cls for each in wanted for cls in each.__mro__}
    own = (cls for cls in classes if cls.__module__.partition(".")[0] not in ("torch", "builtins"))
    return _hash_files(frozenset(path for cls in own if (path := _source_file(cls))))


def _source_file(cls: type) -> str | None:
    try:
        return inspect.getsourcefile(cls)
    except (OSError, TypeError):  # defined at a prompt
        return None


@cache
def _hash_files(paths: frozenset[str]) -> str:
    """One hash of all contents, the same wherever the files lie."""
    digests = sorted(hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in paths)
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def provenance(estimator: torch.nn.Module, device: str) -> dict[str, Any]:
    """Everything a reader needs to repeat or doubt a record."""
    return machine(device) | {"estimator_source": source_hash(estimator)}


def machine_name(device: str) -> str:
    """The machine, in a few words: its host, and what computes there."""
    return f"{platform.node()}, {torch.cuda.get_device_name() if device == 'cuda' else _cpu()}"


def machine(device: str) -> dict[str, Any]:
    """Host, device, versions and commit behind a number."""
    commit, dirty = checkout()
    cuda = device == "cuda"
    return {
        "host": platform.node(),
        "platform": platform.platform(),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "load": list(os.getloadavg()),
        "threads": torch.get_num_threads(),
        "matmul_precision": torch.get_float32_matmul_precision(),
        "gpu": torch.cuda.get_device_name() if cuda else None,
        "driver": _driver() if cuda else None,
        "cuda": torch.version.cuda if cuda else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "gradest": version(),
        "commit": commit,
        "dirty": dirty,
    }
