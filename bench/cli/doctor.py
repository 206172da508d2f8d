"""`gradest doctor`: what this machine has, for a person who wonders why something does not run."""

import importlib.metadata
import os
import platform
from typing import Any

from bench.cli.guard import DONE, JSON, reading

RUN = ("torch", "numpy", "pydantic", "typer", "rich")
REPORT = ("pandas", "seaborn", "matplotlib", "scipy", "pyarrow", "jinja2")
EXTRAS = ("pooch", "distributed", "pytest-benchmark")


@reading
def doctor_verb(as_json: JSON = False) -> int:
    """Say what this machine has: versions, devices, data files, optional packages."""
    from bench.cli.tables import print_json, print_table

    found = examine()
    if as_json:
        print_json(found)
    else:
        print_table(found, whole=("what",), below="note")
    return DONE


def examine() -> list[dict[str, Any]]:
    """Rows of what was looked at, what was found and what it is for."""
    import torch

    import bench.datasets
    from bench.run.version import version

    found = [
        _row("gradest", version(), "this package"),
        _row("python", platform.python_version(), "3.11 or later"),
        _row(
            "cores",
            str(os.cpu_count()),
            f"torch would use {torch.get_num_threads()} threads; suites set their own",
        ),
    ]
    for packages, purpose in ((RUN, "needed to run"), (REPORT, "needed for reports"), (EXTRAS, "optional")):
        found += [_row(package, _version(package), purpose) for package in packages]
    if torch.cuda.is_available():
        found.append(_row("cuda", torch.cuda.get_device_name(), f"--device cuda, CUDA {torch.version.cuda}"))
    else:
        found.append(_row("cuda", "none", "torch sees no CUDA GPU; suites run on the CPU"))
    root = os.environ.get("GRADEST_DATA")
    found.append(_row("GRADEST_DATA", root or "not set", "folder of data files, looked in before the user cache"))
    for info in bench.datasets.available():
        try:
            bench.datasets.load(info.name, download=False)
            found.append(_row(f"data {info.name}", "here", "files found, checksums right"))
        except bench.datasets.DataError as error:
            found.append(_row(f"data {info.name}", "not here", str(error)))
    return found


def _row(what: str, found: str, note: str) -> dict[str, Any]:
    return {"what": what, "found": found, "note": note}


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "missing"
