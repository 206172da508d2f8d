"""Records to tidy frames: a row a measured point, a seed or a timing, and all scalars in one long frame.

A cell that measured nothing keeps one row with its status and reason, so that no table can lose it.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.records.record import Record, read
from bench.records.results import Training
from bench.records.shown import merged, sentences
from bench.report import naming, rows
from bench.report.printable import printable
from bench.report.replicates import together
from estimators.errors import BadInput

KINDS = ("train", "moments", "time")

# Columns of the long frame that are neither names nor the scalar itself.
_AT_A_POINT = (
    "variance", "encoder_variance", "minibatch_variance", "bias_squared", "relative_bias", "kurtosis",
    "encoder_kurtosis", "gradient_norm", "snr", "cosine", "mse", "max_z", "p_value", "trajectory_elbo",
    "f_evals",
)  # fmt: skip
_OF_TIME = (
    ("step_seconds", "step_n"),
    ("floor_seconds", "floor_n"),
    ("time_ratio", "ratio_n"),
    ("plain_seconds", "plain_n"),
    ("plain_ratio", "plain_ratio_n"),
    ("kernel_seconds", "step_n"),
    ("peak_memory_bytes", "step_n"),
)


class Frames(NamedTuple):
    """The records of a report as pandas frames; each row begins with the names of its cell."""

    heads: pd.DataFrame  # one row a cell
    moments: pd.DataFrame  # one row a checkpoint, |logit| or scale of a moments cell
    replicates: pd.DataFrame  # one row a point, of checkpoints measured on several trajectories or minibatches
    finals: pd.DataFrame  # one row a seed of a train cell
    curves: pd.DataFrame  # one row a seed and recorded step of a train cell
    time: pd.DataFrame  # one row a time cell
    left_out: list[str]  # sentences on records left out for others of the same cell


def check(records: Sequence[Record]) -> None:
    """Refuse what this report cannot read.

    Raises:
        BadInput: no records, or a record of an unknown kind.
    """
    if not records:
        raise BadInput("no records to report: run a suite first, or name the folder that holds its cells/")
    for record in records:
        if record.kind not in KINDS:
            raise BadInput(
                f"cell {record.cell} has kind {record.kind!r}; this report reads {', '.join(KINDS)}, and what an "
                "installed package measures: install the one of that kind"
            )


def _curve(found: Training) -> tuple[int, dict[str, NDArray[np.float64]]]:
    """The curve of a train cell as columns of equal length, points x seeds."""
    seeds, points = np.asarray(found.seeds, dtype=np.float64), len(found.curve.step)
    columns = {
        key: np.repeat(np.asarray(getattr(found.curve, key), dtype=np.float64), len(seeds))
        for key in ("step", "seconds", "f_evals")
    }
    elbos = {
        key: np.asarray(getattr(found.curve, key), dtype=np.float64).ravel() for key in ("train_elbo", "test_elbo")
    }
    return points * len(seeds), {"seed": np.tile(seeds, points), **columns, **elbos}


def _joined(heads: pd.DataFrame, index: Sequence[int] | NDArray[np.int64], body: pd.DataFrame) -> pd.DataFrame:
    named = heads.iloc[np.asarray(index, dtype=np.int64)]
    return pd.concat([named.reset_index(drop=True), body.reset_index(drop=True)], axis=1)


def _curves(heads: pd.DataFrame, records: Sequence[Record]) -> pd.DataFrame:
    lengths, indices, parts = [], [], []
    for i, record in enumerate(records):
        if record.kind == "train" and (found := record.result(Training)).curve.step:
            length, part = _curve(found)
            lengths.append(length)
            indices.append(i)
            parts.append(part)
    names = ("seed", "step", "seconds", "f_evals", "train_elbo", "test_elbo")
    body = {name: np.concatenate([part[name] for part in parts]) if parts else np.empty(0) for name in names}
    return _joined(heads, np.repeat(np.asarray(indices, dtype=np.int64), lengths), pd.DataFrame(body))


def build(records: Iterable[Record | Mapping[str, Any]], relative_to: str) -> Frames:
    """The frames of some records.

    Args:
        records: whole records, or their plain values; of several of one measurement one counts
            (`bench.records.identity`).
        relative_to: label or name of the estimator that ratios are relative to, where a problem has it.

    Raises:
        ValueError: no records, or one of a later release or an unknown kind.
    """
    found = [printable(read(record)) for record in records]
    check(found)
    kept, left_out = merged(found)
    problems, labels = naming.problem_names(kept), naming.estimator_labels(kept)
    settings, given = naming.parted(kept, problems)
    budgets = naming.budgets(kept, problems, labels)
    beside = naming.references(kept, problems, labels, budgets, relative_to)
    heads = pd.DataFrame(
        [
            rows.head(record, problem, setting, label, other and other.label)
            for record, problem, setting, label, other in zip(kept, problems, settings, labels, beside, strict=True)
        ]
    ).assign(
        budget=budgets,  # evaluations of f a row
        given=given,
        relative_to=pd.Series([other.label if other else None for other in beside], dtype=object),
        relative_to_budget=[other.budget if other else math.nan for other in beside],
    )

    def tidy(of_cells: Iterable[tuple[int, Iterable[Mapping[str, Any]]]]) -> pd.DataFrame:
        pairs = [(i, row) for i, of_cell in of_cells for row in of_cell]
        return _joined(heads, [i for i, _ in pairs], pd.DataFrame([row for _, row in pairs]))

    def of_kind(
        kind: str, rows_of: Callable[[Record], Sequence[Mapping[str, Any]]]
    ) -> list[tuple[int, Sequence[Mapping[str, Any]]]]:
        return [(i, rows_of(record)) for i, record in enumerate(kept) if record.kind == kind]

    at_points = of_kind("moments", rows.points)
    moments, points = tidy((i, together(of_cell)) for i, of_cell in at_points), tidy(at_points)
    several = points[points["trajectory"].notna()].reset_index(drop=True) if len(points) else points
    finals, time = tidy(of_kind("train", rows.finals)), tidy(of_kind("time", rows.time))
    return Frames(heads, moments, several, finals, _curves(heads, kept), time, sentences(left_out))


def _melted(frame: pd.DataFrame, metric: str, n: str | None, keep: Sequence[str]) -> pd.DataFrame:
    part = frame.reindex(columns=[*keep]).copy()
    part["metric"] = metric
    part["estimate"] = frame.get(metric)
    part["low"] = frame.get(f"{metric}_low")
    part["high"] = frame.get(f"{metric}_high")
    part["n"] = frame.get(n) if n else 1.0
    return part[part["estimate"].notna()]


def long(frames: Frames) -> pd.DataFrame:
    """Every measured scalar in one row: the names of its cell, metric, estimate, low, high, n.

    `low` and `high` are the ends of the metric's interval (quartiles for times) where it has one; `n` counts
    draws or rounds, and is 1 for one seed's value. Every cell has at least the row `cell_seconds`. A point of several
    trajectories or minibatches has a row of its own, which names both, beside that of its checkpoint, which names none.
    """
    names = frames.heads.columns.drop(["cell_seconds", "method_family", "needs", "negative_control"])
    keep = [*names, "step", "logit", "scale", "seed", "trajectory", "minibatch"]
    parts = [_melted(frames.heads, "cell_seconds", None, keep)]
    checkpoints = frames.moments.assign(trajectory=np.nan, minibatch=np.nan)
    for at_a_point in (checkpoints, frames.replicates):
        parts += [_melted(at_a_point, metric, "draws", keep) for metric in _AT_A_POINT]
    parts += [_melted(frames.time, metric, n, keep) for metric, n in _OF_TIME]
    for metric in ("train_elbo", "test_elbo", "test_iwae", "diverged_step"):
        parts.append(_melted(frames.finals, metric, None, keep).assign(metric=f"final_{metric}"))
    parts += [_melted(frames.curves, metric, None, keep) for metric in ("train_elbo", "test_elbo")]
    steps = frames.curves.drop_duplicates(["cell", "step"]).assign(seed=np.nan)  # all seeds of a cell share these
    parts += [_melted(steps, metric, None, keep) for metric in ("seconds", "f_evals")]
    whole = pd.concat([part for part in parts if len(part)], ignore_index=True)
    numbers = ("step", "logit", "scale", "seed", "trajectory", "minibatch", "estimate", "low", "high", "n")
    return whole.astype(dict.fromkeys(numbers, "float64"))
