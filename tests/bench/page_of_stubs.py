"""A small report whose page has of everything one can ask for: families, tags, points, and a name that is hostile."""

from pathlib import Path

from bench.report.output import write
from tests.bench.drawn import DIGITS, cell, point, times, trained
from tests.bench.records import Record, problem

HOSTILE = "</script><img src=x onerror=alert(1)>"
"""What somebody's own file may call an estimator."""
LATENT = DIGITS
SWEPT = [problem("toy", "cubic/gaussian-3", "gaussian", scale=scale) for scale in (0.1, 1.0)]
TAGS = {
    "rloo": {"needs": "neither"},
    "disarm": {"needs": "neither"},
    "rebar": {"needs": "relaxed f"},
    "straight-through": {"needs": "gradient of f"},
    "wrong": {"needs": "neither", "negative_control": True},
    HOSTILE: {},
}
BIASED = ("straight-through", "wrong")
VARIANCE = {
    "rloo": (8.0, 9.0),
    "disarm": (4.0, 0.00011),
    "rebar": (2.0, 1200.0),
    "straight-through": (1.0, 30.0),
    "wrong": (0.5, 5.0),
    HOSTILE: (16.0, 7.0),
}
"""Of the gradient at steps 0 and 100; as texts the last ones stand in another order than as numbers."""


def _tagged(kind: str, where: Record, label: str, measured: Record) -> Record:
    made = cell(kind, where, label, measured, biased=label in BIASED)
    return {**made, "tags": {**made["tags"], **TAGS[label]}}


def _moments(label: str, variances: tuple[float, ...]) -> Record:
    points = [point((v, v / 2, 2 * v), step=100 * i, rows=20) for i, v in enumerate(variances)]
    return {"points": points}


def records() -> list[Record]:
    """Of six estimators the noise at two steps, the time of a step and the noise at two scales; of two a training."""
    made = [_tagged("moments", LATENT, label, _moments(label, own)) for label, own in VARIANCE.items()]
    made += [_tagged("time", LATENT, label, times(1e-3, (i + 1, i + 0.9, i + 1.1))) for i, label in enumerate(VARIANCE)]
    for where, factor in zip(SWEPT, (1.0, 3.0), strict=True):
        made += [
            _tagged("moments", where, label, {"points": [point((factor * v[0], v[0], 9 * v[0]))]})
            for label, v in VARIANCE.items()
        ]
    curves = {"rloo": -30.0, "disarm": -28.0}
    for label, end in curves.items():
        elbos = [[-90.0 - seed for seed in range(5)], [end + seed / 10 for seed in range(5)]]
        made.append(trained(label, [0, 100], [0.0, 2.0], elbos, elbos))
    return made


def page(folder: Path) -> Path:
    """The page of these records alone."""
    (file,) = write(records(), folder, {"html"}, title=f"A title with {HOSTILE}")
    return file
