"""The report as one HTML page that needs no other file."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jinja2
import pandas as pd
from markupsafe import Markup, escape

from bench.records.record import Record
from bench.report import assets, page_tables
from bench.report.answered import Shown
from bench.report.charts import Chart, charts, specifications, words
from bench.report.doubts import doubts
from bench.report.facts import Facts, choices, facts
from bench.report.figures.canvas import Plot
from bench.report.figures.reading import READING
from bench.report.findings import FIRST, TRAINED, Finding, findings
from bench.report.naming import without_samples
from bench.report.pictures import embedded, outline
from bench.report.summary import Summary
from bench.report.tables.view import Table
from bench.report.text import plural, slug

# Provenance that differs from record to record, and so says nothing of the machine or the version.
_UNLISTED = ("load", "estimator_source")
_MANY_ROWS = 40  # a longer section opens on demand, unless it is the only one of its table
_MANY_FINDINGS = 6  # more of one topic open on demand


class Picture(NamedTuple):
    """A drawn figure."""

    plot: Plot
    png: bytes
    beside: tuple[str, ...]  # endings of the files written beside the page


def _figures(pictures: Iterable[Picture], drawn: Mapping[str, Chart], known: Facts) -> dict[str, list[dict[str, Any]]]:
    """The figures of each problem, as the template wants them."""
    by_problem: dict[str, list[dict[str, Any]]] = {}
    for picture in pictures:
        plot = picture.plot
        chart = drawn.get(plot.name)
        files = [{"ending": ending, "path": f"figures/{plot.name}.{ending}"} for ending in picture.beside]
        figure = {
            "name": plot.name,
            "caption": plot.caption,
            "notes": plot.notes,
            "words": words(chart, plot.section, known) if chart else plot.caption.partition(". ")[0],
            "chart": chart is not None,
            "source": embedded(picture.png),
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
    environment.filters |= {"slug": slug, "names": _with_names}
    known = facts(summary)
    shown = [page_tables.shown(table, known) for table in tables]
    topics = {topic: own for topic, own in (found or findings(summary)).items() if not (answer and topic == TRAINED)}
    pictures = list(pictures)
    drawn = charts([picture.plot for picture in pictures], summary, known)
    heads = summary.frames.heads
    families = dict(zip(heads["section"], heads["family"].fillna(""), strict=True))
    return environment.get_template("report.html.j2").render(
        title=title,
        notes=list(notes),
        answer=answer,
        run=_run(summary, records),
        relative_to=summary.relative_to,
        reading=READING,
        doubts=doubts(topics.pop(FIRST, [])),
        findings=topics,
        tables=shown,
        filters={**page_tables.filters(shown, tables), **choices(known)},
        controls=any(fact.control for fact in known.known),
        facts=[fact._asdict() | {"path": outline(fact.marker)} for fact in known.known],
        figures=_figures(pictures, drawn, known),
        families=families,
        charts={name: chart.plain() for name, chart in drawn.items()},
        frames=specifications() if drawn else {},
        parts=any(chart.part for chart in drawn.values()),
        provenance=_provenance(records),
        broken=_broken(summary.frames.heads),
        many=_MANY_ROWS,
        many_findings=_MANY_FINDINGS,
        script=assets.script,
        table_scripts=assets.TABLES,
        chart_scripts=assets.CHARTS,
    )
