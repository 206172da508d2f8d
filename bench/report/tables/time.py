"""Time of a training step, memory, and efficiency: what a unit of variance costs in seconds and f-evals."""

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import pandas as pd

from bench.report.frames import Frames
from bench.report.replicates import Values, paired_ratio
from bench.report.tables.noise import ratio_of_totals, total_of
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
    ends,
    further_words,
    note,
    table,
    with_ends,
    with_interval,
)
from bench.report.text import count, interval, number, span
from bench.report.verdicts import ROUNDING
from bench.statistics import ratio_interval

CSV = csv_columns(
    *BUDGET, "rows", "batch", "stacked",
    *with_ends("step_seconds", "floor_seconds", "time_ratio", "plain_seconds", "cost_seconds"),
    "time_ratio_log_se", "plain_ratio_log_se",
    "step_n", "floor_n", "ratio_n", "below_floor", "captured", "kernel_seconds",
    *with_ends("compiled_seconds", "compiled_ratio"), "compile_seconds",
    "variance_point", *with_ends("variance"), "mse", "draws", "trajectories", "minibatches", "f_evals",
    *with_ends("efficiency_seconds", "efficiency_f_evals", "efficiency_total"), "clock_in_interval", "reference_busy",
    "efficiency_mse_seconds",
    "peak_memory_bytes", "tries", "load_before", "load", "cores", "busy",
)  # fmt: skip


class Noise(NamedTuple):
    """An estimator's gradient at its problem's last point: columns of the moments frame, or NaN."""

    point: str = ""
    variance: float = math.nan
    variance_low: float = math.nan
    variance_high: float = math.nan
    log_se: float = math.nan
    mse: float = math.nan
    f_evals: float = math.nan
    noiseless: bool = False
    at_rounding: bool = False
    device: str = ""
    draws: float = 0.0
    trajectories: float = math.nan
    minibatches: float = math.nan
    encoder_variance: float = math.nan
    encoder_variance_low: float = math.nan
    encoder_variance_high: float = math.nan
    minibatch_variance: float = math.nan
    minibatch_variance_low: float = math.nan
    minibatch_variance_high: float = math.nan
    replicates: Values | None = None
    encoder_replicates: Values | None = None
    minibatch_replicates: Values | None = None
    setting: str = ""
    """What of its measurement differs from others of the problem: variances of two settings are not compared."""

    @property
    def total_replicates(self) -> Values | None:
        """Total noise of the encoder's gradient at each minibatch of each trajectory."""
        if self.encoder_replicates is None or self.minibatch_replicates is None:
            return None
        return self.encoder_replicates + self.minibatch_replicates


def _noises(moments: pd.DataFrame) -> dict[tuple[str, str], list[Noise]]:
    """(problem, label) -> its measurements at the problem's last point."""
    found: dict[tuple[str, str], list[Noise]] = {}
    if moments.empty:
        return found
    measured = moments[moments["variance"].notna()]
    at_last = measured[measured["position"] == measured.groupby("problem")["position"].transform("max")]
    columns = (at_last[name] for name in ("problem", "label", *Noise._fields))
    for problem, label, *values in zip(*columns, strict=True):
        found.setdefault((problem, label), []).append(Noise(*values))
    return found


def _best(candidates: Iterable[Noise], device: object) -> Noise:
    """The measurement to set beside a time: on the same device if there is one, then with the most draws."""
    return max(candidates, key=lambda noise: (noise.device == device, noise.draws), default=Noise())


class Timed(NamedTuple):
    """What an efficiency is made of."""

    noise: Noise
    seconds: float
    log_se: float
    """Standard error of the logarithm of the seconds; NaN in records that do not hold it."""
    busy: bool = False
    """Whether the machine did something else meanwhile."""


def _efficiency(
    own: Noise, cost: float, reference: Noise, reference_cost: float, clock: tuple[float, float] = (0.0, 0.0)
) -> tuple[float, ...]:
    """(variance x cost) of the reference over the estimator's own.

    The interval is that of the variances and, by their log standard errors (own, the reference's), of the costs.
    """
    if own.noiseless:
        return (math.inf,) * 3
    if own.at_rounding or reference.at_rounding or not (own.variance > 0 and reference.variance > 0 and cost > 0):
        return (math.nan,) * 3
    if own is reference and cost == reference_cost:
        return (1.0,) * 3  # itself: no uncertainty
    ratio, log_se = reference.variance / own.variance, math.hypot(own.log_se, reference.log_se)
    if (paired := paired_ratio(reference.replicates, own.replicates)) is not None:
        ratio, log_se = paired
    return tuple(ratio_interval(ratio * reference_cost, math.hypot(log_se, *clock), cost, 0.0))


def _of_total(own: Timed, reference: Timed, clock: tuple[float, float]) -> tuple[float, ...]:
    """(total noise x seconds) of the reference over the estimator's own, with its interval; NaN without an encoder."""
    above, below = total_of(reference.noise._asdict()), total_of(own.noise._asdict())
    if not (above.known and below.known and own.seconds > 0):
        return (math.nan,) * 3
    if own.noise is reference.noise and own.seconds == reference.seconds:
        return (1.0,) * 3  # itself: no uncertainty
    factor = reference.seconds / own.seconds
    if (paired := paired_ratio(reference.noise.total_replicates, own.noise.total_replicates)) is not None:
        ratio, log_se = paired
        return tuple(ratio_interval(factor * ratio, math.hypot(log_se, *clock), 1.0, 0.0))
    return tuple(ratio_of_totals(above, below, factor, math.hypot(*clock)))


def _row(own: Timed, reference: Timed) -> dict[str, object]:
    noise = own.noise
    if noise.setting != reference.noise.setting:
        reference = reference._replace(noise=Noise())
    other = reference.noise
    clocks = (own.log_se, reference.log_se)
    known = not any(map(math.isnan, clocks))
    clock = clocks if known else (0.0, 0.0)
    by_seconds = _efficiency(noise, own.seconds, other, reference.seconds, clock)
    by_f_evals = _efficiency(noise, noise.f_evals, other, other.f_evals)
    charged = noise.mse * own.seconds
    by_mse = other.mse * reference.seconds / charged if charged > 0 else math.nan
    return {
        "variance_point": noise.point,
        **{name: getattr(noise, name) for name in (*ends("variance"), "mse", "f_evals", "at_rounding", "draws")},
        **{name: getattr(noise, name) for name in ("trajectories", "minibatches", "log_se", "replicates")},
        **dict(zip(ends("efficiency_seconds"), by_seconds, strict=True)),
        **dict(zip(ends("efficiency_f_evals"), by_f_evals, strict=True)),
        **dict(zip(ends("efficiency_total"), _of_total(own, reference, clock), strict=True)),
        "clock_in_interval": known,
        "reference_busy": reference.busy,
        "efficiency_mse_seconds": math.inf if noise.mse < ROUNDING**2 * other.mse else by_mse,
    }


def _costs(frame: pd.DataFrame) -> pd.DataFrame:
    """Seconds that compare across cells: the ratio to a plain step times the median plain step of the problem.

    Cells are timed at different moments, and a machine that was busier for one would count against its estimator; the
    plain step, of one evaluation of f, is the same for all, and timed round by round beside each.
    """
    plain = frame.groupby("section")["plain_seconds"].transform("median")
    ratios = zip(ends("cost_seconds"), ends("plain_ratio"), strict=True)
    return frame.assign(**{cost: frame[ratio] * plain for cost, ratio in ratios})


def build(frames: Frames) -> pd.DataFrame:
    """One row a time cell, joined to the variance of the same problem and estimator at the last point."""
    frame = frames.time
    if frame.empty:
        return frame.reindex(columns=["section", *CSV])
    frame = _costs(frame)
    noises = _noises(frames.moments)
    names = ("section", "problem", "label", "relative_to", "device", "cost_seconds", "plain_ratio_log_se", "busy")
    columns = (frame[name] for name in names)
    timed: list[tuple[tuple[str, str], Timed]] = []
    references: dict[tuple[str, str], Timed] = {}
    for section, problem, label, relative_to, device, seconds, log_se, crowded in zip(*columns, strict=True):
        own = Timed(_best(noises.get((problem, label), []), device), seconds, log_se, crowded)
        timed.append(((section, relative_to), own))
        if label == relative_to and not math.isnan(seconds):
            references[section, label] = own
    nothing = Timed(Noise(), math.nan, math.nan)
    rows = [_row(own, references.get(place, nothing)) for place, own in timed]
    return pd.concat([frame, pd.DataFrame(rows)], axis=1).assign(measured=frame["step_seconds"].notna())


def _relative(name: str) -> Callable[[Row], str]:
    """An efficiency; in parentheses for a biased estimator, which trades variance for bias."""

    def text(row: Row) -> str:
        if row["is_reference"] and row[name] == 1:
            return "1 (reference)"
        if math.isinf(row[name]):
            return "∞ (no noise)"
        shown = interval(*(row[column] for column in ends(name)))
        if not shown:
            return ""
        return (shown if row["unbiased"] else f"({shown})") + budgets(row)

    return text


def _note(row: Row) -> str:
    """What limits a row: a machine that did something else, a floor that is none, an interval without the clock."""
    crowd = f"not ranked: load {row['load']:.1f} on {row['cores']:.0f} cores" if row["busy"] else ""
    beaten = "below its floor, which is none" if row["below_floor"] else ""
    noisy = 0 < row["efficiency_seconds"] < math.inf and row["efficiency_seconds_low"] < row["efficiency_seconds_high"]
    bare = "interval leaves the clock out" if noisy and not row["clock_in_interval"] else ""
    other = "relative to a time of a busy machine" if noisy and row["reference_busy"] else ""
    return note(row, _compiled(row), crowd, beaten, bare, other)


def _compiled(row: Row) -> str:
    """The compiled step, where it was timed beside the others."""
    if not row["compiled_seconds"] > 0:
        return ""
    step, faster = number(1e3 * row["compiled_seconds"]), number(row["compiled_ratio"])
    return f"compiled {step} ms, {faster} times as fast, after {number(row['compile_seconds'])} s of compiling"


def _charged(row: Row) -> str:
    shown = number(row["efficiency_mse_seconds"])
    return shown + budgets(row) if shown else ""


def _batch(row: Row) -> str:
    """Rows of a step, of each of so many models where several are trained side by side."""
    models = f"{count(row['stacked'])} x " if row["stacked"] > 1 else ""
    return f"{models}{count(row['batch'])}" if row["batch"] > 0 else ""


def _batches(frame: pd.DataFrame) -> str:
    """That times hold at the batch at which they were taken, a sentence for a caption; empty where none is known."""
    known = frame["batch"].dropna()
    if known.empty:
        return ""
    rows = span(known.min(), known.max())
    return (
        f" Batch: rows of a step, here {rows}. Ratios of times, and so efficiencies, hold at that batch: a step has "
        "parts that do not grow with it."
    )


BATCH = (Column("batch", _batch, name="batch"),)
OF_TOTAL = (Column("1/(total x s)", _relative("efficiency_total"), name="efficiency_total"),)


BRIEF = ("estimator", "rows", "cost_seconds", "efficiency_seconds", "efficiency_mse_seconds")


def make(frame: pd.DataFrame, relative_to: str) -> Table:
    """The printed table."""
    rounds = frame["step_n"].dropna()
    n = span(rounds.min(), rounds.max()) if len(rounds) else "no"
    single, paired = frame["trajectories"].isna(), "Student's t over trajectories, paired"
    noises = "jackknife" if single.all() else f"{paired}; jackknife of single points" if single.any() else paired
    caption = (
        f"Time of one training step: median [interquartile range] of {n} rounds, in milliseconds, the "
        "device synchronised before and after. Floor: the same model and optimiser, and the same passes over f, and "
        "over networks of the estimator's own, in kind (in theta, along the path to q, in z alone, or twice), with all "
        "that is drawn and learned given; the ratio to it is taken round by round in one process. f-evals: "
        "evaluations of f per row. Cost: the ratio to a plain step of one evaluation, timed beside it too, times the "
        "median plain step of all estimators, "
        "so that a machine that was busier for one does not count against it. Efficiency: "
        "1 / (variance x cost in seconds) and 1 / (variance x f-evals) "
        f"relative to {relative_to}, variance with respect to q at the last point; its bracket is the 95 % "
        f"interval of both variances ({noises}) and, in seconds, of both costs (medians of 3 and of 5 stretches of "
        "neighbouring rounds, the wider); where a note says so, a record does not hold the noise of its clock. Not "
        "ranked: the load average was above the number of cores, which a cell alone does not bring about. † "
        "declared biased: its efficiency stands in parentheses, since its variance says nothing of its bias; "
        "compare 1 / (MSE x seconds), which charges it for the bias."
        f"{_batches(frame)}{further_words(frame)}"
    )
    if frame["efficiency_total"].notna().any():
        caption += (
            f" 1/(total x s): the same of the total noise of the encoder's weights, estimator plus minibatch, relative "
            f"to {relative_to}; beside that a noise well below the minibatch's is not worth its seconds."
        )
    rated = frame[frame["efficiency_seconds"].notna()]
    if words := budget_words(rated, relative_to):
        caption += f" {words}"
    columns = (
        ESTIMATOR,
        UNBIASED,
        Column("f-evals", lambda row: count(row["rows"]), name="rows"),
        *(BATCH if frame["batch"].notna().any() else ()),
        Column("step, ms", with_interval("step_seconds", 1e3), name="step_seconds"),
        Column("floor, ms", with_interval("floor_seconds", 1e3), name="floor_seconds"),
        Column("ratio to floor", with_interval("time_ratio"), name="time_ratio"),
        Column("cost, ms", with_interval("cost_seconds", 1e3), name="cost_seconds"),
        Column("1/(variance x s)", _relative("efficiency_seconds"), name="efficiency_seconds"),
        Column("1/(variance x f-evals)", _relative("efficiency_f_evals"), name="efficiency_f_evals"),
        *(OF_TOTAL if frame["efficiency_total"].notna().any() else ()),
        Column("1/(MSE x s)", _charged, name="efficiency_mse_seconds"),
        Column("peak MB", lambda row: number(row["peak_memory_bytes"] / 1e6), name="peak_memory_bytes"),
        Column("threads", lambda row: count(row["threads"]), name="threads"),
        Column("note", _note, left=True),
    )
    return table("time", "Time and efficiency", caption, columns, frame, CSV, BRIEF)
