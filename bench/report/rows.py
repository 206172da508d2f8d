"""One record to plain rows: a row a measured point, a seed, or a timing.

Every row function gives the same columns for a cell that measured nothing, with NaN in them.
"""

import math
from collections.abc import Mapping
from typing import Any

from bench.machine_load import busy
from bench.report.verdicts import ROUNDING, smallest_visible
from bench.suite.identity import Record, machine


def _value(x: float | None) -> float:
    return math.nan if x is None else float(x)


def _interval(name: str, value: Mapping[str, Any] | None, open_ended: bool = False) -> dict[str, float]:
    """Three columns of an interval; an open-ended one stores an infinite end as null."""
    value = value or {}
    estimate, low, high = (_value(value.get(key)) for key in ("estimate", "low", "high"))
    if open_ended and math.isnan(high) and not math.isnan(estimate):
        high = math.inf
    return {name: estimate, f"{name}_low": low, f"{name}_high": high}


def _log_se(value: Mapping[str, Any]) -> float:
    """Standard error of the log variance; infinite, stored as null, where one draw carries the variance."""
    if value.get("estimate") is None:
        return math.nan
    return math.inf if value.get("log_se") is None else float(value["log_se"])


def head(record: Record, problem: str, setting: str, label: str, reference: str | None) -> dict[str, Any]:
    """The names of a cell, which every row of it begins with."""
    config, tags = record["config"], record.get("tags") or {}
    return {
        "cell": record["cell"],
        "kind": config["measurement"]["kind"],
        "status": record["status"],
        "reason": record.get("reason"),
        "problem": problem,
        "setting": setting,
        "section": f"{problem} ({setting})" if setting else problem,
        "problem_kind": config["problem"].get("kind"),
        "family": config["problem"].get("family"),
        "dataset": config["problem"].get("dataset"),
        "bound": config["problem"].get("bound"),
        "entropy": config["problem"].get("entropy"),
        "label": label,
        "estimator": config["estimator"]["label"],
        "name": config["estimator"]["name"],
        "samples": config["estimator"]["samples"],
        "unbiased": bool(tags.get("unbiased")),
        "is_reference": label == reference,
        "device": config.get("device"),
        "threads": config.get("threads"),
        "cell_seconds": _value(record.get("seconds")),
        "machine": machine(record),
        "source": record["provenance"].get("estimator_source"),
    }


def _place(record: Record, step: float | None) -> dict[str, Any]:
    """Where a point stands: on its problem's sweep, or at a checkpoint of the reference trajectory."""
    problem = record["config"]["problem"]
    logit, scale = problem.get("logit"), problem.get("scale")
    row = {"step": _value(step), "logit": _value(logit), "scale": _value(scale)}
    if step is not None:
        return {**row, "point": f"step {step:g}", "position": float(step)}
    if logit is not None:
        return {**row, "point": f"|logit| {abs(logit):g}", "position": abs(float(logit))}
    if scale is not None:
        return {**row, "point": f"scale {scale:g}", "position": float(scale)}
    return {**row, "point": "", "position": 0.0}


def _point(record: Record, point: Mapping[str, Any]) -> dict[str, Any]:
    q, bias, encoder = point.get("q") or {}, point.get("bias") or {}, point.get("encoder") or {}
    variance = q.get("variance") or {}
    squared = _interval("bias_squared", bias.get("squared"))
    norm = _value(q.get("gradient_norm"))
    row = {
        **_place(record, point.get("step")),
        "draws": _value(point.get("draws")),
        "rows": _value(point.get("rows")),
        "f_evals": _value(point.get("f_evals")),
        "trajectory_elbo": _value(point.get("elbo")),
        **_interval("variance", variance, open_ended=True),
        "log_se": _log_se(variance),
        **{key: _value(q.get(key)) for key in ("kurtosis", "coordinates", "gradient_norm", "snr", "cosine", "mse")},
        "heavy_tailed": bool(q.get("heavy_tailed")),
        **_interval("encoder_variance", encoder.get("variance"), open_ended=True),
        "encoder_kurtosis": _value(encoder.get("kurtosis")),
        "encoder_heavy_tailed": bool(encoder.get("heavy_tailed")),
        **_interval("minibatch_variance", encoder.get("minibatch_variance")),
        **squared,
        "relative_bias": _value(bias.get("relative")),
        "relative_bias_low": _value(bias.get("relative_low")),
        "relative_bias_high": _value(bias.get("relative_high")),
        "max_z": _value(bias.get("max_z")),
        "p_value": _value(bias.get("p_value")),
        "tested": _value(bias.get("coordinates")),
        "rare": (bias.get("untestable") or 0) > (bias.get("seldom_moved") or 0),
        "seldom_moved": bool(bias.get("seldom_moved")),
        "reference": bias.get("reference"),
        "driver": (record["config"]["measurement"].get("reference") or {}).get("label"),
    }
    # What is left of the variance is rounding: it ranks nothing, and says that there is no noise only where
    # every outcome had a chance to be drawn.
    row["quiet"] = row["variance"] <= (ROUNDING * norm) ** 2 if norm > 0 else row["variance"] == 0
    row["noiseless"] = row["quiet"] and not row["rare"]
    if "smallest_visible" in bias:
        row["bias_floor"] = _value(bias["smallest_visible"])
    else:  # of an earlier release, whose intervals were symmetrical
        row["bias_floor"] = smallest_visible(squared["bias_squared_low"], squared["bias_squared_high"], norm)
    return row


def moments(record: Record) -> list[dict[str, Any]]:
    """One row a point of a moments cell; a single empty one where it measured nothing."""
    points = (record.get("measurements") or {}).get("points") or []
    return [_point(record, point) for point in points or [{}]]


def finals(record: Record) -> list[dict[str, Any]]:
    """One row a seed of a train cell; a single empty one where it measured nothing."""
    measured = record.get("measurements") or {}
    final, curve = measured.get("final") or {}, measured.get("curve") or {}
    common = {
        "steps": _value((curve.get("step") or [None])[-1]),
        "train_seconds": _value((curve.get("seconds") or [None])[-1]),
        "rows_per_step": _value(measured.get("rows_per_step")),
        **{f"{split}_rows": _value((measured.get("evaluated_rows") or {}).get(split)) for split in ("train", "test")},
        "parameters": _value(measured.get("parameters")),
        "iwae_samples": _value(final.get("iwae_samples")),
    }
    seeds = measured.get("seeds") or [None]
    nothing = [None] * len(seeds)
    rows = []
    for i, seed in enumerate(seeds):
        values = {key: _value((final.get(key) or nothing)[i]) for key in ("train_elbo", "test_elbo", "test_iwae")}
        diverged = _value((measured.get("diverged") or nothing)[i])
        # A seed that left no final ELBO has no end to compare, whether or not the step at which it broke is
        # known.
        out = seed is not None and (not math.isnan(diverged) or math.isnan(values["test_elbo"]))
        rows.append({**common, "seed": _value(seed), "diverged": out, "diverged_step": diverged, **values})
    return rows


TIMES = {
    "step": "step_seconds",
    "floor": "floor_seconds",
    "ratio": "time_ratio",
    "plain": "plain_seconds",
    "plain_ratio": "plain_ratio",
}
"""Times of a record and their columns."""
_QUANTILE = 1.959964  # of 95 %


def _below_one(ratio: Mapping[str, Any]) -> bool:
    """Whether the interval of a median ratio lies below 1; quartiles stand for it where a record holds none."""
    median, log_se = _value(ratio.get("median")), _clock_log_se(ratio)
    high = _value(ratio.get("q75")) if math.isnan(log_se) else median * math.exp(_QUANTILE * log_se)
    return high < 1


def _clock_log_se(ratio: Mapping[str, Any] | None) -> float:
    """Standard error of the log of a median ratio: infinite, stored as null, for few rounds; NaN in older records."""
    if not ratio or "log_se" not in ratio:
        return math.nan
    return math.inf if ratio["log_se"] is None else float(ratio["log_se"])


def time(record: Record) -> list[dict[str, Any]]:
    """The one row of a time cell, in seconds and bytes; `_low` and `_high` are quartiles."""
    measured = record.get("measurements") or {}
    row: dict[str, Any] = {}
    for key, name in TIMES.items():
        value = measured.get(key) or {}
        row |= {name: _value(value.get("median")), f"{name}_low": _value(value.get("q25"))}
        row |= {f"{name}_high": _value(value.get("q75")), f"{key}_n": _value(value.get("n"))}
    load = _value((measured.get("load") or record["provenance"].get("load") or [None])[0])
    cores = _value(record["provenance"].get("cores"))
    row |= {
        **{f"{TIMES[key]}_log_se": _clock_log_se(measured.get(key)) for key in ("ratio", "plain_ratio")},
        "below_floor": _below_one(measured.get("ratio") or {}),
        "tries": _value(measured.get("tries")),
        "load_before": _value(measured.get("load_before")),
        "load": load,
        "cores": cores,
        "busy": bool(measured) and busy(load, cores),
        "rows": _value(measured.get("rows")),
        "kernel_seconds": _value(measured.get("kernels")),
        "captured": bool(measured.get("captured")),
        "peak_memory_bytes": _value(measured.get("peak_memory_bytes")),
    }
    return [row]
