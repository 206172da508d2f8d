"""Gradient variance of every estimator at every point, and its ratio to the reference estimator's."""

import math
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.report.frames import Frames
from bench.report.tables.noise import COLUMNS as TOTAL_NOISE
from bench.report.tables.noise import total_noise
from bench.report.tables.view import (
    BUDGET,
    ESTIMATOR,
    UNBIASED,
    Column,
    Row,
    Table,
    budget_words,
    budgets,
    csv_columns,
    draws,
    exact_words,
    flags,
    how,
    moment,
    note,
    settled_words,
    table,
    why_sampled,
    with_ends,
    with_interval,
)
from bench.report.text import count, missing, number, percent
from bench.statistics import FEW_EFFECTIVE_DRAWS, LEAST_RARE_EVENTS, Interval, ratio_interval, replicated_ratio

CSV = csv_columns(
    "point", "step", "logit", "scale", "f_evals", *with_ends("variance"), "log_se", *with_ends("ratio"),
    *BUDGET, *TOTAL_NOISE,
    *with_ends("encoder_variance", "minibatch_variance"), "snr", "cosine", "mse", "gradient_norm",
    "coordinates", "kurtosis", "heavy_tailed", "encoder_kurtosis", "encoder_heavy_tailed", "rare",
    "rare_events", "variance_rare",
    "trajectory_elbo", "driver", "rows", "draws", "trajectories", "minibatches",
    "monte_carlo_sd", "minibatch_sd", "trajectory_sd",
)  # fmt: skip


class _Measured(NamedTuple):
    """A variance, and what its ratios are made of."""

    variance: float
    log_se: float
    replicates: NDArray[np.float64] | None
    draws: float
    exact: bool


def _ratio_of(own: _Measured, reference: _Measured | None) -> Interval:
    """One variance over another: paired by trajectory where both have the same ones, else as independent."""
    if reference is None or math.isnan(own.variance):
        return Interval(math.nan, math.nan, math.nan)
    if own is reference:
        return Interval(1.0, 1.0, 1.0)  # itself: no uncertainty
    if own.exact and reference.exact:
        ratio = own.variance / reference.variance if reference.variance else math.nan
        return Interval(ratio, math.nan, math.nan)
    if own.replicates is not None and reference.replicates is not None:
        if own.replicates.shape == reference.replicates.shape:
            return replicated_ratio(own.replicates, reference.replicates)
        return Interval(math.nan, math.nan, math.nan)  # measured at other places
    return ratio_interval(own.variance, own.log_se, reference.variance, reference.log_se)


def _ratios(frame: pd.DataFrame) -> list[Interval]:
    """Ratio of each row's variance to that of the reference that it is compared with, at the same point."""
    columns = (*_Measured._fields, "section", "position", "relative_to", "is_reference")
    rows = zip(*(frame[name] for name in columns), strict=True)
    found = [(_Measured(*row[:-4]), row[-4:-1], row[-1]) for row in rows]
    known: dict[tuple[str, float, str], _Measured] = {}
    for one, place, is_reference in found:
        if is_reference and not math.isnan(one.variance):
            before = known.get(place)
            draws = math.inf if one.exact else one.draws
            if before is None or draws >= (math.inf if before.exact else before.draws):
                known[place] = one
    return [_ratio_of(one, known.get(place)) for one, place, _ in found]


def build(frames: Frames) -> pd.DataFrame:
    """One row a point of a moments cell, with the ratio to the reference estimator."""
    frame = frames.moments
    if frame.empty:
        return frame.reindex(columns=["section", *CSV])
    ratios = pd.DataFrame(_ratios(frame), columns=["ratio", "ratio_low", "ratio_high"])
    return pd.concat([frame, ratios, total_noise(frame)], axis=1).assign(measured=frame["variance"].notna())


def _ratio(row: Row) -> str:
    if row["is_reference"] and row["ratio"] == 1:
        return "1 (reference)"
    shown = moment(row, "ratio")
    return shown + budgets(row) if shown else ""


def _note(row: Row) -> str:
    encoder = "heavy tails (encoder)" if row["encoder_heavy_tailed"] else ""
    return note(row, *flags(row, "variance_rare"), encoder, "no noise" if row["noiseless"] else "", why_sampled(row))


def _brackets(frame: pd.DataFrame, relative_to: str) -> str:
    """What the intervals are, in sentences."""
    several = frame["trajectories"].notna()
    at_step = (
        " At a step they are the Monte Carlo error of one trajectory and one minibatch, and say nothing of others."
        if frame.loc[~several, "step"].notna().any()
        else ""
    )
    single = (
        f"95 % jackknife intervals on log variance over n draws; the ratio to {relative_to} takes the two as "
        f"independent.{at_step}"
    )
    over = (
        "95 % Student-t intervals over trajectories, of the logarithm of each one's mean over its minibatches; the "
        f"ratio to {relative_to} is paired by trajectory, and one trajectory alone has no interval. n: trajectories x "
        "minibatches x draws. Spread: relative standard deviation of the variance at one minibatch of one trajectory "
        "by its draws (Monte Carlo error) | by the minibatch | by the trajectory (law of total variance)."
    )
    return single if not several.any() else over if several.all() else f"{over} Of single points: {single}"


def _spread(row: Row) -> str:
    if missing(row["trajectory_sd"]):
        return ""
    return " | ".join(percent(row[f"{part}_sd"]) for part in ("monte_carlo", "minibatch", "trajectory"))


TOTAL = (
    Column("estimator / minibatch", with_interval("noise_ratio"), name="noise_ratio"),
    Column("total", with_interval("total_variance"), name="total_variance"),
    Column("gain", lambda row: percent(row["gain"]), name="gain"),
)


BRIEF = ("point", "estimator", "f_evals", "variance", "ratio", "draws")


def make(frame: pd.DataFrame, relative_to: str) -> Table:
    """The printed table."""
    single = frame["trajectories"].isna()
    where = "at fixed parameters and a fixed minibatch"
    if not single.all():
        where += ", in the mean over minibatches and trajectories where n counts them"
    caption = (
        f"Variance of the minibatch-mean gradient over the estimator's noise alone, {where}: the trace of its "
        "covariance with respect to q's parameters and, where there is one, the encoder's weights; minibatch variance "
        "is what the choice of the minibatch adds. In "
        f"brackets: {_brackets(frame, relative_to)} f-evals: evaluations of f per row and draw. SNR: gradient norm "
        f"over standard deviation. Heavy tails: draws / kurtosis below {FEW_EFFECTIVE_DRAWS:g}, where the interval is "
        f"optimistic, or, if counted, fewer than {LEAST_RARE_EVENTS:g} rare outcomes expected, where there is none. "
        "Rare outcomes: so few are expected among the draws that the variance may be too low. "
        "† declared biased: its variance says nothing of its bias."
    )
    if frame["noise_ratio"].notna().any():
        caption += (
            " Total: encoder plus minibatch variance; gain: the share of it that would go if the estimator had no "
            "noise. Both variances fall as 1 / rows, so that estimator / minibatch and the gain hold for a minibatch "
            "of any size; intervals "
        )
        paired = "pair the two by trajectory"
        caption += (
            "take the two as independent."
            if single.all()
            else f"{paired}, or take them as independent at single points."
            if single.any()
            else f"{paired}."
        )
    if words := budget_words(frame, relative_to):
        caption += f" {words}"
    if words := exact_words(frame):
        caption += f" Exact: {words}; no draws, and no interval."
    if words := settled_words(frame):
        caption += f" {words}"
    columns = (
        Column("point", lambda row: str(row["point"]), left=True, name="point", order="position"),
        ESTIMATOR,
        UNBIASED,
        Column("f-evals", lambda row: count(row["f_evals"]), name="f_evals"),
        Column("variance w.r.t. q", lambda row: moment(row, "variance"), name="variance"),
        Column(f"ratio to {relative_to}", _ratio, name="ratio"),
        Column("encoder variance", with_interval("encoder_variance"), name="encoder_variance"),
        Column("minibatch variance", with_interval("minibatch_variance"), name="minibatch_variance"),
        *(TOTAL if frame["noise_ratio"].notna().any() else ()),
        Column("SNR", lambda row: number(row["snr"]), name="snr"),
        *([Column("spread", _spread)] if frame["trajectories"].notna().any() else []),
        Column("n", draws, name="draws"),
        Column("note", _note, left=True),
    )
    return table("variance", "Gradient variance", caption, columns, frame, [*CSV, *how(frame)], BRIEF)
