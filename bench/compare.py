"""Two runs side by side, from their records alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.statistics import Interval, mean_interval, ratio_interval
from bench.status import run_suite_of
from bench.store import Record, Store
from estimators.registry import BadInput

Key = tuple[Any, ...]


def compare(first: Path, second: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """Rows for what both runs measured, and notes on what sets them apart.

    A variance is compared by the ratio B / A with a 95 % interval (jackknife on log variance, independent runs), the
    test ELBO by the mean of B - A over the seeds that both have (Student t), the step time by the ratio of medians,
    which carries no interval: two runs are not interleaved, and a noisy machine may account for it.

    Raises:
        BadInput: a folder holds no run, or the two share nothing.
    """
    runs = []
    for directory in (first, second):
        run_suite_of(directory)
        runs.append({_key(record): record for record in Store(directory).records() if record["status"] == "ok"})
    shared = [key for key in runs[0] if key in runs[1]]
    if not shared:
        raise BadInput(f"{str(first)!r} and {str(second)!r} share no measurement of one estimator on one problem")
    rows = [row for key in sorted(shared, key=str) for row in _rows(key, runs[0][key], runs[1][key])]
    alone = [len(run) - len(shared) for run in runs]
    notes = [f"{count} cells went well in {name} alone" for count, name in zip(alone, (first, second), strict=True)]
    notes += _settings(runs, shared)
    notes += _differences([run[shared[0]]["provenance"] for run in runs])
    return rows, notes


def _settings(runs: Sequence[dict[Key, Record]], shared: Sequence[Key]) -> list[str]:
    """One note for each setting that shared cells were made with differently: then they measure different things."""
    notes: dict[str, None] = {}  # in order, each once
    for key in shared:
        a, b = (_flat(run[key]["config"]) for run in runs)
        for name in sorted(a.keys() | b.keys()):
            if a.get(name) != b.get(name):
                notes[f"SETTINGS DIFFER: {key[0]} {name}: {a.get(name)} in A, {b.get(name)} in B"] = None
    return list(notes)


def _flat(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in table.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


def _key(record: Record) -> Key:
    config = record["config"]
    problem = config["problem"]
    point = problem.get("logit") if problem.get("logit") is not None else problem.get("scale")
    return (config["measurement"]["kind"], problem["label"], point, config["estimator"]["label"])


def _rows(key: Key, a: Record, b: Record) -> list[dict[str, Any]]:
    kind, problem, point, estimator = key
    base = {"problem": problem, "estimator": estimator}
    x, y = a["measurements"], b["measurements"]
    if kind == "moments":
        rows = []
        steps = {p["step"]: p for p in y["points"]}
        for p in x["points"]:
            if p["step"] not in steps:
                continue
            old, new = p["q"]["variance"], steps[p["step"]]["q"]["variance"]
            ratio = ratio_interval(new["estimate"], _se(new), old["estimate"], _se(old))
            rows.append(base | _row("variance B/A", p["step"] if point is None else point, ratio))
        return rows
    if kind == "train":
        pairs = [
            (new - old)
            for old, new in zip(x["final"]["test_elbo"], y["final"]["test_elbo"], strict=False)
            if old is not None and new is not None
        ]
        return [base | _row("test ELBO B - A", None, mean_interval(pairs))] if pairs else []
    ratio = y["step"]["median"] / x["step"]["median"]
    return [base | _row("step time B/A", None, Interval(ratio, float("nan"), float("nan")))]


def _se(variance: dict[str, Any]) -> float:
    return float("inf") if variance["log_se"] is None else float(variance["log_se"])


def _row(quantity: str, point: Any, interval: Interval) -> dict[str, Any]:
    return {"quantity": quantity, "point": point} | interval._asdict()


def _differences(provenances: list[dict[str, Any]]) -> list[str]:
    a, b = provenances
    keys = ("host", "cpu", "gpu", "threads", "python", "torch", "gradest", "commit", "dirty")
    return [f"{key}: {a[key]} in A, {b[key]} in B" for key in keys if a[key] != b[key]]
