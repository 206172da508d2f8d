"""Bias of every estimator at every point against the exact gradient or a long run, with a verdict."""

import pandas as pd

from bench.report.frames import Frames
from bench.report.tables.view import (
    ESTIMATOR,
    Column,
    Row,
    Table,
    csv_columns,
    draws,
    ends,
    exact_words,
    flags,
    how,
    moment,
    note,
    settled_words,
    table,
    why_sampled,
    with_ends,
)
from bench.report.text import missing, number, percent, percent_interval
from bench.report.verdicts import EXACTLY, FALSE_ALARM, BiasTest, verdict

CSV = csv_columns(
    "point", "step", "logit", "scale", *with_ends("relative_bias", "bias_squared"), "bias_floor", 
    "gradient_norm", "max_z", "p_value", "reference", "verdict", "tested", "rare", "seldom_moved",
    "heavy_tailed", "kurtosis", "rows", "draws", "trajectories", "minibatches",
)  # fmt: skip


def tests(frame: pd.DataFrame) -> int:
    """Number of tests of estimators declared unbiased, which the threshold on p is divided by."""
    return 0 if frame.empty else int((frame["unbiased"] & frame["p_value"].notna()).sum())


def build(frames: Frames) -> pd.DataFrame:
    """One row a point of a moments cell, with a verdict in words."""
    frame = frames.moments
    if frame.empty:
        return frame.reindex(columns=["section", *CSV])
    count = tests(frame)
    # In the order of BiasTest's fields.
    fields = ("unbiased", "p_value", "relative_bias", "relative_bias_low", "relative_bias_high", "bias_floor",
              "heavy_tailed", "rare", "seldom_moved", "exact")  # fmt: skip
    rows = zip(*(frame[name] for name in fields), strict=True)
    verdicts = [verdict(BiasTest(*row), count) for row in rows]
    measured = frame["bias_squared"].notna() | frame["p_value"].notna()
    return frame.assign(verdict=[v if m else "" for v, m in zip(verdicts, measured, strict=True)], measured=measured)


def relative(row: Row) -> str:
    """The relative bias with its interval, or marked as exact."""
    if row["exact"]:
        return "" if missing(row["relative_bias"]) else f"{percent(row['relative_bias'])} (exact)"
    return percent_interval(*(row[column] for column in ends("relative_bias")))


def _p_value(row: Row) -> str:
    p = row["p_value"]
    return "< 1e-16" if p < 1e-16 else number(p, 2)


BRIEF = ("point", "estimator", "relative_bias", "verdict", "reference", "draws")


def make(frame: pd.DataFrame) -> Table:
    """The printed table."""
    count = max(1, tests(frame))
    single = frame["trajectories"].isna()
    where = "; at fixed parameters and a fixed minibatch, over n draws" if single.all() else ""
    brackets = "95 % score intervals of the squared bias, a long run's own noise included"
    student = "95 % Student-t intervals over trajectories of the mean squared bias"
    if not single.all():
        brackets = f"{student}; of single points {brackets}" if single.any() else student
    over = (
        ""
        if single.all()
        else " Over several trajectories: the root mean square of both, the largest |z|, and the smallest p times the "
        "number of points; n: trajectories x minibatches x draws."
    )
    caption = (
        "Bias against the exact gradient, or a long run of an unbiased estimator, as the reference column "
        f"says{where}. Relative bias: norm of the bias over the gradient's, the Monte Carlo noise of the mean taken "
        f"off. In brackets: {brackets}, carried over to its root.{over} max |z|: largest "
        "coordinate in standard errors; p: its two-sided value, Bonferroni over the coordinates that are "
        "tested, which leaves out those with outcomes too rare for the draws and those that too few draws "
        "move. 'Could have seen': the smallest relative bias whose interval would have excluded 0. A "
        f"declared-unbiased estimator is AGAINST ITS TAG where p < {FALSE_ALARM:g} / {count}, the number of "
        f"such tests here (family-wise level {100 * FALSE_ALARM:g} %), unless its draws are heavy-tailed, "
        "which makes z misleading. † declared biased."
    )
    if words := exact_words(frame):
        caption += f" Exact: {words}; no draws, no interval and no test: up to {EXACTLY:g} of the gradient is no bias."
    if words := settled_words(frame):
        caption += f" {words}"
    columns = (
        Column("point", lambda row: str(row["point"]), left=True, name="point", order="position"),
        ESTIMATOR,
        Column("declared", lambda row: "unbiased" if row["unbiased"] else "biased", left=True),
        Column("relative bias", relative, name="relative_bias"),
        Column("bias²", lambda row: moment(row, "bias_squared"), name="bias_squared"),
        Column("max |z|", lambda row: number(row["max_z"]), name="max_z"),
        Column("p", _p_value, name="p_value"),
        Column("verdict", lambda row: str(row["verdict"]), left=True, name="verdict"),
        Column("n", draws, name="draws"),
        Column(
            "reference",
            lambda row: "" if missing(row["reference"]) else str(row["reference"]),
            left=True,
            name="reference",
        ),
        Column("note", lambda row: note(row, *flags(row), why_sampled(row)), left=True),
    )
    return table("bias", "Gradient bias", caption, columns, frame, [*CSV, *how(frame)], BRIEF)
