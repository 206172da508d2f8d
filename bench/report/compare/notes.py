"""What sets two runs apart beside what they measured: their settings, and where they were made."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from bench.report.compare.pairs import Pair


class Difference(NamedTuple):
    """A setting of a kind of cell, or an item of provenance, that the two runs do not share."""

    name: str
    a: str
    b: str
    kind: str = ""
    """Of the cells that it is a setting of; empty for provenance."""

    def words(self) -> str:
        """In a line."""
        head = f"SETTINGS DIFFER: {self.kind} {self.name}" if self.kind else self.name
        return f"{head}: {self.a} in A, {self.b} in B"


def settings(pairs: Sequence[Pair]) -> list[Difference]:
    """Each setting that shared cells were made with differently: then they measure different things."""
    found: dict[Difference, None] = {}  # in order, each once
    for pair in pairs:
        a, b = (_flat(record.config.model_dump()) for record in pair)
        for name in sorted(a.keys() | b.keys()):
            if a.get(name) != b.get(name):
                found[Difference(name, str(a.get(name)), str(b.get(name)), pair.a.kind)] = None
    return list(found)


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in table.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


def differences(pairs: Sequence[Pair]) -> list[Difference]:
    """What of provenance the shared cells of the two runs do not share, with all values that occur."""
    keys = ("host", "cpu", "gpu", "threads", "matmul_precision", "python", "torch", "gradest", "commit", "dirty")
    found, runs = [], list(zip(*pairs, strict=True))
    for key in keys:
        a, b = (sorted({str(getattr(record.provenance, key, None)) for record in run}) for run in runs)
        if a != b:
            found.append(Difference(key, ", ".join(a), ", ".join(b)))
    return found
