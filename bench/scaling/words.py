"""What the table and the captions say: the rule, the limits, what was measured, what is above its limit."""

from collections.abc import Iterator, Sequence

from bench.report.text import interval, number, plural
from bench.scaling.fit import ABOVE_OVERHEAD, LIMITS, LOCAL_POINTS, MIN_POINTS, Row
from bench.scaling.records import FactorRecord, Quantity

QUANTITIES: dict[Quantity, str] = {"seconds": "time", "bytes": "memory"}

RULE = (
    f"Exponent: slope of log median cost against log size, least squares with Student's 95 % interval (n - 2 degrees "
    f"of freedom) over the n sizes whose cost is at least {ABOVE_OVERHEAD:g} times that of the smallest, where the "
    f"constant overhead hides little of the growth; with fewer than {MIN_POINTS} of these over all sizes, marked *."
)
LOCAL = (
    f"Local slope: the same over the {LOCAL_POINTS} largest sizes, for each round by itself; median over the rounds "
    "with its distribution-free 95 % interval, which for fewer than six rounds is their range."
)
LIMIT = (
    f"Limits: {LIMITS['linear']:g} for the exponent of work that grows in proportion to the size, "
    f"{LIMITS['constant']:g} for the local slope of what must not grow, which may rise to its bound. Kept: yes where "
    "the interval ends below its limit, no where it lies above, late where that of the exponent does not and that of "
    "the local slope does, open where it holds the limit."
)


def amount(cost: float, quantity: Quantity) -> str:
    """A cost with its unit: milliseconds or megabytes."""
    return f"{number(1e3 * cost)} ms" if quantity == "seconds" else f"{number(cost / 1e6)} MB"


def flags(table: Sequence[Row]) -> Iterator[str]:
    """A sentence for each exponent, or else local slope, whose interval lies above its limit."""
    for row in table:
        name = f"{row.record.factor}, {row.series.subject}, {QUANTITIES[row.series.quantity]}"
        last = row.series.points[-LOCAL_POINTS:]
        local = f"local slope {interval(*row.fit.local)} at {last[0].size} to {last[-1].size}"
        if row.fit.kept == "no" and row.fit.expected == "linear":
            yield f"{name}: exponent {interval(*row.fit.exponent)}, above {row.fit.limit:g}; {local}."
        elif row.fit.kept in ("no", "late"):
            yield f"{name}: {local}, above {row.fit.limit:g}."


def about(record: FactorRecord) -> Iterator[str]:
    """A factor's method and machine, and then what each group of subjects holds fixed."""
    made = record.provenance
    threads = " or ".join(plural(count, "thread") for count in sorted({series.threads for series in record.series}))
    yield (
        f"{record.factor}: {record.method}; {threads}; gradest {made['gradest']}, torch {made['torch']}, "
        f"{made['cpu']}, {plural(made['cores'], 'core')}, load {made['load'][0]:.1f} at the start."
    )
    yield from (f"{record.factor}, {line}" for line in settings(record))


def settings(record: FactorRecord) -> Iterator[str]:
    """What each group of subjects holds fixed."""
    groups: dict[str, list[str]] = {}
    for series in record.series:
        groups.setdefault(series.setting, []).append(series.subject)
    for setting, subjects in groups.items():
        yield f"{'; '.join(dict.fromkeys(subjects))}: {setting}."


def caption(chosen: Sequence[Row]) -> str:
    """What a figure shows, with intervals, method and n."""
    record, series = chosen[0].record, chosen[0].series
    counts = " or ".join(map(str, sorted({len(row.fit.sizes) for row in chosen})))
    what, rounds = ("Time", "rounds") if series.quantity == "seconds" else ("Peak memory", "processes")
    starred = "; * over all sizes, since few lie above the overhead" if any(r.fit.everything for r in chosen) else ""
    return " ".join([
        f"{what} against {record.unit}. Markers and bars: median and interquartile range, n = {series.points[0].n} "
        f"{rounds}. Lines: the fitted power law, over the sizes it was fitted to; in the key its exponent with "
        f"Student's 95 % interval, n = {counts} sizes{starred}. Dotted: growth in proportion.",
        RULE,
        *settings(record),
        f"{plural(series.threads, 'thread')}, {record.provenance['cpu']}; {record.method}.",
    ])  # fmt: skip
