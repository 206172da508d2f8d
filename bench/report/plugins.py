"""Tables and figures of measurements that a person added, beside those that a report knows.

What their records hold only the measurement knows, so its file is imported here, and torch with it.
"""

from collections.abc import Sequence, Set
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib.figure import Figure

from bench.records.identity import SWEPT
from bench.records.record import Record
from bench.records.shown import merged
from bench.report import drawing, naming, rows
from bench.report.figures.canvas import COLUMN, PAGE, Plot, sections
from bench.report.tables import latex, render, view
from bench.report.text import missing, number, plural, slug
from bench.run.store import write_atomic
from estimators.errors import BadInput

if TYPE_CHECKING:
    from bench.measure.base import Measurement

OWN = ("train", "moments", "time")
"""Kinds of records that the report reads by itself."""
_AS_TEXT = {"csv": render.csv, "md": render.markdown, "tex": latex.tex}


def apart(records: Sequence[Record], out: Path, formats: Set[str]) -> tuple[list[Record], list[Path]]:
    """Write the tables and figures of measurements that a person added.

    Args:
        records: of any kinds.
        out: folder of the report.
        formats: of the report; those of a table or a figure count.

    Returns:
        The records of the other kinds, and the files written.

    Raises:
        BadInput: a measurement's file cannot be imported, or its table or figure cannot be made.
    """
    left, written = [record for record in records if record.kind in OWN], list[Path]()
    for name in sorted({record.kind for record in records} - set(OWN)):
        of_kind = [record for record in records if record.kind == name]
        from bench.measure.base import MEASUREMENTS, Measurement

        if ":" not in name and name not in MEASUREMENTS.all():
            left += of_kind  # the report refuses them by name
            continue
        try:
            measurement = MEASUREMENTS.get(name)
        except BadInput as error:
            raise BadInput(f"records of {name!r}: {error}; --import {name.partition(':')[0]} does") from error
        assert issubclass(measurement, Measurement)
        try:
            written += _write(MEASUREMENTS.name_of(name), measurement, of_kind, out, formats)
        except BadInput as error:
            raise BadInput(f"measurement {name!r} cannot be reported: {error}") from error
        except Exception as error:  # foreign code: its reason is wanted, not its traceback
            raise BadInput(f"measurement {name!r} cannot be reported: {type(error).__name__}: {error}") from error
    return left, written


def _frame(measurement: "type[Measurement]", records: Sequence[Record]) -> tuple[pd.DataFrame, list[str]]:
    """The rows of all records with the names of their cells, and the columns that are the measurement's own.

    A cell that measured nothing keeps one row, with its status and reason.
    """
    kept = merged(records).records
    problems, labels = naming.problem_names(kept), naming.estimator_labels(kept)
    own: dict[str, None] = {}
    found = []
    for record, problem, setting, label in zip(kept, problems, naming.settings(kept, problems), labels, strict=True):
        head = rows.head(record, problem, setting, label, None)
        try:
            measured = measurement.table(record.measurements) if record.went_well else [{}]
        except Exception as error:  # foreign code, or a record of before there were digests that was damaged
            told = f"its table cannot be made of record {record.cell} ({type(error).__name__}: {error})"
            raise BadInput(f"{told}; delete that record if it is damaged, and run it again") from error
        swept = {key: getattr(record.config.problem, key) for key in SWEPT}
        point = {key: value for key, value in swept.items() if value is not None}
        for row in measured:
            if taken := [column for column in row if column in head]:
                raise BadInput(f"the report has columns called {', '.join(taken)} already; give them other names")
            own |= dict.fromkeys([*point, *row])
            found.append({**head, **point, **row})
    frame = pd.DataFrame(found)
    return frame.sort_values(["section", "label"], kind="stable").reset_index(drop=True), list(own)


def _text(name: str, row: view.Row) -> str:
    value = row.get(name)
    if missing(value):
        return ""
    return number(float(value)) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def _write(
    name: str, measurement: "type[Measurement]", records: Sequence[Record], out: Path, formats: Set[str]
) -> list[Path]:
    frame, own = _frame(measurement, records)
    numbers = {column: pd.api.types.is_numeric_dtype(frame[column]) for column in own}
    columns = [view.Column(column, partial(_text, column), left=not numbers[column]) for column in own]
    caption = f"{(measurement.__doc__ or name).partition(chr(10))[0]} {plural(len(records), 'cell')}."
    title = measurement.title or name.replace("-", " ").capitalize()
    notes = view.Column("note", view.note, left=True)
    table = view.table(name, title, caption, (view.ESTIMATOR, *columns, notes), frame, view.csv_columns(*own))
    written = []
    for ending in [ending for ending in _AS_TEXT if ending in formats]:
        written.append(out / "tables" / f"{name}.{ending}")
        write_atomic(written[-1], _AS_TEXT[ending](table).encode())
    endings = [ending for ending in ("pdf", "svg", "png") if ending in formats]
    if measurement.figure is None or not endings:
        return written
    plots = [
        Plot(f"{name}-{slug(heading)}", heading, caption, partial(_draw, measurement, part))
        for heading, part in sections(frame[frame["status"] == "ok"])
    ]
    for plot, contents in zip(plots, drawing.files(plots, endings, processes=1), strict=True):
        for ending in endings:
            written.append(out / "figures" / f"{plot.name}.{ending}")
            write_atomic(written[-1], contents[ending])
    return written


def _draw(measurement: "type[Measurement]", frame: pd.DataFrame) -> Figure:
    figure = Figure(figsize=(PAGE, COLUMN), layout="constrained")  # the layout makes room for any labels that are drawn
    draw: Any = measurement.figure
    draw(frame.reset_index(drop=True), figure.add_subplot())
    return figure
