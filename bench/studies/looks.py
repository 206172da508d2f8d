"""The table of how estimators look in figures, made from the registry.

    python -m bench.studies.looks bench/report/looks.csv

A report reads records alone, without torch, and so this table for the registry. Who stands in it keeps the place: those
that are new, and options that a tag newly names, come after the others of their family of methods.
"""

import csv
import io
import sys
from collections.abc import Sequence
from pathlib import Path

import estimators
from bench.report.naming import without_samples
from bench.report.style import COLUMNS
from bench.run.files import write_atomic
from estimators.entry import Entry
from estimators.labels import label_of

Row = dict[str, str]


def labels(entries: Sequence[Entry]) -> dict[str, Entry]:
    """All estimators, and after them the options that their tags name, as `name[key=value,...]` without samples."""
    found = {entry.name: entry for entry in entries}
    named = [(without_samples(label_of(entry.name, options)), entry) for entry in entries for options in entry.variants]
    return {**found, **dict(named)}


def made(before: str, entries: Sequence[Entry]) -> str:
    """The table with whoever is missing: a csv.

    Args:
        before: the table that there is, which may be empty.
        entries: of the registry; those that state no method are left out.
    """
    rows: dict[str, Row] = {row["estimator"]: row for row in csv.DictReader(io.StringIO(before))}
    for label, entry in labels(entries).items():
        if entry.method and label not in rows:
            taken = [int(row["member"]) for row in rows.values() if row["method"] == entry.method]
            values = (label, entry.method, f"{max(taken, default=-1) + 1}")
            rows[label] = dict(zip(COLUMNS, values, strict=True))
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(sorted(rows.values(), key=lambda row: (row["method"], int(row["member"]))))
    return text.getvalue()


if __name__ == "__main__":
    path = Path(sys.argv[1])
    write_atomic(path, made(path.read_text() if path.exists() else "", estimators.available()).encode())
