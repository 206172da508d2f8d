"""What to take: of each family of latents the best for what f allows, at equal evaluations of f and at equal seconds.

Everything is said as a set: an estimator stands in it that is not told apart from the best (`bench.report.lowest`),
over all that are compared there. No answer holds beyond the problem and the point that stand beside it.
"""

import math
from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from bench.report.choices import QUESTIONS, SECONDS, Answer, Choice, Line
from bench.report.efficient import widened
from bench.report.lowest import First, first_of, may_be_lowest, named, not_told_apart
from bench.report.naming import families, without_budget
from bench.report.replicates import paired_ratio
from bench.report.summary import Summary
from bench.report.tables import bias as bias_table
from bench.report.tables.view import Row, rows_of
from bench.report.text import count, interval, number, plural
from bench.statistics import lowest, ratio_interval


def _at_any_budget(row: Row) -> str:
    """The estimator as `named` says it, without the samples that tell one budget from another."""
    return named({**row, "label": without_budget(str(row["label"]))})


def by_column(rows: Sequence[Row], column: str) -> list[Row]:
    """Rows whose `variance`, and what is known of it, are those of another column."""
    if column == "variance":
        return list(rows)
    shown = {"variance": column, "log_se": f"{column}_log_se", "replicates": f"{column}_replicates"}
    return [{**row, **{name: row[own] for name, own in shown.items()}} for row in rows]


def _ratio(first: Row, beside: Row | None, comparisons: int, costs: tuple[float, float], clock: float) -> str:
    """The ratio to the reference, whose interval holds over so many that might have been named (Bonferroni)."""
    if beside is None or beside["label"] == first["label"] or not beside["variance"] > 0:
        return ""
    cost, other = costs
    if first["exact"] and beside["exact"] and clock == 0:
        return f"{number(first['variance'] * cost / (beside['variance'] * other), 4)} (exact)"
    ratio, log_se = first["variance"] / beside["variance"], math.hypot(first["log_se"], beside["log_se"])
    freedom = math.inf
    if (paired := paired_ratio(first["replicates"], beside["replicates"])) is not None:
        ratio, log_se = paired
        freedom = len(first["replicates"]) - 1
    found = ratio_interval(ratio * cost, math.hypot(log_se, clock), other, 0.0)
    return interval(*widened(found, comparisons, freedom))


def _others(ranked: Sequence[Row], beside: Row | None) -> int:
    """How many might have been named with a ratio to the reference: all but itself, which may not be among them."""
    return sum(beside is None or row["label"] != beside["label"] for row in ranked)


def _bias(row: Row) -> str:
    """How far the mean of one that is declared biased is off; empty for the others."""
    if row["unbiased"]:
        return ""
    size = bias_table.relative(row)
    return f"bias {size} of the gradient" if size else "bias not measured"


def _choose(found: First, beside: Row | None, relative_to: str) -> Choice:
    """The lowest of some rows at equal evaluations of f."""
    ranked, first, equal, ties = found
    same = [first, *(i for i in range(1, equal) if i != first)]
    names = " and ".join(named(ranked[i]) for i in same) + not_told_apart([ranked[i] for i in ties])
    shown = _ratio(ranked[first], beside, _others(ranked, beside), (1.0, 1.0), 0.0)
    return _chosen(ranked, [*same, *ties], names, f"{shown} of {relative_to}" if shown else "")


def _chosen(ranked: Sequence[Row], best: Sequence[int], names: str, shown: str) -> Choice:
    """Of all that are compared those that may be the best, the first of which is told of."""
    among = tuple(map(_at_any_budget, ranked))
    return Choice(names, shown, _bias(ranked[best[0]]), tuple(among[i] for i in best), among)


def usable(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of a section that rank: measured, noisy, no negative controls, none that lacks rare outcomes beside exact
    ones; and of one estimator that was measured twice at a point, as in two runs, the one of more draws.
    """
    exact = rows[rows["exact"]]["position"]
    lacking = rows["variance_rare"] & ~rows["exact"] & rows["position"].isin(exact)
    kept = rows[rows["measured"] & ~rows["at_rounding"] & ~rows["negative_control"] & ~lacking]
    draws = kept["draws"].where(~kept["exact"], math.inf).fillna(0.0)
    most = draws.groupby([kept["label"], kept["position"]]).rank(method="first", ascending=False)
    return kept[most == 1]


def _at_equal_evaluations(section: pd.DataFrame, relative_to: str) -> Iterator[Line]:
    """A line for the first and the last point of a problem and each number of evaluations that several spend."""
    ranked = usable(section)
    ends = sorted({ranked["position"].min(), ranked["position"].max()})
    for position in ends:
        at_point = ranked[ranked["position"] == position]
        for budget, rows in at_point.groupby("budget", dropna=False):
            if rows["label"].nunique() < 2:
                continue
            choices, there = [], rows_of(rows)
            for question in QUESTIONS:
                own = by_column(there, question.by)
                found = first_of([row for row in own if question.takes(row) and row["variance"] > 0])
                beside = next((row for row in own if row["is_reference"]), None)
                choices.append(_choose(found, beside, relative_to) if found else None)
            known = isinstance(budget, float) and not math.isnan(budget)
            at = f"{plural(int(rows['budget'].iloc[0]), 'evaluation')} of f" if known else "default samples"
            yield Line(str(there[0]["section"]), str(there[0]["point"]), at, _draws(rows), tuple(choices))


def _draws(rows: pd.DataFrame) -> str:
    """`1000 draws`, `5 trajectories x 5 minibatches x 200 draws`, `exact`, or `exact or 1000 draws`."""
    sampled = rows[~rows["exact"]]
    if sampled.empty:
        return "exact"
    row = rows_of(sampled.sort_values("draws"))[0]
    parts = [f"{count(row['draws'])} draws"]
    if row["trajectories"] > 0:
        nested = ((row["trajectories"], "trajectory", "trajectories"), (row["minibatches"], "minibatch", "minibatches"))
        parts = [f"{count(n)} {one if n == 1 else several}" for n, one, several in nested] + parts
    return ("exact or " if rows["exact"].any() else "") + " x ".join(parts)


Cost = tuple[float, float]
"""Seconds of a step, comparable across cells, and the standard error of their logarithm."""


Costs = Mapping[tuple[str, object], Cost]
"""(label, samples) -> cost, of what was timed on one machine at one batch."""


def _costs(summary: Summary) -> dict[str, dict[str, Costs]]:
    """Problem -> setting -> costs, of what was timed while the machine did nothing else.

    Seconds of two machines, or at two batches, do not compare. Left out are records of an earlier release, which do
    not hold the noise of their clock: without it whatever differs would be told apart.
    """
    timed = summary.time
    found: dict[str, dict[str, dict[tuple[str, object], Cost]]] = {}
    if timed.empty:
        return {}
    timed = timed[~timed["busy"] & timed["cost_seconds"].notna() & timed["plain_ratio_log_se"].notna()]
    for row in rows_of(timed):
        own = found.setdefault(row["problem"], {}).setdefault(row["setting"], {})
        own[row["label"], row["samples"]] = float(row["cost_seconds"]), float(row["plain_ratio_log_se"])
    return {problem: dict(settings) for problem, settings in found.items()}


def _at_equal_seconds(section: pd.DataFrame, setting: str, costs: Costs, relative_to: str) -> Line | None:
    """What is lowest times the seconds of a step, at a problem's last point; None where nothing was timed.

    Args:
        section: of the table of variances.
        setting: of the times, such as a machine; empty where there is one.
        costs: in that setting.
        relative_to: the reference's name.
    """
    ranked = usable(section)
    last = ranked[ranked["position"] == ranked["position"].max()]
    rows = [row for row in rows_of(last) if (row["label"], row["samples"]) in costs]
    if len({row["label"] for row in rows}) < 2:
        return None
    choices: list[Choice | None] = []
    for question in QUESTIONS:
        own = [row for row in by_column(rows, question.by) if row["variance"] > 0]
        asked = [row for row in own if question.takes(row)]
        choices.append(_cheapest_noise(asked, own, costs, relative_to) if asked else None)
    at = f"{SECONDS} ({setting})" if setting else SECONDS
    return Line(str(rows[0]["section"]), str(rows[0]["point"]), at, _draws(last), tuple(choices))


def _cheapest_noise(asked: Sequence[Row], own: Sequence[Row], costs: Costs, relative_to: str) -> Choice:
    def cost_of(row: Row) -> Cost:
        return costs[row["label"], row["samples"]]

    ranked = sorted(asked, key=lambda row: float(row["variance"]) * cost_of(row)[0])
    seconds, errors = zip(*map(cost_of, ranked), strict=True)
    first, *ties = may_be_lowest(ranked, seconds, errors)
    beside = max((row for row in own if row["is_reference"]), key=lambda row: row["draws"], default=None)
    shown = ""
    if beside is not None:
        (mine, my_error), (other, other_error) = cost_of(ranked[first]), cost_of(beside)
        clock = math.hypot(my_error, other_error)
        shown = _ratio(ranked[first], beside, _others(ranked, beside), (mine, other), clock)
        if len({row["label"] for row in own if row["is_reference"]}) > 1:
            relative_to = f"`{beside['label']}`"  # which of its numbers of samples
    names = named(ranked[first]) + not_told_apart([ranked[i] for i in ties])
    return _chosen(ranked, [first, *ties], names, f"{shown} of {relative_to}" if shown else "")


def _cheapest(time: pd.DataFrame) -> Iterator[tuple[str, Choice]]:
    """By problem, whose step takes the least time, as a multiple of a plain step of one evaluation of f."""
    usable = time[~time["busy"] & time["plain_ratio"].notna() & ~time["negative_control"]]
    for section, rows in usable.groupby("section", sort=False):
        ranked = sorted(rows_of(rows), key=lambda row: float(row["plain_ratio"]))
        if len(ranked) < 2:
            continue
        errors = [float(row["plain_ratio_log_se"]) for row in ranked]
        best = lowest([math.log(row["plain_ratio"]) for row in ranked], errors).best
        first, *ties = (ranked[i] for i in best)
        shown = f"{number(first['plain_ratio'])} plain steps"
        among = tuple(map(_at_any_budget, ranked))
        labels = tuple(map(_at_any_budget, (first, *ties)))
        yield str(section), Choice(named(first) + not_told_apart(ties), shown, "", labels, among)


def _remarks(rows: pd.DataFrame) -> Iterator[str]:
    """Who is left out, and why."""
    measured = rows[rows["measured"]]
    ranks = pd.concat([usable(section) for _, section in rows.groupby("section", sort=False)])
    others = ranks.groupby(["section", "budget"], dropna=False)["label"].transform("nunique")
    lacking = measured["variance_rare"] & ~measured["at_rounding"] & ~measured["negative_control"]
    for words, part in (
        ("Without noise at some points, and not ranked there", measured[measured["noiseless"]]),
        ("Negative controls, not ranked", measured[measured["negative_control"]]),
        (
            "With too few rare outcomes among the draws at some points, and not ranked beside exact ones there",
            measured[lacking & ~measured.index.isin(ranks.index)],
        ),
        ("Where no other spends as many evaluations of f, not compared at equal ones", ranks[others == 1]),
        (
            "Said nothing of what they need of f, and so not under the first question",
            measured[measured["needs"].isna()],
        ),
    ):
        if names := sorted({named(row) for row in rows_of(part)}):
            yield f"{words}: {', '.join(names)}."


def answers(summary: Summary) -> list[Answer]:
    """What to take, a family at a time, in the order of the tables; none where no variance was measured."""
    found: list[Answer] = []
    if summary.variance.empty:
        return found
    costs = _costs(summary)
    for family, rows in summary.variance.groupby(families(summary.variance), sort=False):
        lines: list[Line] = []
        for _, section in rows.groupby("section", sort=False):
            lines += _at_equal_evaluations(section, summary.relative_to)
            for setting, own in costs.get(str(section["problem"].iloc[0]), {}).items():
                if seconds := _at_equal_seconds(section, setting, own, summary.relative_to):
                    lines.append(seconds)
        timed = summary.time
        cheapest = [] if timed.empty else list(_cheapest(timed[families(timed) == family]))
        if lines or cheapest:
            found.append(Answer(str(family), lines, cheapest, list(_remarks(rows))))
    return found
