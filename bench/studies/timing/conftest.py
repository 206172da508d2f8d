"""What the benchmarks share: provenance in their JSON."""

from typing import Any

from bench.run.provenance import machine


def pytest_benchmark_update_machine_info(machine_info: dict[str, Any]) -> None:
    """Add what records say of a machine."""
    machine_info["gradest"] = machine("cpu")
