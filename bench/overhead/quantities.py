"""What was measured, beside its target, as JSON, Markdown and CSV."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from bench.report.tables.render import pipe
from bench.report.text import number
from bench.statistics import quartiles

COLUMNS = ("quantity", "unit", "median", "q25", "q75", "n", "target", "met")


class Quantity(NamedTuple):
    """Repeated measurements of one cost."""

    name: str
    unit: str
    values: tuple[float, ...]
    target: float | None = None
    """What the median must not exceed; None where it is a part, told for information."""

    def row(self) -> dict[str, Any]:
        """Median, quartiles and n beside the target."""
        found = quartiles(self.values)
        met = None if self.target is None else found["median"] <= self.target
        return {"quantity": self.name, "unit": self.unit, **found, "target": self.target, "met": met}


def _met(row: Mapping[str, Any]) -> str:
    return "" if row["met"] is None else "yes" if row["met"] else "no"


def as_json(quantities: Sequence[Quantity], about: Mapping[str, Any], study: Mapping[str, Any]) -> str:
    """All values with their quartiles, what the long report was made of, and the machine."""
    measured = [quantity.row() | {"values": list(quantity.values)} for quantity in quantities]
    return json.dumps({"quantities": measured, "study": dict(study), "provenance": dict(about)}, indent=1) + "\n"


def as_csv(quantities: Sequence[Quantity]) -> str:
    """A row a quantity."""
    rows = [row | {"met": _met(row)} for row in (quantity.row() for quantity in quantities)]
    return pd.DataFrame(rows, columns=COLUMNS).to_csv(index=False, lineterminator="\n")


def as_markdown(quantities: Sequence[Quantity], about: Mapping[str, Any], study: Mapping[str, Any]) -> str:
    """A table with a few words on how each number was made."""
    cells = []
    for row in (quantity.row() for quantity in quantities):
        spread = f" [{number(row['q25'])}, {number(row['q75'])}]" if row["n"] > 1 else ""
        target = "" if row["target"] is None else f"<= {row['target']:g} {row['unit']}"
        measured = f"{number(row['median'])}{spread} {row['unit']}"
        cells.append([row["quantity"], measured, str(row["n"]), target, _met(row)])
    load = ", ".join(f"{value:.1f}" for value in about["load"])
    lines = [
        "# What the suite itself costs",
        "",
        "Median [quartiles] of n measurements; a target is met where the median keeps to it. Import: wall clock of "
        "`import estimators` in a fresh interpreter that has imported torch. Run: wall clock of the suite `quick` "
        "without its report, less what is inside the cells' measurements; the parts are timed one by one on the same "
        "cells, and do not add up to it. Report: what `gradest report` does, in all formats, over "
        f"{study['records']} records, copies of those of `quick` under other names: {study['problems']} problems with "
        f"{study['estimators']} estimators each, which come to {study['figures']} figures in three formats; from the "
        "start of its process to its end; figures are drawn by other processes while tables are made. "
        f"Made by `tox -e overhead`; gradest {about['gradest']}, torch {about['torch']}, {about['cpu']}, "
        f"{about['cores']} cores, load {load}.",
        "",
        *pipe(["quantity", "measured", "n", "target", "met"], cells, [True, False, False, False, True]),
        "",
    ]
    return "\n".join(lines)
