"""What each kind of figure shows as a chart, by the first words of its name."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.report.charts.values import Chart, Columns, chart, of_section, scaled
from bench.report.facts import Facts
from bench.report.figures.efficiency import front
from bench.report.figures.elbo import BAND_SEEDS
from bench.report.naming import without_samples
from bench.report.summary import Summary
from bench.report.tables.view import ends
from bench.report.verdicts import ROUNDING
from bench.statistics import mean_intervals

VARIANCE = "gradient variance w.r.t. q"
Made = Chart | None


def _noisy(summary: Summary, section: str) -> pd.DataFrame:
    """Points at which there is more than rounding."""
    rows = of_section(summary.variance, section)
    return rows[~rows["at_rounding"].astype(bool)]


def _variance(summary: Summary, section: str, facts: Facts) -> Made:
    rows = of_section(summary.variance, section)
    still = rows["at_rounding"].astype(bool)
    zero = rows.assign(**{name: rows[name].where(~still, 0.0) for name in ends("variance")})
    return chart("dots", VARIANCE, zero, Columns("variance"), facts)


def _trajectory(summary: Summary, section: str, facts: Facts) -> Made:
    rows = _noisy(summary, section)
    place = "step of the reference trajectory"
    return chart("lines-symlog", VARIANCE, rows, Columns("variance", "step"), facts, place=place)


def _logit(summary: Summary, section: str, facts: Facts) -> Made:
    rows = _noisy(summary, section)
    rows = rows[rows["gradient_norm"] > 0]
    named = zip(ends("deviation"), ends("variance"), strict=True)
    rows = rows.assign(**{name: np.sqrt(rows[variance]) / rows["gradient_norm"] for name, variance in named})
    logits = bool(rows["logit"].notna().any())
    return chart(
        "lines-linear" if logits else "lines-log",
        "standard deviation / gradient norm",
        rows,
        Columns("deviation", "position"),
        facts,
        place="|logit| of q" if logits else "scale of q",
    )


def _budget(summary: Summary, section: str, facts: Facts) -> Made:
    """A line an estimator, which is the one of its least budget all along."""
    rows = _noisy(summary, section)
    rows = rows[rows["budget"].notna()]
    rows = rows[rows["position"] == rows["position"].max()].sort_values("budget")
    one = rows["estimator"].map(lambda name: without_samples(str(name)))
    firsts = rows.groupby(one)["label"].transform("first")
    swept = rows.assign(label=firsts)[rows.groupby(one)["budget"].transform("nunique") > 1]
    place = "evaluations of f a row"
    return chart("lines-log", VARIANCE, swept, Columns("variance", "budget"), facts, place=place)


def _total(summary: Summary, section: str, facts: Facts) -> Made:
    rows = of_section(summary.variance, section)
    rows = rows[rows["noise_ratio"].notna()]
    made = chart("dots", "estimator / minibatch variance", rows, Columns("noise_ratio"), facts)
    return made and replace(made, line=1.0)


def _bias(summary: Summary, section: str, facts: Facts) -> Made:
    """Of a long sweep the first, middle and last point, as in the figure."""
    rows = of_section(summary.bias, section)
    rows = rows[(rows["p_value"].notna() | ~rows["rare"].astype(bool)) & rows["relative_bias"].notna()]
    points = sorted(rows["position"].unique())
    kept = {points[0], points[len(points) // 2], points[-1]} if points else set()
    rows = rows[rows["position"].isin(kept)]
    nothing = rows["relative_bias"] <= ROUNDING
    rows = rows.assign(relative_bias=rows["relative_bias"].where(~nothing, 0.0))
    columns = Columns("relative_bias", t="bias_floor")
    return chart("dots", "norm of bias / norm of gradient", rows, columns, facts, tick="smallest visible", relative="")


def _rates(summary: Summary, section: str, facts: Facts) -> Made:
    rows = of_section(summary.rates, section) if len(summary.rates) else summary.rates
    if rows.empty:
        return None
    few = (rows["seeds"] - rows["diverged"]) < BAND_SEEDS
    rows = rows.assign(**{end: rows[end].where(~few) for end in ends("test_elbo")[1:]})
    best = np.where(rows["best"].astype(bool), 1.0, np.nan)
    rows = rows.assign(point=[f"learning rate {rate:.3g}" for rate in rows["learning_rate"]], at_best=best)
    columns = Columns("test_elbo", "learning_rate", t="at_best", words=("seeds",))
    return chart(
        "lines-log",
        "test ELBO at the end, nats",
        rows,
        columns,
        facts,
        place="learning rate",
        relative="",
        best="highest",
    )


def _means(summary: Summary, section: str) -> pd.DataFrame:
    """A row a point of each estimator's curve at its best rate, with Student-t intervals over the seeds that ended."""
    best, finals, curves = of_section(summary.elbo, section), summary.frames.finals, summary.frames.curves
    ended: dict[Any, NDArray[np.bool_]] = {
        cell: ~seeds["diverged"].to_numpy(dtype=bool) for cell, seeds in finals.groupby("cell")
    }
    found: list[pd.DataFrame] = []
    for (cell, label, is_reference), rows in curves[curves["cell"].isin(best["cell"])].groupby(
        ["cell", "label", "is_reference"], sort=False
    ):
        kept = ended[cell]
        if not kept.any():
            continue
        # In the order of the frame: all seeds of a point, then those of the next.
        names = ("step", "seconds", "train_elbo", "test_elbo")
        grid = {name: rows[name].to_numpy(dtype=np.float64).reshape(-1, len(kept))[:, kept] for name in names}
        for name, part in (("train_elbo", "training set"), ("test_elbo", "test set")):
            low, high = mean_intervals(grid[name]) if kept.sum() >= BAND_SEEDS else (np.nan, np.nan)
            columns: dict[str, Any] = {
                "elbo": grid[name].mean(axis=1),
                "elbo_low": low,
                "elbo_high": high,
                "seeds": int(kept.sum()),
            }
            columns |= {"step": grid["step"][:, 0], "seconds": grid["seconds"][:, 0], "part": part}
            found.append(pd.DataFrame({**columns, "label": label, "is_reference": is_reference}))
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame()


def _curve(summary: Summary, section: str, facts: Facts, against: str) -> Made:
    frame, seconds = _means(summary, section), against == "seconds"
    if frame.empty:
        return None
    if seconds:  # the start has no place on a logarithmic axis
        frame = frame[frame["step"] > 0]
    frame = frame.assign(point=[f"step {step:g}" for step in frame["step"]], position=frame["step"])
    return chart(
        "lines-log" if seconds else "lines-linear",
        "ELBO, nats",
        frame,
        Columns("elbo", against, words=("seeds",)),
        facts,
        place="training seconds, all seeds together" if seconds else "training step",
        relative="" if seconds else "difference",
        best="highest",
    )


def _steps(summary: Summary, section: str, facts: Facts) -> Made:
    return _curve(summary, section, facts, "step")


def _seconds(summary: Summary, section: str, facts: Facts) -> Made:
    return _curve(summary, section, facts, "seconds")


def _milliseconds(summary: Summary, section: str) -> pd.DataFrame:
    rows = of_section(summary.time, section)
    rows = rows[rows["cost_seconds"] > 0].assign(point=rows["variance_point"].fillna(""))
    return scaled(rows, 1e3, ends("cost_seconds"))


def _efficiency(summary: Summary, section: str, facts: Facts) -> Made:
    rows = _milliseconds(summary, section)
    rows = rows[(rows["variance"] > 0) & ~rows["at_rounding"].astype(bool)]
    unbeaten = rows.index.isin(front(rows).index)
    rows = rows.assign(front=np.where(unbeaten, 1.0, np.nan), exact=rows["variance_low"].isna())
    columns = Columns("variance", "cost_seconds", "cost_seconds", t="front", words=("draws", "step_n rounds"))
    return chart("scatter", VARIANCE, rows, columns, facts, place="time of a training step, ms")


def _time(summary: Summary, section: str, facts: Facts) -> Made:
    rows = _milliseconds(summary, section)
    floor = (rows["cost_seconds"] / rows["time_ratio"]).where(~rows["below_floor"].astype(bool))
    rows = rows.assign(floor=floor, point="")
    columns = Columns("cost_seconds", t="floor", words=("step_n rounds",))
    return chart("dots", "time of a training step, ms", rows, columns, facts, tick="floor")


KINDS: dict[str, Callable[[Summary, str, Facts], Made]] = {
    "variance": _variance,
    "trajectory": _trajectory,
    "logit": _logit,
    "budget": _budget,
    "total": _total,
    "bias": _bias,
    "elbo-steps": _steps,
    "elbo-seconds": _seconds,
    "rates": _rates,
    "efficiency": _efficiency,
    "time": _time,
}

NAMED_BY = dict.fromkeys(("variance", "trajectory", "logit", "total"), "variance") | {
    "bias": "bias",
    "elbo-steps": "elbo",
    "elbo-seconds": "elbo",
    "efficiency": "time",
    "time": "time",
}
"""The table whose rows name the estimators of a figure."""
