"""Tables as HTML that reads without a script, and tells one by which numbers and tags to sort and filter."""

import html
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup

from bench.report.facts import Facts
from bench.report.tables.view import ESTIMATOR, Column, Row, Section, Table, rows_of
from bench.report.text import missing, slug

_MOST = 1.7976931348623157e308  # JavaScript's largest number, for an infinite one, which no attribute can say


class Head(NamedTuple):
    """The head of a column."""

    title: str
    classes: str
    numeric: bool
    """Whether it sorts by a number."""


class Part(NamedTuple):
    """The rows of one problem."""

    id: str
    heading: str
    about: str
    family: str
    rows: int
    body: Markup


class Shown(NamedTuple):
    """A table of a page."""

    name: str
    title: str
    caption: str
    """What it shows, in a sentence."""
    notes: str
    """How its numbers, intervals and marks are to be read."""
    heads: list[Head]
    parts: list[Part]


def _classes(column: Column) -> str:
    """Words stand left; the estimator stays in sight while the rest moves sideways."""
    return " ".join(filter(None, ("left" if column.left else "", "who" if column is ESTIMATOR else "")))


def _order(row: Row, column: Column) -> str:
    """The attribute by which a cell is sorted, in full precision; empty where nothing was measured."""
    value = row.get(column.by)
    if missing(value):
        return ""
    number = float(str(value))
    return repr(math.copysign(_MOST, number) if math.isinf(number) else number)


def _body(section: Section, rows: Sequence[Row], columns: Sequence[Column], facts: Facts) -> Markup:
    """The rows of a section; a loop of the template over every cell would take most of the page's time."""
    starts = [f' class="{classes}"' if (classes := _classes(column)) else "" for column in columns]
    lines = []
    for row, texts, sound in zip(rows, section.cells, section.sound, strict=True):
        cells = "".join(
            f'<td{start} data-order="{_order(row, column)}">{html.escape(text)}</td>'
            if column.by
            else f"<td{start}>{html.escape(text)}</td>"
            for start, column, text in zip(starts, columns, texts, strict=True)
        )
        point = html.escape(str(row.get("point") or ""))
        broken = "" if sound else ' class="broken"'
        lines.append(f'<tr{broken} data-e="{facts.place[str(row["label"])]}" data-point="{point}">{cells}</tr>')
    return Markup("\n".join(lines))


def _parts(table: Table, facts: Facts) -> Iterator[Part]:
    rows, start = rows_of(table.frame), 0
    seen: dict[str, int] = {}
    for section in table.sections:
        own = rows[start : start + len(section.cells)]
        start += len(own)
        name = f"{table.name}-{slug(section.heading)}"
        seen[name] = seen.get(name, 0) + 1
        number = f"-{seen[name]}" if seen[name] > 1 else ""
        family = "" if missing(own[0]["family"]) else str(own[0]["family"])
        body = _body(section, own, table.columns, facts)
        yield Part(f"{name}{number}", section.heading, section.about, family, len(own), body)


def shown(table: Table, facts: Facts) -> Shown:
    """A table ready for the template."""
    heads = [Head(column.title, _classes(column), bool(column.by)) for column in table.columns]
    caption, stop, notes = table.caption.partition(". ")
    return Shown(table.name, table.title, caption + stop.strip(), notes, heads, list(_parts(table, facts)))


def filters(tables: Sequence[Shown], frames: Sequence[Table]) -> Mapping[str, list[Any]]:
    """Families and points of the rows, in their order; nothing to choose where there is one."""
    families = sorted({part.family for table in tables for part in table.parts} - {""})
    points: dict[tuple[str, float], str] = {}
    for table in frames:
        if {"point", "position"} <= set(table.frame.columns):
            pairs = table.frame[["point", "position"]].dropna().drop_duplicates()
            for point, position in zip(pairs["point"], pairs["position"], strict=True):
                if point:
                    points[str(point).rpartition(" ")[0], float(position)] = str(point)
    ordered = [points[key] for key in sorted(points)]
    return {"family": families if len(families) > 1 else [], "point": ordered if len(ordered) > 1 else []}
