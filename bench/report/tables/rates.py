"""Final test ELBO of every estimator at every learning rate that it was trained with."""

from typing import Any

import pandas as pd

from bench.report.frames import Frames
from bench.report.sweeps import Sweep, known, sweeps
from bench.report.tables.elbo import alone_words, mean, rate_words, rows_evaluated, seed_words
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

CSV = csv_columns("learning_rate", *with_ends("test_elbo"), "seeds", "diverged", "best", "at_edge", "judges")


def _rows(sweep: Sweep) -> list[dict[str, Any]]:
    """A row a rate."""
    judges = [str(seed["cell"]) for seed in known(sweep.judged())]
    found = []
    for rate, rows in sweep.cells.items():
        seeds = known(rows)
        ended = [seed for seed in seeds if not seed["diverged"]]
        best = sweep.best == rate and bool(ended)
        row = {**rows[0], "seeds": len(seeds), "diverged": len(seeds) - len(ended), "best": best}
        row |= {"at_edge": best and sweep.at_edge, "judges": judges.count(str(rows[0]["cell"]))}
        found.append({**row, **mean("test_elbo", (seed["test_elbo"] for seed in ended))})
    return found


def build(frames: Frames) -> pd.DataFrame:
    """One row a cell of an estimator that was trained with several rates."""
    found = [sweep for sweep in sweeps(rows_of(frames.finals)) if sweep.swept]
    if not found:
        return frames.finals.reindex(columns=["section", *CSV])[:0]
    built = pd.DataFrame([row for sweep in found for row in _rows(sweep)])
    return built.assign(measured=built["test_elbo"].notna())


def _seeds(row: Row) -> str:
    return f"{row['seeds']}" + (f", {row['diverged']} diverged" if row["diverged"] else "") if row["seeds"] else ""


def _best(row: Row) -> str:
    if not row["best"]:
        return ""
    return "best, at the edge" if row["at_edge"] else "best"


def make(frame: pd.DataFrame) -> Table:
    """The printed table."""
    caption = (
        "Test ELBO in nats at the end of training with each learning rate, mean over seeds with its 95 % Student-t "
        "interval; diverged seeds are counted and left out of it. "
        f"{rows_evaluated(frame)} Best: the highest mean among the rates at which the fewest seeds diverged; it lies "
        "at the edge where no lower or no higher rate was run. Judged: seeds for which the other seeds choose this "
        f"rate, at which the table of ELBOs takes them.{alone_words(frame['seeds'])} {seed_words(frame['seeds'])} † "
        "declared biased."
    )
    columns = (
        ESTIMATOR,
        Column("learning rate", lambda row: rate_words(row["learning_rate"]), name="learning_rate"),
        Column("test ELBO", with_interval("test_elbo"), name="test_elbo"),
        Column("", _best, left=True, name="best"),
        Column("judged", lambda row: f"{row['judges']}" if row["judges"] else "", name="judges"),
        Column("seeds", _seeds, left=True, name="seeds", order="seeds"),
        Column("note", note, left=True),
    )
    return table("rates", "Learning rates", caption, columns, frame, CSV)
