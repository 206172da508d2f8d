"""What two runs side by side come to: which comparisons changed, how, and what to doubt, in sentences and counts."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bench.report.compare.quantities import Row
from bench.report.compare.runs import Comparison
from bench.report.compare.significance import LEVEL, corrected, p_value
from bench.report.text import interval, number, plural
from bench.statistics import Interval, mean_interval

SENSES = {
    "time": ("slower", "faster"),
    "moments": ("higher-variance", "lower-variance"),
    "train": ("higher-elbo", "lower-elbo"),
}
"""What a number that rose and one that fell mean, by the kind of a cell."""
OTHER, SAME, OPEN, UNTESTED = "other-numbers", "identical", "not-told-apart", "untested"
CHANGED = (*(sense for pair in SENSES.values() for sense in pair), OTHER)
FAILS = ("changed", "missing", *CHANGED)
"""What `gradest compare --fail-on` takes: any change, a cell that went well in A alone, or one sort of change."""
RULE = (
    f"changed: p < {LEVEL:g} after Holm's correction over all that was drawn or timed independently ({{tests}} tests); "
    "what is exact, and other numbers from the same draws, needs no test; steps together: geometric mean over cells, "
    "Student's interval"
)
NAMED = 5
"""Comparisons or cells that a sentence names at most."""
FEWEST = 3
"""Step times that are looked at together at least."""


class Judged(NamedTuple):
    """A comparison and what it comes to."""

    row: Row
    outcome: str
    corrected: float
    """Its p-value after Holm's correction; NaN where it is not tested."""

    @property
    def changed(self) -> bool:
        """Whether it is no mere chance."""
        return self.outcome in CHANGED

    @property
    def numbers(self) -> str:
        """The estimate with its interval."""
        row = self.row
        if math.isnan(row.low) and self.outcome != UNTESTED:  # exact, or of the same draws: there is none to give
            return number(row.estimate)
        return interval(row.estimate, row.low, row.high)

    @property
    def place(self) -> str:
        """What was compared, where."""
        words = {"moments": "", "train": ", learning rate "}.get(self.row.kind)
        at = "" if self.row.point is None or words is None else f"{words or ' at '}{self.row.point:g}"
        return f"{self.row.estimator} on {self.row.problem}{at}"


class Verdict(NamedTuple):
    """All comparisons, the most significant change first, and the steps of all cells as one."""

    judged: list[Judged]
    together: list[Judged]
    comparison: Comparison

    @property
    def counts(self) -> Counter[str]:
        """Comparisons by outcome."""
        return Counter(one.outcome for one in self.judged)

    def fails(self, asked: Sequence[str]) -> list[str]:
        """Those of `FAILS` that were asked for and are there."""
        found = {one.outcome for one in (*self.judged, *self.together)}
        found |= {"changed"} if found & set(CHANGED) else set()
        found |= {"missing"} if self.comparison.alone[0] else set()
        return [name for name in asked if name in found]

    def sentence(self) -> str:
        """The verdict in a line."""
        counts = self.counts
        timed = any(one.row.kind == "time" for one in self.judged)
        shown = [name for name in CHANGED if counts[name] or (timed and name in SENSES["time"])]
        parts = [f"{counts[name]} {name.replace('-', ' ')}" for name in shown]
        others = {SAME: "identical", OPEN: "not told apart", UNTESTED: "untested for want of an interval"}
        rest = [f"{counts[name]} {words}" for name, words in others.items() if counts[name]]
        total = sum(counts[name] for name in CHANGED)
        head = f"{total} of {len(self.judged)} changed"
        # A uniform change shows in all steps together alone, and whoever reads one line only is to see it there.
        whole = [f"; {one.row.estimator} {one.outcome}" for one in self.together if one.changed]
        found = ": ".join(filter(None, (head, ", ".join(parts))))
        return f"{found}; {', '.join(rest) or 'nothing else'}{''.join(whole)}."

    def lines(self) -> list[str]:
        """The verdict, what changed by how much, what to doubt, and the rule, a line each."""
        return [self.sentence(), *self._named(), *self._whole(), *self._by_chance(), *self._doubts(), *self._missing(),
                self.rule()]  # fmt: skip

    def rule(self) -> str:
        """When a comparison is said to have changed."""
        tests = sum(not math.isnan(one.corrected) for one in (*self.judged, *self.together))
        return RULE.format(tests=tests)

    def _named(self) -> list[str]:
        found = []
        for sense in CHANGED[:-1]:
            ones = [f"{one.place}: {one.numbers}" for one in self.judged if one.outcome == sense]
            if ones:
                found.append(f"{sense.replace('-', ' ')}: {_some(ones, '; ')}")
        return found

    def _whole(self) -> list[str]:
        if not any(one.row.kind == "time" for one in self.judged):
            return ["no step was timed in both runs: whether any is slower is not known"]
        said = {OPEN: "not told apart", UNTESTED: "no interval"}
        return [
            f"{one.row.estimator}: {one.numbers} times A's, {said.get(one.outcome, one.outcome)}"
            for one in self.together
        ]

    def _by_chance(self) -> list[str]:
        tested = [one for one in self.judged if not math.isnan(one.corrected)]
        beside = sum(one.row.p_value < LEVEL for one in tested if not one.changed)
        if not beside:
            return []
        expected = number(LEVEL * len(tested), 2)
        one = beside == 1
        return [
            f"{beside} not told apart {'has' if one else 'have'} a 95 % interval that leaves out no change: of "
            f"{len(tested)} some {expected} do by chance"
        ]

    def _doubts(self) -> list[str]:
        times = [one for one in self.judged if one.row.kind == "time"]
        doubts = Counter(doubt for one in times for doubt in one.row.doubts)
        differ = sorted({found.kind for found in self.comparison.settings})
        settings = (
            [f"doubt {' and '.join(differ)}: their settings differ (below), and may be what changed"] if differ else []
        )
        return [*self.comparison.doubts, *settings] + [
            f"doubt {count} of {plural(len(times), 'step time')}: {doubt}" for doubt, count in doubts.items()
        ]

    def _missing(self) -> list[str]:
        both = zip(self.comparison.alone, self.comparison.names, strict=True)
        return [
            f"{plural(len(titles), 'cell')} went well in {name} alone: {_some(titles, '; ')}"
            for titles, name in both
            if titles
        ]


def judge(comparison: Comparison) -> Verdict:
    """The verdict on two runs."""
    rows = comparison.rows
    together = _together(rows)
    tests = [math.nan if row.likeness in ("equal", "exact") else row.p_value for row in rows]
    holm = corrected([*tests, *(row.p_value for row in together)])
    judged = [Judged(row, _outcome(row, p), p) for row, p in zip(rows, holm[: len(rows)], strict=True)]
    whole = [Judged(row, _outcome(row, p), p) for row, p in zip(together, holm[len(rows) :], strict=True)]
    return Verdict(sorted(judged, key=_significance), whole, comparison)


def _outcome(row: Row, p: float) -> str:
    if row.likeness == "equal":
        return SAME
    if row.likeness == "exact" or p < LEVEL:
        rose, fell = SENSES[row.kind]
        return fell if row.estimate < row.nothing else rose
    if row.likeness == "other numbers":
        return OTHER
    return UNTESTED if math.isnan(p) else OPEN


def _significance(one: Judged) -> tuple[int, float, float]:
    """The most significant first: exact changes, then by p-value, then the larger ones."""
    row = one.row
    rank = 0 if one.outcome in CHANGED[:-1] else [OTHER, OPEN, UNTESTED, SAME].index(one.outcome) + 1
    size = abs(row.estimate if row.nothing == 0 else math.log(row.estimate) if row.estimate > 0 else math.inf)
    p = 0.0 if row.likeness == "exact" else row.p_value
    return rank, 2.0 if math.isnan(p) else p, -size if not math.isnan(size) else 0.0


def _together(rows: Sequence[Row]) -> list[Row]:
    """All steps beside one unit as one: a change of a few per cent in each shows here, and in none of them alone."""
    found = []
    for quantity in dict.fromkeys(row.quantity for row in rows if row.kind == "time"):
        logs = np.log([row.estimate for row in rows if row.quantity == quantity and row.estimate > 0])
        if len(logs) >= FEWEST:
            ratio = Interval(*map(math.exp, mean_interval(logs)))
            words = f"all {len(logs)} steps together{quantity.removeprefix('step time B/A')}"
            p = p_value(ratio, 1, len(logs) - 1)
            found.append(Row("", words, quantity, None, *ratio, "", p_value=p, kind="time"))
    return found


def _some(words: Sequence[str], between: str) -> str:
    """The first of them, and how many more."""
    more = len(words) - NAMED
    return between.join(words[:NAMED]) + (f"{between}and {more} more" if more > 0 else "")
