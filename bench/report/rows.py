"""One record to plain rows: a row a measured point, a seed, or a timing.

Every row function gives the same columns for a cell that measured nothing, with NaN in them.
"""

import math
from collections.abc import Sequence
from typing import Any

from bench.machine_load import busy
from bench.records.record import Record
from bench.records.results import Curve, Ends, Moments, Noise, OfEncoder, Point, Quartiles, Ratio, Time, Training
from bench.report.verdicts import ROUNDING
from bench.statistics import heavy_tailed, no_interval

NAN = math.nan


def _value(x: float | None) -> float:
    return NAN if x is None else float(x)


def interval_columns(name: str, ends: Ends) -> dict[str, float]:
    """Three columns of an interval."""
    return {name: float(ends.estimate), f"{name}_low": float(ends.low), f"{name}_high": float(ends.high)}


def head(record: Record, problem: str, setting: str, label: str, reference: str | None) -> dict[str, Any]:
    """The names of a cell, which every row of it begins with."""
    cell = record.config
    return {
        "cell": record.cell,
        "kind": record.kind,
        "status": record.status,
        "reason": record.reason,
        "problem": problem,
        "setting": setting,
        "section": f"{problem} ({setting})" if setting else problem,
        "problem_kind": cell.problem.kind,
        "family": cell.problem.family,
        "dataset": cell.problem.dataset,
        "bound": cell.problem.bound,
        "entropy": cell.problem.entropy,
        "label": label,
        "estimator": cell.estimator.label,
        "name": cell.estimator.name,
        "samples": cell.estimator.samples,
        "unbiased": record.tags.unbiased,
        "needs": record.tags.needs,
        "negative_control": record.tags.is_control,
        "method_family": record.tags.method,
        "is_reference": label == reference,
        "device": cell.device,
        "threads": cell.threads,
        "matmul_precision": cell.matmul_precision,
        "learning_rate": _value(cell.measurement.learning_rate),
        "cell_seconds": _value(record.seconds),
        "machine": record.machine,
        "source": record.provenance.estimator_source,
    }


def _place(record: Record, step: int | None) -> dict[str, Any]:
    """Where a point stands: on its problem's sweep, or at a checkpoint of the reference trajectory."""
    problem = record.config.problem
    row = {"step": _value(step), "logit": _value(problem.logit), "scale": _value(problem.scale)}
    if step is not None:
        return {**row, "point": f"step {step:g}", "position": float(step)}
    if problem.logit is not None:
        return {**row, "point": f"|logit| {abs(problem.logit):g}", "position": abs(float(problem.logit))}
    if problem.scale is not None:
        return {**row, "point": f"scale {problem.scale:g}", "position": float(problem.scale)}
    return {**row, "point": "", "position": 0.0}


def _noise(prefix: str, noise: Noise, point: Point) -> dict[str, Any]:
    return {
        **interval_columns(f"{prefix}variance", noise.variance),
        f"{prefix}kurtosis": float(noise.kurtosis),
        f"{prefix}heavy_tailed": _heavy_tailed(noise, point),
    }


def _heavy_tailed(noise: Noise, point: Point) -> bool:
    """As captions define it: a record of before rare outcomes were counted holds the answer to another rule."""
    if "rare_events" in point.q.model_fields_set:
        return noise.heavy_tailed
    return noise.variance.estimate > 0 and heavy_tailed(noise.kurtosis, point.draws)


def _halves(point: Point) -> dict[str, float]:
    """What chooses a winner and what judges it; of what is exact both are the variance itself."""
    q = point.q
    if point.method == "exact":
        halves, log_se = (q.variance.estimate,) * 2, 0.0
    elif no_interval(q.rare_events / 2):  # a half holds half of the rare outcomes: too few, whatever the whole has
        halves, log_se = (NAN, NAN), NAN
    else:
        halves = (q.halves[0], q.halves[1]) if q.halves else (NAN, NAN)
        log_se = q.halves_log_se[1] if q.halves_log_se else NAN
    return {"first_half": float(halves[0]), "second_half": float(halves[1]), "second_half_log_se": float(log_se)}


def _mse_log_se(point: Point) -> float:
    """Standard error of the logarithm of the mean squared error, from its interval; infinity where it has none."""
    low, high = point.q.mse_low, point.q.mse_high
    if point.method == "exact":
        return 0.0
    known = math.isfinite(point.q.variance.log_se) and 0 < low <= high < math.inf
    return math.log(high / low) / 2 / _QUANTILE if known else math.inf


def _point(record: Record, point: Point) -> dict[str, Any]:
    q, bias, encoder = point.q, point.bias, point.encoder or OfEncoder()
    norm, variance = q.gradient_norm, q.variance.estimate
    rare = bias.untestable > bias.seldom_moved
    # What is left of the variance is rounding: it ranks nothing, and says that there is no noise only where
    # every outcome had a chance to be drawn.
    at_rounding = variance <= (ROUNDING * norm) ** 2 if norm > 0 else variance == 0
    return {
        **_place(record, point.step),
        "exact": point.method == "exact",
        "method": point.method,
        "tolerance": float(point.tolerance),
        "sampled_because": point.sampled_because,
        "warm_up": _value(record.config.measurement.warm_up),
        **{key: float(getattr(point, key)) for key in ("draws", "f_evals")},
        "rows": float(record.config.measurement.rows or point.rows),
        "trajectory": _value(point.trajectory),
        "minibatch": _value(point.minibatch),
        "trajectory_elbo": _value(point.elbo),
        **_noise("", q, point),
        "log_se": float(q.variance.log_se),
        "rare_events": float(q.rare_events),
        **_halves(point),
        **{key: float(getattr(q, key)) for key in ("coordinates", "gradient_norm", "snr", "cosine", "mse")},
        "mse_log_se": _mse_log_se(point),
        **_noise("encoder_", encoder, point),
        **interval_columns("minibatch_variance", encoder.minibatch_variance),
        **interval_columns("bias_squared", bias.squared),
        "relative_bias": float(bias.relative),
        "relative_bias_low": float(bias.relative_low),
        "relative_bias_high": float(bias.relative_high),
        "bias_floor": float(bias.smallest_visible),
        "max_z": float(bias.max_z),
        "p_value": float(bias.p_value),
        "tested": float(bias.coordinates),
        "rare": rare,
        "variance_rare": no_interval(q.rare_events) if "rare_events" in q.model_fields_set else rare,
        "seldom_moved": bool(bias.seldom_moved),
        "reference": bias.reference,
        "driver": record.config.measurement.trajectory_of,
        "at_rounding": at_rounding,
        "noiseless": at_rounding and not rare,
    }


def points(record: Record) -> list[dict[str, Any]]:
    """One row a point of a moments cell; a single empty one where it measured nothing."""
    return [_point(record, point) for point in record.result(Moments).points or [Point()]]


def _last(values: Sequence[float]) -> float:
    return float(values[-1]) if values else NAN


def finals(record: Record) -> list[dict[str, Any]]:
    """One row a seed of a train cell; a single empty one where it measured nothing."""
    found = record.result(Training)
    final = found.final
    common = {
        "steps": _last(found.curve.step),
        "train_seconds": _last(found.curve.seconds),
        "rows_per_step": float(found.rows_per_step),
        "train_rows": float(found.evaluated_rows.train),
        "test_rows": float(found.evaluated_rows.test),
        "parameters": float(found.parameters),
        "iwae_samples": float(final.iwae_samples),
        "seeds_asked": _value(record.config.measurement.seeds),
        "target": _value(record.config.measurement.target),
        "further_evaluations": record.config.further_evaluations,
    }
    seeds: Sequence[int | None] = found.seeds or [None]
    nothing = [None] * len(seeds)
    names = ("train_elbo", "test_elbo", "test_iwae")
    own = {"protocol": record.config.protocol}
    rows = []
    for i, seed in enumerate(seeds):
        values = {name: _value((getattr(final, name) or nothing)[i]) for name in names}
        diverged = _value((found.diverged or nothing)[i])
        # A seed that left no final ELBO has no end to compare, whether or not the step at which it broke is
        # known.
        out = seed is not None and (not math.isnan(diverged) or math.isnan(values["test_elbo"]))
        reached = _reached(found.curve, i, common["target"])
        ended = {"seed": _value(seed), "diverged": out, "diverged_step": diverged}
        rows.append({**common, **own, **ended, **values, **reached})
    return rows


def _reached(curve: Curve, seed: int, target: float) -> dict[str, float]:
    """Where a seed's test ELBO is the target or more for the first time; infinity where it never is."""
    at = next((i for i, elbos in enumerate(curve.test_elbo) if _value(elbos[seed]) >= target), None)
    missed = NAN if math.isnan(target) else math.inf
    columns = {"step": curve.step, "f_evals": curve.f_evals, "seconds": curve.seconds}
    return {f"target_{name}": missed if at is None else float(values[at]) for name, values in columns.items()}


TIMES = {
    "step": "step_seconds",
    "floor": "floor_seconds",
    "ratio": "time_ratio",
    "plain": "plain_seconds",
    "plain_ratio": "plain_ratio",
}
"""Times of a record and their columns."""
_QUANTILE = 1.959964  # of 95 %


def _below_one(ratio: Ratio) -> bool:
    """Whether the interval of a median ratio lies below 1; quartiles stand for it where a record holds none."""
    return (ratio.q75 if math.isnan(ratio.log_se) else ratio.median * math.exp(_QUANTILE * ratio.log_se)) < 1


def time(record: Record) -> list[dict[str, Any]]:
    """The one row of a time cell, in seconds and bytes; `_low` and `_high` are quartiles."""
    found = record.result(Time)
    ratio, plain_ratio = found.ratio or Ratio(), found.plain_ratio or Ratio()
    row: dict[str, Any] = {}
    parts = (found.step, found.floor, ratio, found.plain, plain_ratio)
    for (key, name), part in zip(TIMES.items(), parts, strict=True):
        row |= {name: float(part.median), f"{name}_low": float(part.q25), f"{name}_high": float(part.q75)}
        row[f"{key}_n"] = float(part.n)
    compiled, faster = found.compiled or Quartiles(), found.compiled_ratio or Ratio()
    for name, part in (("compiled_seconds", compiled), ("compiled_ratio", faster)):
        row |= {name: float(part.median), f"{name}_low": float(part.q25), f"{name}_high": float(part.q75)}
    load = _value((found.load or record.provenance.load or [None])[0])
    cores = _value(record.provenance.cores)
    return [
        row
        | {
            "time_ratio_log_se": float(ratio.log_se),
            "plain_ratio_log_se": float(plain_ratio.log_se),
            "below_floor": _below_one(ratio),
            "tries": float(found.tries),
            "load_before": float(found.load_before),
            "load": load,
            "cores": cores,
            "busy": bool(record.measurements) and busy(load, cores),
            "rows": float(found.rows),
            "batch": _value(record.config.measurement.batch),
            "stacked": _value(record.config.measurement.stacked),
            "further_evaluations": record.config.further_evaluations,
            "kernel_seconds": _value(found.kernels),
            "captured": found.captured,
            "compile_seconds": _value(found.program.seconds),
            "peak_memory_bytes": _value(found.peak_memory_bytes),
        }
    ]
