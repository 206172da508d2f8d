"""What sets two runs apart beside what they measured: their settings, and where they were made."""

from collections.abc import Mapping, Sequence
from typing import Any

from bench.report.compare.pairs import Pair


def settings(pairs: Sequence[Pair]) -> list[str]:
    """One note for each setting that shared cells were made with differently: then they measure different things."""
    notes: dict[str, None] = {}  # in order, each once
    for pair in pairs:
        a, b = (_flat(record.config.model_dump()) for record in pair)
        for name in sorted(a.keys() | b.keys()):
            if a.get(name) != b.get(name):
                words = f"SETTINGS DIFFER: {pair.a.kind} {name}: {a.get(name)} in A, {b.get(name)} in B"
                notes[words] = None
    return list(notes)


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in table.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


def differences(pairs: Sequence[Pair]) -> list[str]:
    """What of provenance the shared cells of the two runs do not share, with all values that occur."""
    keys = ("host", "cpu", "gpu", "threads", "matmul_precision", "python", "torch", "gradest", "commit", "dirty")
    notes, runs = [], list(zip(*pairs, strict=True))
    for key in keys:
        a, b = (sorted({str(getattr(record.provenance, key, None)) for record in run}) for run in runs)
        if a != b:
            notes.append(f"{key}: {', '.join(a)} in A, {', '.join(b)} in B")
    return notes
