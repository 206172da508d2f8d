"""Final ELBO of every estimator over seeds, and its paired difference to the reference estimator's."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

import pandas as pd

from bench.report.frames import Frames
from bench.report.tables.view import (
    ESTIMATOR,
    UNBIASED,
    Column,
    Row,
    Table,
    csv_columns,
    ends,
    note,
    rows_of,
    table,
    with_ends,
    with_interval,
)
from bench.report.text import count, interval, number, plural, span
from bench.statistics import mean_interval

_MEANS = ("train_elbo", "test_elbo", "test_iwae", "difference", "gap")
CSV = csv_columns(
    "steps", "rows_per_step", "train_rows", "test_rows", *with_ends(*_MEANS), "pairs", "iwae_samples",
    "seeds", "diverged", "train_seconds", "parameters",
)  # fmt: skip


def _mean(name: str, values: Iterable[float]) -> dict[str, float]:
    finite = [value for value in values if math.isfinite(value)]
    mean = tuple(mean_interval(finite)) if finite else (math.nan,) * 3
    return dict(zip(ends(name), mean, strict=True))


def _row(seeds: Sequence[Row], reference: Mapping[float, float]) -> dict[str, Any]:
    """A train cell's row from those of its seeds; diverged seeds are counted and left out of every mean."""
    known = [seed for seed in seeds if not math.isnan(seed["seed"])]
    ended = [seed for seed in known if not seed["diverged"]]
    row = {**seeds[0], "seeds": len(known), "diverged": len(known) - len(ended)}
    for name in ("train_elbo", "test_elbo", "test_iwae"):
        row |= _mean(name, (seed[name] for seed in ended))
    row |= _mean("gap", (seed["train_elbo"] - seed["test_elbo"] for seed in ended))
    pairs = [seed["test_elbo"] - reference[seed["seed"]] for seed in ended if seed["seed"] in reference]
    return {**row, **_mean("difference", pairs), "pairs": len(pairs)}


def _references(seeds: Sequence[Row]) -> dict[str, dict[float, float]]:
    """Test ELBO of each ended seed of a section's reference: of the cell with most of them, if trained twice."""
    of_cells: dict[str, dict[str, dict[float, float]]] = defaultdict(lambda: defaultdict(dict))
    for seed in seeds:
        if seed["is_reference"] and not seed["diverged"]:
            of_cells[seed["section"]][str(seed["cell"])][seed["seed"]] = seed["test_elbo"]
    # Of equally many the first id, whatever the order of the records.
    return {
        section: max(sorted(cells.items()), key=lambda cell: len(cell[1]))[1] for section, cells in of_cells.items()
    }


def build(frames: Frames) -> pd.DataFrame:
    """One row a train cell."""
    if frames.finals.empty:
        return frames.finals.reindex(columns=["section", *CSV])
    seeds = rows_of(frames.finals)
    references = _references(seeds)
    cells = (list(members) for _, members in groupby(seeds, key=lambda seed: str(seed["cell"])))
    built = pd.DataFrame([_row(members, references.get(members[0]["section"], {})) for members in cells])
    return built.assign(measured=built["test_elbo"].notna())


def _difference(row: Row) -> str:
    if row["is_reference"] and row["difference"] == 0:
        return "0 (reference)"
    return interval(row["difference"], row["difference_low"], row["difference_high"])


def _seeds(row: Row) -> str:
    if not row["diverged"]:
        return f"{row['seeds']}" if row["seeds"] else ""
    return f"{row['seeds'] - row['diverged']} of {row['seeds']}, {row['diverged']} diverged"


def rows_evaluated(frame: pd.DataFrame) -> str:
    """Which rows the ELBOs are of, in a sentence."""
    if frame["train_rows"].isna().all():  # of an earlier release
        return "Train ELBO: of the first evaluation_rows rows; test ELBO: of the whole test set."
    train, test = (span(*frame[name].agg(["min", "max"])) for name in ("train_rows", "test_rows"))
    return (
        f"ELBO of {train} training and {test} test rows, drawn at random once for all estimators and seeds, with as "
        "many draws of z a row for both."
    )


def make(frame: pd.DataFrame, relative_to: str) -> Table:
    """The printed table."""
    samples = sorted({int(k) for k in frame["iwae_samples"].dropna()})
    k = "/".join(str(count) for count in samples) or "K"
    counts = sorted({int(n) for n in frame["seeds"].dropna()} - {0})
    few = " Fewer than 5 seeds: read the intervals with care." if counts and counts[0] < 5 else ""
    caption = (
        "Bounds in nats at the end of training, mean over seeds with its 95 % Student-t interval. "
        f"{rows_evaluated(frame)} The IWAE bound is of the whole test set, with {k} samples. Test ELBO minus "
        f"{relative_to}'s: paired by seed, which fixes initialisation and data order for all estimators alike. Gap: "
        "train minus test ELBO. Seconds: training all seeds of the cell together, evaluation excluded. Diverged "
        "seeds are counted and left out of the means. "
        f"Seeds: {' or '.join(plural(n, 'seed') for n in counts) or 'none'}.{few} † declared biased."
    )
    columns = (
        ESTIMATOR,
        UNBIASED,
        Column("steps", lambda row: count(row["steps"])),
        Column("train ELBO", with_interval("train_elbo")),
        Column("test ELBO", with_interval("test_elbo")),
        Column(f"test IWAE-{k}", with_interval("test_iwae")),
        Column(f"test ELBO - {relative_to}", _difference),
        Column("gap", with_interval("gap")),
        Column("seconds", lambda row: number(row["train_seconds"])),
        Column("seeds", _seeds, left=True),
        Column("note", note, left=True),
    )
    return table("elbo", "ELBO", caption, columns, frame, CSV)
