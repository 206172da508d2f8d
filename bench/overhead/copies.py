"""Many records from few: copies of a run's under other names, as a study of more problems and estimators leaves."""

import hashlib
import json
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from bench.run.store import Record


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


def _scaled(value: Any, factor: float, key: str = "") -> Any:
    """Measurements with all that has a unit multiplied: copies of one record lie beside each other in a figure."""
    match value:
        case dict():
            return {name: _scaled(item, factor, name) for name, item in value.items()}
        case list():
            return [_scaled(item, factor, key) for item in value]
        case float() if key not in ("p_value", "cosine"):
            return value * factor
    return value


def _copy(record: Record, problem: str, number: int, **place: float) -> Record:
    """A record as it were of another problem, of the copy `number` of its estimator, and at another level."""
    config = json.loads(json.dumps(record["config"]))
    config["problem"] |= {"label": problem, **place}
    estimator = config["estimator"]
    name, bracket, options = estimator["label"].partition("[")
    if number:
        estimator |= {"name": f"{estimator['name']}-{number}", "label": f"{name}-{number}{bracket}{options}"}
    factor = random.Random(f"{problem} {estimator['label']}").lognormvariate(0, 0.3)
    return record | {
        "cell": hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:16],
        "config": config,
        "measurements": _scaled(record["measurements"], factor),
    }


def copies(records: Sequence[Record], size: Size) -> Iterator[Record]:
    """Records of a larger study.

    Args:
        records: those of a run, with at least one problem of each kind that the study has.
        size: of the study.
    """
    kinds: dict[str, dict[str, dict[str, list[Record]]]] = {"vae": {}, "toy": {}}
    for record in records:
        problem, estimator = (record["config"][part]["label"] for part in ("problem", "estimator"))
        of_problem = kinds[record["config"]["problem"]["kind"]].setdefault(problem, defaultdict(list))
        of_problem[estimator].append(record)
    for kind, count in (("vae", size.vaes), ("toy", size.toys)):
        models = list(kinds[kind].items())
        for p in range(count):
            label, by_estimator = models[p % len(models)]
            problem = label if p < len(models) else f"{label}-{p // len(models)}"
            for e in range(size.estimators):
                number, which = divmod(e, len(by_estimator))
                members = list(by_estimator.values())[which]
                if kind == "vae":
                    yield from (_copy(record, problem, number) for record in members)
                    continue
                swept = "scale" if members[0]["config"]["problem"].get("logit") is None else "logit"
                members = sorted(members, key=lambda record: float(record["config"]["problem"][swept]))
                for level in range(size.levels):
                    place = {swept: 0.1 * 1.5**level if swept == "scale" else 0.5 * level}
                    yield _copy(members[level * len(members) // size.levels], problem, number, **place)
