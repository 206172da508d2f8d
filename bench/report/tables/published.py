"""Published bounds beside those of trainings of the same protocol, with a verdict.

A published number and ours are judged (`bench.published.judge`) where both are of all its steps, of its learning rate,
or of the best of all its rates, and of seeds that tell a spread; else nobody can tell at this budget.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bench.published import CANNOT_TELL, LEVEL, Number, judge
from bench.published.trained import SPREADS, Beside, TrainedTable, published, same_rate
from bench.report.frames import Frames
from bench.report.sweeps import known, sweeps
from bench.report.tables.elbo import mean, rate_words
from bench.report.tables.view import (
    ESTIMATOR,
    Column,
    Row,
    Table,
    csv_columns,
    note,
    rows_of,
    table,
    with_ends,
    with_interval,
)
from bench.report.text import count, number, percent, plural
from bench.statistics.sweep import best_rate

CSV = csv_columns(
    "protocol", "table", "source", "place", "published_as", "quantity", "published", "published_spread", "spread_is",
    "published_seeds", "published_rate", "published_steps", "published_standard_error", *with_ends("ours"),
    "learning_rate", "rates", "steps", "seeds", "diverged", "difference", "reach", "matters", "verdict", "why",
)  # fmt: skip
BOUNDS = {"train_elbo": "train ELBO", "test_elbo": "test ELBO", "test_iwae": "test IWAE"}


def build(frames: Frames) -> pd.DataFrame:
    """One row a published number and sweep of its protocol; none where no training is of a published one."""
    finals = frames.finals
    beside = published([protocol for protocol in finals.get("protocol", ()) if protocol])
    rows = []
    for sweep in sweeps(rows_of(finals)) if beside else ():
        cells = {rate: known(seeds) for rate, seeds in sweep.cells.items() if known(seeds)}
        for protocol in dict.fromkeys(str(seeds[0]["protocol"]) for seeds in cells.values()):
            own = {rate: seeds for rate, seeds in cells.items() if seeds[0]["protocol"] == protocol}
            for one in beside.get(protocol, ()):
                # A longer training says nothing of a shorter one's end.
                if within := {rate: seeds for rate, seeds in own.items() if seeds[0]["steps"] <= one.of.steps}:
                    rows.append(_row(one, within, frames.curves))
    return pd.DataFrame(rows) if rows else finals.reindex(columns=["section", *CSV])[:0]


def _bounds(of: TrainedTable, seeds: Sequence[Row], curves: pd.DataFrame) -> list[float]:
    """The number of each seed that a table's stand beside; NaN where it diverged or has none."""
    if of.best:
        curve = curves[curves["cell"] == seeds[0]["cell"]]
        highest = curve.groupby("seed")[of.bound].max().to_dict()
        return [math.nan if seed["diverged"] else highest.get(seed["seed"], math.nan) for seed in seeds]
    return [math.nan if seed["diverged"] else seed[of.bound] for seed in seeds]


def _row(one: Beside, cells: dict[float, list[Row]], curves: pd.DataFrame) -> dict[str, Any]:
    """A published number and ours, at its learning rate or, where that was not run or is not known, at our best."""
    found = {rate: _bounds(one.of, seeds, curves) for rate, seeds in cells.items()}
    same = [rate for rate in cells if one.cell.rate is not None and same_rate(rate, one.cell.rate)]
    if one.cell.rate is None:  # the best of more rates than theirs would be another number
        tried = {rate: ends for rate, ends in found.items() if any(same_rate(rate, other) for other in one.of.rates)}
        best = best_rate(tried or found)
    else:
        best = best_rate(found)
    rate = (same or [next(iter(cells)) if best is None else best])[0]
    first, values = cells[rate][0], [value for value in found[rate] if math.isfinite(value)]
    theirs, source, of = one.of.number(one.cell), one.of.source, one.of
    matters = of.matters.of(one.cell.value)
    row = {
        **first,
        "table": one.table,
        "source": f"{source.authors}, {source.venue}",
        "place": source.place,
        "published_as": one.cell.estimator,
        "quantity": f"best {BOUNDS[of.bound]}" if of.best else BOUNDS[of.bound],
        "published": theirs.value,
        "published_spread": math.nan if one.cell.spread is None else one.cell.spread,
        "published_error": theirs.error,
        "spread_is": of.spread,
        "published_seeds": math.nan if of.seeds is None else float(of.seeds),
        "published_rate": math.nan if one.cell.rate is None else one.cell.rate,
        "published_steps": float(of.steps),
        "published_standard_error": math.nan if theirs.standard_error is None else theirs.standard_error,
        **mean("ours", values),
        "rates": len(cells),
        "seeds": len(found[rate]),
        "diverged": len(found[rate]) - len(values),
        "difference": math.nan,
        "reach": math.nan,
        "matters": matters,
        "verdict": CANNOT_TELL,
        "measured": bool(values),
    }
    reasons = list(_reasons(one, row, list(cells), bool(same)))
    if values:
        error = float(np.std(values, ddof=1) / math.sqrt(len(values))) if len(values) > 1 else None
        judged = judge(theirs, Number(row["ours"], 0.0, error, len(values)), matters)
        row |= {"difference": judged.difference}
        if not reasons:
            row |= {"verdict": judged.verdict, "reach": judged.reach}
            if judged.verdict == CANNOT_TELL:
                reasons.append(f"equal numbers may be {number(judged.reach)} apart, and {matters:g} would matter")
    return {**row, "why": "; ".join(reasons)}


def _reasons(one: Beside, row: Row, rates: Sequence[float], same: bool) -> Iterator[str]:
    """Why nobody can tell, whatever the numbers are."""
    share = row["steps"] / one.of.steps
    if share < 1:
        yield f"{percent(share)} of the published steps"
    grid = one.of.rates
    tried = sum(any(same_rate(rate, other) for other in rates) for rate in grid)
    if one.cell.rate is not None and not same:
        yield f"published at learning rate {rate_words(one.cell.rate)}, which was not run"
    elif one.cell.rate is None and tried < len(grid):
        yield f"{tried} of {plural(len(grid), 'published learning rate')} run"
    if row["diverged"]:
        yield f"{plural(row['diverged'], 'seed')} diverged"
    if row["seeds"] == 1:
        yield "one seed shows no spread"
    if one.cell.spread is None:
        yield "the source gives no spread"


def _published(row: Row) -> str:
    """As precisely as it was published, with its spread."""
    decimals = max(0, round(-math.log10(2 * row["published_error"]))) if row["published_error"] else 2
    spread = row["published_spread"]
    told = "" if math.isnan(spread) else f" ± {spread:.{decimals}f} {SPREADS[row['spread_is']]}"
    return f"{row['published']:.{decimals}f}{told}"


def _steps(row: Row) -> str:
    return f"{count(row['steps'])} of {count(row['published_steps'])}"


def _seeds(row: Row) -> str:
    theirs = "" if math.isnan(row["published_seeds"]) else f", published {count(row['published_seeds'])}"
    ended = f"{row['seeds'] - row['diverged']} of " if row["diverged"] else ""
    return f"{ended}{row['seeds']}{theirs}"


def _difference(row: Row) -> str:
    return "" if math.isnan(row["difference"]) else f"{row['difference']:+.2f}"


BRIEF = ("estimator", "source", "quantity", "published", "ours", "steps", "seeds", "verdict")


def make(frame: pd.DataFrame) -> Table:
    """The printed table."""
    shown = set(frame["table"])
    every = (one for several in published(list(frame["protocol"])).values() for one in several)
    tables = {one.table: one.of for one in every if one.table in shown}
    said = [
        f"{of.source.authors}, {of.source.venue}: {of.source.paper}; {of.source.place}. {' '.join(of.remarks)}".strip()
        for _, of in sorted(tables.items())
    ]
    caption = (
        "Bounds in nats that papers give, beside those of trainings of the same protocol. The protocol is all but how "
        "many steps, at which learning rate, by how many seeds and on what machine; a hash stands for it. Ours: mean "
        "over seeds at the published learning rate, or at our best one where that was not run or is not known, with "
        "its 95 % Student-t interval; sd and se are the standard deviation and error that the source gives. Agrees, "
        f"differs: by Welch's t at {100 * LEVEL:g} %, with the error of rounding; and they agree only where equal ones "
        "cannot be further apart than would matter. Nobody can tell of fewer steps than the published, which the rates "
        "of a schedule are spread over too, of another learning rate, where a seed diverged, and where either side "
        f"shows no spread. A longer training stands beside none. {' '.join(said)} † declared biased."
    )
    columns = (
        ESTIMATOR,
        Column("source", lambda row: str(row["source"]), left=True, name="source"),
        Column("as published", lambda row: str(row["published_as"]), left=True, name="published_as"),
        Column("bound", lambda row: str(row["quantity"]), left=True, name="quantity"),
        Column("published", _published, name="published"),
        Column("ours", with_interval("ours"), name="ours"),
        Column("difference", _difference, name="difference"),
        Column("learning rate", lambda row: rate_words(row["learning_rate"]), name="learning_rate"),
        Column("steps", _steps, left=True, name="steps", order="steps"),
        Column("seeds", _seeds, left=True, name="seeds", order="seeds"),
        Column("verdict", lambda row: str(row["verdict"]), left=True, name="verdict"),
        Column("note", lambda row: note(row, str(row["why"])), left=True, name="why"),
    )
    return table("published", "Published bounds", caption, columns, frame, CSV, BRIEF)
