"""The report as one HTML page that needs no other file."""

import base64
import html
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jinja2
import pandas as pd
from markupsafe import Markup, escape

from bench.records.record import Record
from bench.report.answered import Shown
from bench.report.figures.canvas import Plot
from bench.report.findings import FIRST, TRAINED, Finding, findings
from bench.report.naming import without_samples
from bench.report.summary import Summary
from bench.report.tables.view import Column, Section, Table
from bench.report.text import plural, slug

# Provenance that differs from record to record, and so says nothing of the machine or the version.
_UNLISTED = ("load", "estimator_source")
_MANY_ROWS = 40  # a longer section opens on demand


class Picture(NamedTuple):
    """A drawn figure."""

    plot: Plot
    png: bytes
    beside: tuple[str, ...]  # endings of the files written beside the page


def _figures(pictures: Iterable[Picture]) -> dict[str, list[dict[str, Any]]]:
    """The figures of each problem, as the template wants them."""
    by_problem: dict[str, list[dict[str, Any]]] = {}
    for picture in pictures:
        plot = picture.plot
        source = "data:image/png;base64," + base64.b64encode(picture.png).decode("ascii")
        files = [{"ending": ending, "path": f"figures/{plot.name}.{ending}"} for ending in picture.beside]
        figure = {
            "name": plot.name,
            "caption": plot.caption,
            "source": source,
            "files": files,
            "wide": plot.wide,
        }
        by_problem.setdefault(plot.section, []).append(figure)
    return by_problem


def _provenance(records: Sequence[Record]) -> list[tuple[str, str]]:
    """Each item of provenance with all its distinct values."""
    values: dict[str, dict[str, None]] = {}
    for record in records:
        for name, value in record.provenance.model_dump(exclude_unset=True).items():
            if name not in _UNLISTED and value is not None:
                values.setdefault(name, {})[str(value)] = None
    return [(name.replace("_", " "), "; ".join(sorted(found))) for name, found in values.items()]


def _run(summary: Summary, records: Sequence[Record]) -> str:
    heads = summary.frames.heads
    started = sorted(record.started for record in records if record.started)
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(heads["kind"].value_counts().items()))
    when = f" The first started {started[0]}, the last {started[-1]}." if started else ""
    minutes = float(heads["cell_seconds"].sum()) / 60
    estimators = heads["estimator"].map(without_samples).nunique()
    return (
        f"{plural(len(heads), 'cell')} ({kinds}) on {plural(heads['problem'].nunique(), 'problem')} with "
        f"{plural(estimators, 'estimator')}; {minutes:.1f} minutes of cells.{when}"
    )


def _with_names(text: str) -> Markup:
    """A finding as HTML, names of estimators set as code."""
    return Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", str(escape(text))))


def _lines(section: Section, columns: Sequence[Column]) -> Markup:
    """The rows of a table as HTML; a loop of the template over every cell would take most of the page's time."""
    starts = ['<td class="left">' if column.left else "<td>" for column in columns]
    lines = []
    for row, sound in zip(section.cells, section.sound, strict=True):
        cells = "".join(f"{start}{html.escape(text)}</td>" for start, text in zip(starts, row, strict=True))
        lines.append(f"<tr>{cells}</tr>" if sound else f'<tr class="broken">{cells}</tr>')
    return Markup("\n".join(lines))


def _broken(heads: pd.DataFrame) -> list[dict[str, Any]]:
    names = ("cell", "kind", "section", "label", "status", "reason")
    broken = heads[heads["status"] != "ok"]
    return [
        dict(zip(names, row, strict=True)) for row in zip(*(broken[name].fillna("") for name in names), strict=True)
    ]


def render(
    summary: Summary,
    records: Sequence[Record],
    tables: Sequence[Table],
    pictures: Iterable[Picture],
    title: str,
    notes: Sequence[str],
    answer: Shown | None = None,
    found: Mapping[str, Sequence[Finding]] | None = None,
) -> str:
    """The page as text; figures are embedded, and linked as files where those were written.

    Args:
        summary, records, tables, pictures: what it shows.
        title: its heading.
        notes: sentences below that.
        answer: what to take, before everything else; None where nothing is compared.
        found: its findings by topic; made from the summary where they are not given.
    """
    loader = jinja2.PackageLoader("bench.report", "templates")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    told = {topic: own for topic, own in (found or findings(summary)).items() if not (answer and topic == TRAINED)}
    environment.filters |= {"slug": slug, "names": _with_names, "lines": _lines}
    return environment.get_template("report.html.j2").render(
        title=title,
        notes=list(notes),
        answer=answer,
        run=_run(summary, records),
        relative_to=summary.relative_to,
        findings=told,
        first=FIRST,
        tables=tables,
        figures=_figures(pictures),
        provenance=_provenance(records),
        broken=_broken(summary.frames.heads),
        many=_MANY_ROWS,
    )
