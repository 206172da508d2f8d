"""The exponents as a table: every number with its interval, method and n."""

from typing import Any

import pandas as pd

from bench.report.tables.render import pipe
from bench.report.text import interval
from bench.scaling.fit import Row, rows
from bench.scaling.records import Scaling
from bench.scaling.words import LIMIT, LOCAL, QUANTITIES, RULE, about, amount, flags

TITLES = (
    "factor", "subject", "cost", "sizes", "exponent [95 %]", "fitted", "n", "local slope [95 %]", "rounds",
    "at the largest", "grows", "kept",
)  # fmt: skip


def _cells(row: Row) -> list[str]:
    points, found = row.series.points, row.fit
    return [
        row.record.factor,
        row.series.subject,
        QUANTITIES[row.series.quantity],
        f"{points[0].size} to {points[-1].size}",
        interval(*found.exponent),
        f"{found.sizes[0]} to {found.sizes[-1]}{' *' * found.everything}",
        str(len(found.sizes)),
        interval(*found.local),
        str(points[-1].n),
        amount(points[-1].median, row.series.quantity),
        "linearly" if row.series.expected == "linear" else "not",
        found.kept,
    ]


def as_markdown(scaling: Scaling) -> str:
    """The table, what was measured how, and what is above its limit."""
    table = rows(scaling)
    left = [title not in ("n", "rounds", "at the largest") for title in TITLES]
    return "\n".join([
        "# How cost grows",
        "",
        f"{RULE} {LOCAL} {LIMIT} Made by `tox -e scaling`.",
        "",
        *pipe(TITLES, [_cells(row) for row in table], left),
        "",
        "## Above the limit",
        "",
        *([f"- {flag}" for flag in flags(table)] or ["Nothing."]),
        "",
        "## What was measured",
        "",
        *(f"- {line}" for record in scaling.factors for line in about(record)),
        "",
    ])  # fmt: skip


def tidy(row: Row) -> dict[str, Any]:
    """A row of the CSV, at full precision."""
    points, found = row.series.points, row.fit
    ends = {
        f"{name}{end}": value
        for name, slope in (("exponent", found.exponent), ("local_slope", found.local))
        for end, value in zip(("", "_low", "_high"), slope, strict=True)
    }
    return {
        "factor": row.record.factor,
        "subject": row.series.subject,
        "quantity": row.series.quantity,
        "setting": row.series.setting,
        "threads": row.series.threads,
        "sizes": " ".join(str(point.size) for point in points),
        **ends,
        "fitted_from": found.sizes[0],
        "fitted_to": found.sizes[-1],
        "n": len(found.sizes),
        "all_fitted": found.everything,
        "rounds": points[-1].n,
        "largest_median": points[-1].median,
        "expected": row.series.expected,
        "limit": found.limit,
        "kept": found.kept,
    }


def as_csv(scaling: Scaling) -> str:
    """One row a series."""
    return pd.DataFrame([tidy(row) for row in rows(scaling)]).to_csv(index=False, lineterminator="\n")
