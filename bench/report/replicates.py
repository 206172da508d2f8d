"""Points of several trajectories and minibatches as one row, whose intervals hold the spread between them.

The unit is the trajectory, as its minibatches are drawn anew for each (`bench.statistics.replicates`). What the draws
alone leave open at one point is its Monte Carlo error, which a row states beside what trajectories and minibatches add.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.statistics import (
    FEW_EFFECTIVE_DRAWS,
    Interval,
    components,
    no_interval,
    normal_quantile,
    replicated,
    replicated_mean,
    replicated_ratio,
)

Row = Mapping[str, Any]
Values = NDArray[np.float64]
QUANTILE = normal_quantile(0.95)
NAN = math.nan

SINGLE = {
    "trajectories": NAN,
    "minibatches": NAN,
    "monte_carlo_sd": NAN,
    "minibatch_sd": NAN,
    "trajectory_sd": NAN,
    "replicates": None,
    "mse_replicates": None,
    "encoder_replicates": None,
    "minibatch_replicates": None,
}
"""Of a row that is one point: none of these."""


def _grid(points: Sequence[Row], name: str) -> Values:
    """A column of the points as [T, M]; NaN where a point is missing."""
    trajectories, minibatches = (1 + max(int(p[key]) for p in points) for key in ("trajectory", "minibatch"))
    values = np.full((trajectories, minibatches), NAN)
    for point in points:
        values[int(point["trajectory"]), int(point["minibatch"])] = point[name]
    return values


def _columns(name: str, found: Interval) -> dict[str, float]:
    return {name: found.estimate, f"{name}_low": found.low, f"{name}_high": found.high}


def _positive(name: str, points: Sequence[Row], rare: bool = False) -> dict[str, Any]:
    """A positive quantity, with the interval over trajectories.

    Args:
        name: of the quantity.
        points: all of the row.
        rare: whether the draws of some trajectory lack rare outcomes: several then agree on what none of them met.
    """
    values = _grid(points, name)
    if not np.isfinite(values).all():
        return _columns(name, Interval(NAN, NAN, NAN))
    if not values.any():
        return _columns(name, Interval(0.0, 0.0, 0.0))
    if not (values > 0).all():
        return _columns(name, Interval(float(values.mean()), NAN, NAN))
    found = replicated(values)
    return _columns(name, Interval(found.estimate, 0.0, math.inf) if rare else found)


def _log_se(estimate: float, high: float) -> float:
    """Standard error of a logarithm whose Gaussian interval is as wide as Student's; NaN where there is none."""
    if estimate == high == 0:
        return 0.0
    return math.log(high / estimate) / QUANTILE if estimate > 0 else NAN


def _bias(points: Sequence[Row], rare: bool) -> dict[str, Any]:
    """The mean squared bias as a share of the mean squared gradient, and its root.

    Args:
        points: all of the row.
        rare: see `_positive`; a mean that met no rare outcome is as far off on every trajectory.
    """
    squared, norms = _grid(points, "bias_squared"), np.square(_grid(points, "gradient_norm"))
    found = replicated_mean(squared) if np.isfinite(squared).all() else Interval(NAN, NAN, NAN)
    found = found._replace(low=NAN, high=NAN) if rare else found
    size = float(norms.mean())
    share = [math.sqrt(max(end, 0.0) / size) if size > 0 else NAN for end in found]
    # What would have shown is where the interval leaves 0, which lies half its width below the estimate.
    visible = math.sqrt((found.high - found.estimate) / size) if size > 0 and found.high >= found.estimate else NAN
    tested = [point["p_value"] for point in points if not math.isnan(point["p_value"])]
    return {
        **_columns("bias_squared", found),
        "relative_bias": share[0],
        "relative_bias_low": share[1],
        "relative_bias_high": max(share[2], visible) if not math.isnan(visible) else share[2],
        "bias_floor": visible,
        "p_value": min(1.0, len(tested) * min(tested)) if tested else NAN,
        "max_z": max((p["max_z"] for p in points if not math.isnan(p["max_z"])), default=NAN),
        "tested": float(sum(p["tested"] for p in points if not math.isnan(p["tested"]))),
    }


def _effective(points: Sequence[Row], kurtosis: str) -> float:
    """Draws over their kurtosis, summed over a trajectory's minibatches: the least of any trajectory."""
    with np.errstate(divide="ignore"):
        return float((_grid(points, "draws") / _grid(points, kurtosis)).sum(1).min())


def _one(points: Sequence[Row]) -> dict[str, Any]:
    """The row of one checkpoint."""
    variances, errors, events = (_grid(points, name) for name in ("variance", "log_se", "rare_events"))
    least = float(np.nan_to_num(events, nan=math.inf).sum(1).min())  # NaN is of a point where no outcome is rare
    rare = no_interval(least)
    row = {**SINGLE, **points[0], **_positive("variance", points, rare), **_positive("encoder_variance", points, rare)}
    row |= _positive("minibatch_variance", points) | _positive("mse", points, rare) | _bias(points, rare)
    row |= {"rare_events": least, "log_se": _log_se(row["variance"], row["variance_high"])}
    row |= dict.fromkeys(("first_half", "second_half", "second_half_log_se"), NAN)  # trajectories choose, and judge
    positive = bool((variances > 0).all())
    if positive and min(variances.shape) > 1 and np.isfinite(errors).all():
        sds = components(variances, errors)
        row |= {"monte_carlo_sd": sds.monte_carlo, "minibatch_sd": sds.minibatch, "trajectory_sd": sds.trajectory}
    row |= {"replicates": variances if positive and not rare else None}
    errors_squared = _grid(points, "mse")
    row |= {"mse_replicates": errors_squared if (errors_squared > 0).all() and not rare else None}
    row |= {"mse_log_se": _log_se(row["mse"], row["mse_high"])}
    for part in ("encoder", "minibatch"):
        grid = _grid(points, f"{part}_variance")
        row |= {f"{part}_replicates": grid if (grid > 0).all() and not rare else None}
    means: dict[str, Callable[[Values], float]] = {
        "gradient_norm": lambda x: math.sqrt(float(np.square(x).mean())),
        "snr": lambda x: float(np.exp(np.log(x).mean())) if (x > 0).all() else NAN,
        "cosine": lambda x: float(x.mean()),
        "trajectory_elbo": lambda x: float(x.mean()),
        "kurtosis": lambda x: float(x.max()),
        "encoder_kurtosis": lambda x: float(x.max()),
    }
    row |= {name: mean(_grid(points, name)) for name, mean in means.items()}
    anywhere = ("rare", "variance_rare", "seldom_moved")
    row |= {name: any(point[name] for point in points) for name in anywhere}
    row |= {name: all(point[name] for point in points) for name in ("at_rounding", "noiseless")}
    for part in ("", "encoder_"):
        few = _effective(points, f"{part}kurtosis") < FEW_EFFECTIVE_DRAWS
        row[f"{part}heavy_tailed"] = few or (rare and not math.isnan(row[f"{part}variance"]))
    return {**row, "trajectories": float(len(variances)), "minibatches": float(variances.shape[1])}


def paired_ratio(one: Values | None, other: Values | None) -> tuple[float, float] | None:
    """A ratio, and the standard error of its logarithm whose Gaussian interval is as wide as Student's.

    None unless both were measured at the same trajectories and minibatches, of which there are several.
    """
    if one is None or other is None or one.shape != other.shape:
        return None
    found = replicated_ratio(one, other)
    return found.estimate, _log_se(found.estimate, found.high)


def together(points: Sequence[Row]) -> Iterator[dict[str, Any]]:
    """A row a checkpoint; points of a single trajectory with a single minibatch stay as they are.

    Args:
        points: rows of one cell, with their `trajectory` and `minibatch`, NaN where there is one of each.
    """
    by_step: dict[float, list[Row]] = {}
    for point in points:
        if math.isnan(point["trajectory"]):
            yield {**SINGLE, **point}
        else:
            by_step.setdefault(point["position"], []).append(point)
    for _, members in sorted(by_step.items()):
        yield _one(members)
