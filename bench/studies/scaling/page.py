"""The exponents as a table and a page: every number with its interval, method and n, and what is above its limit."""

from collections.abc import Iterator, Sequence
from typing import Any

from bench.report.text import interval, number, plural
from bench.studies import results
from bench.studies.results import Run
from bench.studies.scaling.fit import ABOVE_OVERHEAD, LIMITS, LOCAL_POINTS, MIN_POINTS, Series, series_of

COSTS = {"seconds": "time", "bytes": "memory"}

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


def _columns(one: Series) -> dict[str, str]:
    """A row of the table, by title."""
    first, last, found = one.points[0], one.points[-1], one.fit
    return {
        "factor": one.run.name,
        "subject": one.case["subject"],
        "cost": COSTS[one.quantity],
        "sizes": f"{first.case['size']} to {last.case['size']}",
        "exponent [95 %]": interval(*found.exponent),
        "fitted": f"{found.sizes[0]} to {found.sizes[-1]}{' *' * found.everything}",
        "n": str(len(found.sizes)),
        "local slope [95 %]": interval(*found.local),
        "rounds": str(last.n),
        "at the largest": f"{number(1e3 * last.value)} ms"
        if one.quantity == "seconds"
        else f"{number(last.value / 1e6)} MB",
        "grows": "linearly" if found.expected == "linear" else "not",
        "kept": found.kept,
    }


def markdown(table: Sequence[Series]) -> str:
    """The table, what was measured how, and what is above its limit."""
    columns = [_columns(one) for one in table]
    runs = {one.run.name: one.run for one in table}.values()
    return results.page(
        "How cost grows",
        f"{RULE} {LOCAL} {LIMIT} Made by `tox -e scaling`.",
        results.table(list(columns[0]), [list(row.values()) for row in columns], ("n", "rounds", "at the largest")),
        "## Above the limit",
        "\n".join(f"- {flag}" for flag in _above(table)) or "Nothing.",
        "## What was measured",
        "\n".join(f"- {line}" for run in runs for line in _about(run)),
    )


def _above(table: Sequence[Series]) -> Iterator[str]:
    """A sentence for each exponent, or else local slope, whose interval lies above its limit."""
    for one in table:
        name = f"{one.run.name}, {one.case['subject']}, {COSTS[one.quantity]}"
        last = one.points[-LOCAL_POINTS:]
        local = f"local slope {interval(*one.fit.local)} at {last[0].case['size']} to {last[-1].case['size']}"
        if one.fit.kept == "no" and one.fit.expected == "linear":
            yield f"{name}: exponent {interval(*one.fit.exponent)}, above {one.fit.limit:g}; {local}."
        elif one.fit.kept in ("no", "late"):
            yield f"{name}: {local}, above {one.fit.limit:g}."


def _about(run: Run) -> Iterator[str]:
    """A factor's method and machine, and then what each group of subjects holds fixed."""
    threads = " or ".join(plural(count, "thread") for count in sorted({row.case["threads"] for row in run.rows}))
    yield f"{run.name}: {run.about['method']}; {threads}; {results.made_on(run.provenance)}."
    yield from (f"{run.name}, {line}" for line in _settings([case for case, _ in series_of(run)]))


def _settings(cases: Sequence[dict[str, Any]]) -> Iterator[str]:
    """What each group of subjects holds fixed."""
    for setting in dict.fromkeys(case["setting"] for case in cases):
        subjects = dict.fromkeys(case["subject"] for case in cases if case["setting"] == setting)
        yield f"{'; '.join(subjects)}: {setting}."


def caption(chosen: Sequence[Series]) -> str:
    """What the figure of one factor and quantity shows, with intervals, method and n."""
    first, run = chosen[0], chosen[0].run
    counts = " or ".join(map(str, sorted({len(one.fit.sizes) for one in chosen})))
    what, rounds = ("Time", "rounds") if first.quantity == "seconds" else ("Peak memory", "processes")
    starred = "; * over all sizes, since few lie above the overhead" if any(o.fit.everything for o in chosen) else ""
    return " ".join([
        f"{what} against {run.about['unit']}. Markers and bars: median and interquartile range, n = "
        f"{first.points[0].n} {rounds}. Lines: the fitted power law, over the sizes it was fitted to; in the key its "
        f"exponent with Student's 95 % interval, n = {counts} sizes{starred}. Dotted: growth in proportion.",
        RULE,
        *_settings([case for case, _ in series_of(run)]),
        f"{plural(first.case['threads'], 'thread')}, {run.provenance['cpu']}; {run.about['method']}.",
    ])  # fmt: skip


def csv(table: Sequence[Series]) -> str:
    """One row a series, numbers in full."""
    return results.csv([_plain(one) for one in table])


def _plain(one: Series) -> dict[str, Any]:
    found = one.fit
    return {
        "factor": one.run.name,
        "subject": one.case["subject"],
        "quantity": one.quantity,
        "setting": one.case["setting"],
        "threads": one.case["threads"],
        "sizes": " ".join(str(point.case["size"]) for point in one.points),
        **dict(zip(("exponent", "exponent_low", "exponent_high"), found.exponent, strict=True)),
        **dict(zip(("local_slope", "local_slope_low", "local_slope_high"), found.local, strict=True)),
        "fitted_from": found.sizes[0],
        "fitted_to": found.sizes[-1],
        "n": len(found.sizes),
        "all_fitted": found.everything,
        "rounds": one.points[-1].n,
        "largest_median": one.points[-1].value,
        "expected": found.expected,
        "limit": found.limit,
        "kept": found.kept,
    }
