"""Whether a worker that somebody else started runs the same code as this process, and can compute what is asked."""

import hashlib
import importlib
import importlib.metadata
import os
import platform
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch

import bench
import estimators
from bench.run.version import version
from bench.suite.schema import Cell
from estimators import registry
from estimators.errors import BadInput

_IMPORTED: dict[str, str] = {}
"""Hashes of a person's own modules, by name, as they were when this process, a worker, imported them."""


class Other(BadInput):
    """A worker has other code than the process that gives it cells."""


@cache
def code() -> dict[str, str]:
    """What decides numbers, by name: versions, and the source of our packages as it was at the first call."""
    files = hashlib.sha256()
    for package in (bench, estimators):
        root = Path(package.__path__[0])
        for path in sorted(root.rglob("*.py")):
            if path.relative_to(root).parts[0] != "studies":  # which no wheel holds
                files.update(f"{path.relative_to(root.parent)}\n".encode() + path.read_bytes())
    return {
        "Python": platform.python_version(),
        "torch": torch.__version__,
        "distributed": importlib.metadata.version("distributed"),
        "gradest": version(),
        "the source of gradest": files.hexdigest()[:12],
    }


def greet(folder: str) -> dict[str, Any]:
    """What a worker is, called there; it looks for a person's own modules where the run was started, too."""
    if os.path.isdir(folder) and folder not in sys.path:
        sys.path.append(folder)
    return {"code": code(), "cuda": torch.cuda.is_available(), "visible": os.environ.get("CUDA_VISIBLE_DEVICES")}


def refusal(answer: Any, device: str) -> str | None:
    """Why a worker cannot be used, by its answer to `greet` or the exception in its place; None where it can."""
    if isinstance(answer, Exception):
        words = " ".join(str(answer).split())[:200]
        return f"cannot be asked for its version ({type(answer).__name__}: {words}): is gradest installed there?"
    here = code()
    for name, there in answer["code"].items():
        if there != here.get(name):
            return f"has another version of {name}: {there}, and here it is {here.get(name)}"
    if device == "cuda" and not answer["cuda"]:
        return f"sees no GPU (CUDA_VISIBLE_DEVICES is {answer['visible']!r})"
    return None


def own_modules(cell: Cell) -> dict[str, str]:
    """Hashes of the modules that define a cell's estimator, problem and measurement, but for those of ours."""
    classes = (registry.get(cell.estimator.name).cls, type(cell.problem), type(cell.measurement))
    names = {cls.__module__ for cls in classes}
    return {name: _hash(name) for name in names if name.partition(".")[0] not in ("bench", "estimators")}


def check_modules(wanted: Mapping[str, str]) -> None:
    """Import modules, in a worker, and refuse those that are not as they are where the run was started.

    Raises:
        Other: a module is not there, or it was another when this worker imported it.
    """
    for name, expected in wanted.items():
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise Other(f"cannot import {name}: put it where the worker looks for modules ({error})") from error
        if (found := _IMPORTED.setdefault(name, _hash(name))) != expected:
            raise Other(f"has {name} as it was before it changed, or another of that name: start it again ({found})")


def _hash(module: str) -> str:
    path = getattr(sys.modules[module], "__file__", None)
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:12] if path else ""
