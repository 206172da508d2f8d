"""The few sentences at the head of a report: only what its numbers carry, with their intervals."""

import math
from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

import pandas as pd

from bench.report import efficient, highest
from bench.report.lowest import Lowest, at_point, lacking
from bench.report.lowest import named as _named
from bench.report.summary import Summary
from bench.report.sweeps import Sweep, sweeps
from bench.report.tables import bias as bias_table
from bench.report.tables.view import Row, budgets, ends, rows_of
from bench.report.text import count, interval, number, percent, percent_interval, plural, span
from bench.report.training_limits import few_seeds, still_rising
from bench.report.verdicts import AGAINST, EXACTLY, FALSE_ALARM, ROUNDING, UNSURE

FIRST = "Before trusting a number"
TRAINED, TRAINED_ALONE = "Highest test ELBO", "Test ELBO of those that are compared with none"


ALONE = "compared with none, as no other {}estimator spends as many evaluations of f a row"


class Finding(NamedTuple):
    """One sentence; names of estimators stand between backticks."""

    topic: str
    text: str
    points: tuple[str, ...] = ()  # a line for each point
    where: str = ""  # the section that it is about, where one is asked for


def _place(row: Row) -> str:
    return f"{row['section']} at {row['point']}" if row["point"] else str(row["section"])


def _by_budget(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Rows that spend equally many evaluations of f, and ` at 6 evaluations of f a row`; empty where unknown.

    Only they are held against each other: a budget with one estimator is left out, unless it is the only one.
    """
    for budget, part in rows.groupby("budget", dropna=False):
        if part["label"].nunique() > 1 or rows["label"].nunique() == 1:
            known = isinstance(budget, float) and not math.isnan(budget)
            yield f" at {plural(int(part['budget'].iloc[0]), 'evaluation')} of f a row" if known else "", part


def _alone(rows: pd.DataFrame) -> str:
    """Who is compared with none, since no other spends as many evaluations of f; empty where nobody."""
    if rows["label"].nunique() < 2:
        return ""
    alone = [part for _, part in rows.groupby("budget", dropna=False) if part["label"].nunique() == 1]
    return ", ".join(f"{_named(row)}{_spent(row)}" for row in (rows_of(part)[0] for part in alone))


def _spent(row: Row) -> str:
    """Behind a name, ` (6)`: the evaluations of f a row that it spends."""
    return "" if math.isnan(row["budget"]) else f" ({count(row['budget'])})"


def _run(points: list[Lowest], relative_to: str) -> str:
    """Neighbouring points with one winner."""
    first, last = points[0], points[-1]
    if len(points) == 1:
        place = f"{first.point}: " if first.point else ""  # a problem without a sweep has one point, and no name for it
        return f"{place}{first.words}{f', {first.shown} of {relative_to}{budgets(first.row)}' if first.shown else ''}"
    told: dict[str, list[float]] = {}
    for one in points:
        if one.shown:
            told.setdefault(one.whose, []).append(one.ratio)
    ranges = (
        whose + " to ".join(dict.fromkeys((number(min(ratios)), number(max(ratios)))))
        for whose, ratios in sorted(told.items())
    )
    extremes = " and ".join(ranges)
    extremes = f", {extremes} of {relative_to}{budgets(first.row)}" if extremes else ""
    return f"{first.point} to {last.point.split()[-1]}: {first.words}{extremes}"


def _variance(summary: Summary) -> Iterator[Finding]:
    for heading, rows in summary.variance.groupby("section", sort=False):
        noisy = rows[rows["measured"] & rows["unbiased"] & ~rows["at_rounding"]]
        for budget, own in _by_budget(noisy):
            yield from _winners(f"{heading}{budget}", rows[rows["budget"].isin(own["budget"])], rows, summary)
        if alone := _alone(noisy):
            yield Finding("Lowest variance", f"{heading}, {ALONE.format('unbiased ')}: {alone}.")


def _winners(where: str, rows: pd.DataFrame, section: pd.DataFrame, summary: Summary) -> Iterator[Finding]:
    """Of estimators that spend equally many evaluations of f, on one problem, of which `section` has all rows."""
    lowest = [one for _, points in rows.groupby("position") if (one := at_point(points, section)) is not None]
    if not lowest:
        return
    measured = rows[rows["measured"]]
    number_of = measured[measured["unbiased"] & ~measured["at_rounding"]]["label"].nunique()
    still = ", ".join(f"`{label}`" for label in measured[measured["noiseless"]]["label"].unique())
    apart = f" (apart from {still}, without noise)" if still else ""
    rare = [f"{_named(row)} at {row['point']}" for row in rows_of(lacking(rows).sort_values("position"))]
    apart += f" (not ranked, as rare outcomes were too few among the draws: {', '.join(rare)})" if rare else ""
    runs = tuple(_run(list(points), summary.relative_to) for _, points in groupby(lowest, key=lambda one: one.words))
    judges = " or ".join(dict.fromkeys(one.judges for one in lowest if one.judges))
    told = f"; half of the {judges} choose whose ratio is told, the others tell it" if judges else ""
    yield Finding("Lowest variance", f"{where}, of {plural(number_of, 'unbiased estimator')}{apart}{told}:", runs)


FAR = 10
"""How many times the minibatch's noise an estimator's is far above it."""


def _noticed(summary: Summary) -> Iterator[Finding]:
    """Which estimators' noise would show beside that of the minibatch, at the last point of each problem."""
    known = summary.variance[summary.variance["noise_ratio"].notna()]
    for _, rows in known.groupby("section", sort=False):
        last = rows[rows["position"] == rows["position"].max()].sort_values("noise_ratio")
        first, mixed = rows_of(last)[0], last["budget"].nunique() > 1
        minibatch = interval(*(first[column] for column in ends("minibatch_variance")))
        text = _place(first)
        text += f", variance of the encoder's gradient in units of the minibatch's, which is {minibatch}"
        text += "; evaluations of f a row in parentheses" if mixed else ""
        low, high = last["noise_ratio_low"], last["noise_ratio_high"]
        parts = {
            "below it": high < 1,
            f"one to {FAR} times": (low > 1) & (high < FAR),
            f"more than {FAR} times": low > FAR,
        }
        parts["not told by the intervals"] = ~pd.concat(parts, axis=1).any(axis=1)
        groups = tuple(
            f"{where}: "
            + ", ".join(
                f"{_named(r)}{_spent(r) if mixed else ''} {interval(*(r[column] for column in ends('noise_ratio')))}"
                for r in rows_of(part)
            )
            for where, part in ((where, last[chosen]) for where, chosen in parts.items())
            if len(part)
        )
        yield Finding("Would training notice?", f"{text}:", groups)


def _tags(summary: Summary) -> Iterator[Finding]:
    tests = bias_table.tests(summary.bias)
    tested = summary.bias[summary.bias["unbiased"] & summary.bias["p_value"].notna()]
    threshold = f"p < {FALSE_ALARM:g} / {max(1, tests)}"
    against = rows_of(tested[tested["verdict"] == AGAINST])
    for row in against:
        size = percent_interval(*(row[column] for column in ends("relative_bias")))
        text = f"{_named(row)} is declared unbiased but was measured against its tag on {_place(row)}"
        p = number(row["p_value"], 2)
        yield Finding(FIRST, f"{text}: bias {size} of the gradient's norm, p = {p} (threshold {threshold}).")
    unsure = int((tested["verdict"] == UNSURE).sum())
    if unsure:
        text = f"{plural(unsure, 'test')} of unbiased estimators {'differs' if unsure == 1 else 'differ'}"
        yield Finding(FIRST, f"{text}, but with tails too heavy to tell; see the bias table.")
    if tests and not against:
        text = f"No unbiased estimator was measured against its tag in {plural(tests, 'test')} ({threshold})."
        floors = tested["bias_floor"].dropna()
        if len(floors):
            half, most = percent(floors.median()), percent(floors.max())
            text += f" A bias of {half} of the gradient would have shown in half of them, of {most} in all."
        yield Finding("Bias", text)


def _exact(summary: Summary) -> Iterator[Finding]:
    """Of tags where the bias is exact, and no test decides."""
    exact = summary.bias[summary.bias["unbiased"] & summary.bias["measured"] & summary.bias["exact"]]
    against = rows_of(exact[exact["verdict"] == AGAINST])
    for row in against:
        text = f"{_named(row)} is declared unbiased, and is biased on {_place(row)}"
        yield Finding(FIRST, f"{text}: by {bias_table.relative(row)} of the gradient's norm.")
    if len(exact) and not against:
        text = f"No unbiased estimator is biased at the {plural(len(exact), 'point')} where its bias is exact"
        yield Finding("Bias", f"{text}: at most {number(exact['relative_bias'].max(), 1)} of the gradient's norm.")


def _biased(summary: Summary) -> Iterator[Finding]:
    found = summary.bias[~summary.bias["unbiased"]]
    declared = found[found["p_value"].notna() | (found["measured"] & found["exact"])]
    for _, rows in declared.groupby("label"):
        is_seen = (rows["relative_bias_low"] > ROUNDING) | (rows["exact"] & (rows["relative_bias"] > EXACTLY))
        seen = rows_of(rows[is_seen].sort_values("relative_bias"))
        name, points = _named(rows_of(rows)[0]), plural(len(rows), "point")
        head = f"{name}, declared biased: seen at {len(seen)} of {points}"
        if seen:
            size = bias_table.relative(seen[-1])
            head += f", at most {size} of the gradient's norm, on {_place(seen[-1])}"
        yield Finding("Bias", f"{head}.")


def _elbo(summary: Summary) -> Iterator[Finding]:
    by_section: dict[str, list[Sweep]] = {}
    for sweep in sweeps(rows_of(summary.frames.finals)):
        by_section.setdefault(str(sweep.cells[sweep.best][0]["section"]), []).append(sweep)
    measured = summary.elbo[summary.elbo["measured"]]
    for heading, rows in measured[~measured["negative_control"].astype(bool)].groupby("section", sort=False):
        for budget, own in _by_budget(rows):
            twice = bool(own["label"].duplicated().any())  # by two runs, whose seeds and rates may be others
            for part in [part for _, part in own.groupby("seeds_asked", dropna=False)] if twice else [own]:
                asked = float(part["seeds_asked"].iloc[0]) if twice else math.nan
                of_seeds = f", trained with {plural(int(asked), 'seed')}" if asked > 0 else ""
                words = highest.sentence(rows_of(part), by_section[str(heading)])
                yield Finding(TRAINED, f"{heading}{budget}{of_seeds}: {words}.", where=str(heading))
        if alone := _alone(rows):
            yield Finding(TRAINED_ALONE, f"{heading}, {ALONE.format('')}: {alone}.", where=str(heading))
        at_edge = rows_of(rows[rows["at_edge"]])
        if at_edge:
            names = ", ".join(f"{_named(row)} at {row['learning_rate']:.3g}" for row in at_edge)
            text = f"The best learning rate lies at the edge of the grid on {heading}, so that a better one may lie"
            yield Finding(FIRST, f"{text} beyond: {names}.")
        if apart := {_named(row): row["given"] for row in rows_of(rows) if row["given"]}:
            of_each = "; ".join(f"{name}: {words}" for name, words in apart.items())
            text = f"On {heading} estimators were trained with settings of their own, as some protocols have them"
            yield Finding(FIRST, f"{text}, so that a difference may be that of these: {of_each}.")
        if given := _given(by_section[str(heading)]):
            text = f"On {heading} each estimator was trained at one learning rate, and these differ"
            yield Finding(FIRST, f"{text}, so that a difference may be the rate's: {given}.")
        elif behind := _behind(by_section[str(heading)]):
            text = f"The sweep of learning rates on {heading} is not finished, and the estimators are not compared at"
            yield Finding(FIRST, f"{text} their best: others were trained beyond the best rate so far of {behind}.")


def _given(all_sweeps: list[Sweep]) -> str:
    """The rates of estimators that had one each; empty where rates were swept, or all had the same."""
    if any(sweep.swept for sweep in all_sweeps):
        return ""
    rates = {f"{_named(sweep.cells[sweep.best][0])} at {sweep.best:.3g}": sweep.best for sweep in all_sweeps}
    return ", ".join(rates) if len({rate for rate in rates.values() if not math.isnan(rate)}) > 1 else ""


def _behind(all_sweeps: list[Sweep]) -> str:
    """Whose best rate is the last of its own, though others have rates beyond it; empty where nobody's is.

    A grid that is done has grown there as far as any other's.
    """
    rates = [rate for sweep in all_sweeps for rate in sweep.cells]
    stopped = [
        sweep
        for sweep in all_sweeps
        if (sweep.best == max(sweep.cells) and sweep.best < max(rates))
        or (sweep.best == min(sweep.cells) and sweep.best > min(rates))
    ]
    firsts = [(sweep.cells[sweep.best][0], sweep.best) for sweep in stopped]
    return ", ".join(f"{_named(row)}, {rate:.3g}" for row, rate in firsts)


def _efficiency(summary: Summary) -> Iterator[Finding]:
    """The most efficient of what was timed while the machine did nothing else."""
    time = summary.time
    usable = time["efficiency_seconds"].between(0, math.inf, inclusive="neither") & time["unbiased"] & ~time["busy"]
    for heading, timed in time[usable].groupby("section", sort=False):
        for budget, rows in _by_budget(timed):
            first = rows_of(rows)[0]
            place = f"{heading} at {first['variance_point']}" if first["variance_point"] else str(heading)
            batch = f" and a batch of {count(first['batch'])}" if first["batch"] > 0 else ""
            text = f"{place}{budget}{batch}, of {plural(len(rows), 'noisy unbiased estimator')}: "
            words = efficient.sentence(rows, summary.relative_to)
            yield Finding("Highest efficiency, 1 / (variance x seconds)", f"{text}{words}.")


def _clocks(summary: Summary) -> Iterator[Finding]:
    """Times that are not what they seem: of a busy machine, or of a step below its floor."""
    for heading, rows in summary.time[summary.time["busy"]].groupby("section", sort=False):
        cores = span(rows["cores"].min(), rows["cores"].max())
        loads = " to ".join(dict.fromkeys((f"{rows['load'].min():.1f}", f"{rows['load'].max():.1f}")))
        names = ", ".join(_named(row) for row in rows_of(rows))
        text = f"Timed while the machine did something else (load {loads} on {cores} cores), and so not ranked"
        yield Finding(FIRST, f"{text}: {names} on {heading}.")
    for row in rows_of(summary.time[summary.time["below_floor"]]):
        ratio = interval(*(row[column] for column in ends("time_ratio")))
        text = f"The floor of {_named(row)} on {row['section']} is not one: its step took {ratio} of it"
        yield Finding(FIRST, f"{text} (median and quartiles over rounds), so that it bounds nothing there.")


def _trouble(summary: Summary) -> Iterator[Finding]:
    heads = summary.frames.heads
    for status, rows in heads[heads["status"] != "ok"].groupby("status"):
        yield Finding(FIRST, f"{plural(len(rows), 'cell')} of {len(heads)}: {status}; see the list below.")
    diverged = rows_of(summary.elbo[summary.elbo["diverged"] > 0])
    if diverged:
        listed = "; ".join(f"{_named(r)} {r['diverged']} of {r['seeds']} on {r['section']}" for r in diverged)
        yield Finding(FIRST, f"Seeds that diverged, left out of means: {listed}.")
    heavy = summary.variance[summary.variance["heavy_tailed"].astype(bool)]
    if len(heavy):
        names = ", ".join(f"`{label}`" for label in sorted(heavy["label"].unique()))
        text = f"Heavy tails at {len(heavy)} of {plural(int(summary.variance['measured'].sum()), 'point')}"
        yield Finding(FIRST, f"{text}, where the variance intervals are optimistic or missing: {names}.")
    for sentence in summary.frames.left_out:
        yield Finding(FIRST, sentence)
    mixed = [f"`{label}`" for label, rows in heads.groupby("label") if rows["source"].nunique() > 1]
    if mixed:
        names = ", ".join(mixed)
        yield Finding(FIRST, f"Records of more than one version of the source stand together here: {names}.")


def _single(summary: Summary) -> Iterator[Finding]:
    """Of checkpoints that were measured on one training and one minibatch."""
    rows = summary.variance
    if (rows["measured"] & rows["step"].notna() & rows["trajectories"].isna()).any():
        text = "Variances at a step are of one training and one minibatch: their intervals hold the draws alone, and"
        more = "say nothing of others; `trajectories` and `minibatches` in [moments] replicate them."
        yield Finding(FIRST, f"{text} {more}")


def _trained(summary: Summary) -> Iterator[Finding]:
    """Of trainings with few seeds, or that end too early."""
    for sentence in (*few_seeds(summary.elbo), *still_rising(summary.elbo, summary.frames)):
        yield Finding(FIRST, sentence)


def _sampled(summary: Summary) -> Iterator[Finding]:
    """Of points that were to be exact and are not."""
    sampled = summary.variance[summary.variance["sampled_because"].notna()]
    if len(sampled):
        names = ", ".join(f"`{label}`" for label in sorted(sampled["label"].unique()))
        text = f"Sampled at {plural(len(sampled), 'point')} that were to be exact, as no integral was found"
        yield Finding(FIRST, f"{text}: {names}; the notes in the tables say why.")


def findings(summary: Summary) -> dict[str, list[Finding]]:
    """What the numbers of a report say, by topic; what limits them comes first."""
    parts = [] if summary.time.empty else [_clocks]
    parts += [_trouble]
    parts += [] if summary.variance.empty else [_single, _sampled]
    parts += [] if summary.elbo.empty else [_trained]
    parts += [] if summary.bias.empty else [_tags, _exact, _biased]
    parts += [] if summary.variance.empty else [_variance, _noticed]
    parts += [] if summary.elbo.empty else [_elbo]
    parts += [] if summary.time.empty else [_efficiency]
    topics: dict[str, list[Finding]] = {FIRST: []}
    for part in parts:
        for finding in part(summary):
            topics.setdefault(finding.topic, []).append(finding)
    return {topic: found for topic, found in topics.items() if found}
