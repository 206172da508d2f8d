"""Gradient variance of every estimator at every point, and its ratio to the reference estimator's."""

import math

import pandas as pd

from bench.report.frames import Frames
from bench.report.tables.view import (
    ESTIMATOR,
    UNBIASED,
    Column,
    Row,
    Table,
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
from bench.report.text import count, number
from bench.statistics import FEW_EFFECTIVE_DRAWS, LEAST_RARE_EVENTS, Interval, ratio_interval

CSV = csv_columns(
    "point", "step", "logit", "scale", "f_evals", *with_ends("variance"), "log_se", *with_ends("ratio"),
    *with_ends("encoder_variance", "minibatch_variance"), "snr", "cosine", "mse", "gradient_norm",
    "coordinates", "kurtosis", "heavy_tailed", "encoder_kurtosis", "encoder_heavy_tailed", "rare",
    "trajectory_elbo", "driver", "rows", "draws",
)  # fmt: skip


def _ratios(frame: pd.DataFrame) -> list[Interval]:
    """Ratio of each row's variance to the reference's at the same point of the same section."""
    known: dict[tuple[str, float], tuple[float, float]] = {}
    draws: dict[tuple[str, float], float] = {}
    columns = ("section", "position", "is_reference", "variance", "log_se", "draws", "exact")
    rows = list(zip(*(frame[name] for name in columns), strict=True))
    for section, position, is_reference, variance, log_se, n, exact in rows:
        n = math.inf if exact else n
        if is_reference and not math.isnan(variance) and n >= draws.get((section, position), 0):
            known[section, position], draws[section, position] = (variance, log_se), n
    ratios = []
    for section, position, is_reference, variance, log_se, _, exact in rows:
        reference = known.get((section, position))
        if reference is None or math.isnan(variance):
            ratios.append(Interval(math.nan, math.nan, math.nan))
        elif is_reference and (variance, log_se) == reference:
            ratios.append(Interval(1.0, 1.0, 1.0))  # itself: no uncertainty
        elif exact and math.isinf(draws[section, position]):
            ratios.append(Interval(variance / reference[0] if reference[0] else math.nan, math.nan, math.nan))
        else:
            ratios.append(ratio_interval(variance, log_se, *reference))
    return ratios


def build(frames: Frames) -> pd.DataFrame:
    """One row a point of a moments cell, with the ratio to the reference estimator."""
    frame = frames.moments
    if frame.empty:
        return frame.reindex(columns=["section", *CSV])
    ratios = pd.DataFrame(_ratios(frame), columns=["ratio", "ratio_low", "ratio_high"])
    return pd.concat([frame, ratios], axis=1).assign(measured=frame["variance"].notna())


def _ratio(row: Row) -> str:
    if row["is_reference"] and row["ratio"] == 1:
        return "1 (reference)"
    return moment(row, "ratio")


def _note(row: Row) -> str:
    encoder = "heavy tails (encoder)" if row["encoder_heavy_tailed"] else ""
    return note(row, *flags(row), encoder, "no noise" if row["noiseless"] else "", why_sampled(row))


def make(frame: pd.DataFrame, relative_to: str) -> Table:
    """The printed table."""
    caption = (
        "Variance of the minibatch-mean gradient over the estimator's noise alone, at fixed parameters and "
        "a fixed minibatch: the trace of its covariance with respect to q's parameters and, where there is "
        "one, the encoder's weights; minibatch variance is what the choice of the minibatch adds. In "
        f"brackets: 95 % jackknife intervals on log variance over n draws; the ratio to {relative_to} takes "
        "the two as independent. f-evals: evaluations of f per row and draw. SNR: gradient norm over "
        f"standard deviation. Heavy tails: fewer than {FEW_EFFECTIVE_DRAWS:g} draws over their "
        "kurtosis, for which the interval is optimistic, or fewer than "
        f"{LEAST_RARE_EVENTS:g} rare outcomes expected, for which there is none. Rare outcomes: some coordinate "
        "has a value too rare for the draws, so that the variance may be too low. "
        "† declared biased: its variance says nothing of its bias."
    )
    if words := exact_words(frame):
        caption += f" Exact: {words}; no draws, and no interval."
    if words := settled_words(frame):
        caption += f" {words}"
    columns = (
        Column("point", lambda row: str(row["point"]), left=True),
        ESTIMATOR,
        UNBIASED,
        Column("f-evals", lambda row: count(row["f_evals"])),
        Column("variance w.r.t. q", lambda row: moment(row, "variance")),
        Column(f"ratio to {relative_to}", _ratio),
        Column("encoder variance", with_interval("encoder_variance")),
        Column("minibatch variance", with_interval("minibatch_variance")),
        Column("SNR", lambda row: number(row["snr"])),
        Column("n", draws),
        Column("note", _note, left=True),
    )
    return table("variance", "Gradient variance", caption, columns, frame, [*CSV, *how(frame)])
