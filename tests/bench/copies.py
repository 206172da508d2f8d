"""Many records from few: copies of a run's under other names, as a study of more problems and estimators leaves."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

Record = dict[str, Any]


class Size(NamedTuple):
    """How large a study is; the default comes to 10,000 records."""

    estimators: int = 50
    """On every problem."""
    vaes: int = 6
    """Problems with a record a kind of measurement: moments at three checkpoints, training and time."""
    toys: int = 14
    """Problems with a record a level."""
    levels: int = 13
    """Points of a toy's sweep."""


def _copy(record: Record, problem: str, number: int, **level: float) -> Record:
    """A record as it were of another problem, of the copy `number` of its estimator, and at another level."""
    config = json.loads(json.dumps(record["config"]))
    config["problem"] |= {"label": problem, **level}
    estimator = config["estimator"]
    name, bracket, options = estimator["label"].partition("[")
    if number:
        estimator |= {"name": f"{estimator['name']}-{number}", "label": f"{name}-{number}{bracket}{options}"}
    cell = hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:16]
    return record | {"cell": cell, "config": config}


def _levels(records: Sequence[Record], count: int) -> Iterator[tuple[Record, dict[str, float]]]:
    """Records of a toy's sweep stretched to so many levels: which is copied, and to what level."""
    swept = "scale" if records[0]["config"]["problem"].get("logit") is None else "logit"
    ordered = sorted(records, key=lambda record: float(record["config"]["problem"][swept]))
    for level in range(count):
        yield ordered[level * len(ordered) // count], {swept: 0.1 * 1.5**level if swept == "scale" else 0.5 * level}


def copies(records: Sequence[Record], size: Size) -> Iterator[Record]:
    """Records of a larger study.

    Args:
        records: those of a run, with at least one problem of each kind that the study has.
        size: of the study.
    """
    kinds: dict[str, dict[str, dict[str, list[Record]]]] = {"vae": {}, "toy": {}}
    for record in records:
        problem, estimator = (record["config"][part] for part in ("problem", "estimator"))
        by_estimator = kinds[problem["kind"]].setdefault(problem["label"], {})
        by_estimator.setdefault(estimator["label"], []).append(record)
    for kind, count in (("vae", size.vaes), ("toy", size.toys)):
        models = list(kinds[kind].items())
        for p in range(count):
            label, by_estimator = models[p % len(models)]
            problem = label if p < len(models) else f"{label}-{p // len(models)}"
            for e in range(size.estimators):
                number, which = divmod(e, len(by_estimator))
                of_one = list(by_estimator.values())[which]
                placed = _levels(of_one, size.levels) if kind == "toy" else ((record, {}) for record in of_one)
                yield from (_copy(record, problem, number, **level) for record, level in placed)
