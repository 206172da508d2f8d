"""Every cell of a table measured and judged: one row a cell."""

import json
import time
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from bench.published import Number, Table, judge
from bench.statistics.interval import normal_quantile
from bench.studies.published import bits, descent, gaussians, polynomials, quadratics  # noqa: F401  (each measures)
from bench.studies.published.measure import Numbers, measure, scatter
from bench.studies.results import Row

COLUMNS = (
    "table", "cell", "quantity", "at", "published_as", "estimator", "protocol", "published", "published_error",
    "published_standard_error", "value", "low", "high", "n", "method", "difference", "reach", "matters", "verdict",
    "seconds", "remark",
)  # fmt: skip
"""Of the CSV file."""
QUANTILE = normal_quantile(0.95)


class Measured(NamedTuple):
    """What all cells of one protocol and estimator share."""

    ours: Numbers
    scatter: Mapping[str, float]
    seconds: float


def judged(name: str, table: Table) -> Iterator[Row]:
    """A row a cell, in their order; what several cells share is measured once."""
    done: dict[str, Measured] = {}
    for place, cell in enumerate(table.cells):
        key = table.hash_of(place)
        if key not in done:
            done[key] = measured(table, place)
        found = done[key]
        ours, published = found.ours[cell.quantity], table.number(place, found.scatter.get(cell.quantity))
        yield row(name, table, place, published, ours, found.seconds)


def measured(table: Table, place: int) -> Measured:
    """Our numbers for the cell of this index, and how far the published ones may be from the truth for their draws."""
    start, cell, protocol = time.perf_counter(), table.cells[place], table.protocol_of(place)
    label = table.estimators[cell.estimator]
    ours = measure(protocol, label)
    scattered: Mapping[str, float] = {}
    if cell.estimator in table.sampled and table.draws is not None:
        scattered = scatter(protocol, label, table.draws)
    return Measured(ours, scattered, time.perf_counter() - start)


def row(name: str, table: Table, place: int, published: Number, ours: Number, seconds: float) -> Row:
    """A cell, what was measured and what was made of it."""
    cell, matters = table.cells[place], table.matters.of(table.cells[place].value)
    found = judge(published, ours, matters)
    sampled = ours.standard_error or 0.0
    half = QUANTILE * sampled
    case = {
        "table": name,
        "cell": place + 1,
        "quantity": cell.quantity,
        "at": json.dumps(cell.at),
        "published_as": cell.estimator,
        "estimator": table.estimators[cell.estimator],
        "protocol": table.hash_of(place),
        "published": published.value,
        "published_error": published.error,
        "published_standard_error": published.standard_error,
        "method": "sampled" if sampled else "exact",
        "difference": found.difference,
        "reach": found.reach,
        "matters": matters,
        "verdict": found.verdict,
        "seconds": round(seconds, 3),
        "remark": cell.remark,
    }
    n = int(ours.n) if sampled else 1
    return Row(quantity=cell.quantity, case=case, value=ours.value, low=ours.value - half, high=ours.value + half, n=n)
