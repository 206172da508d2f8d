"""Write a report: tables, figures and page, each file whole or not at all."""

import io
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

from bench.printed import visible
from bench.records.record import Record, read
from bench.report import drawing, page, plugins
from bench.report.answered import answered
from bench.report.figures import plots
from bench.report.figures.canvas import Plot
from bench.report.figures.reading import READING
from bench.report.findings import TRAINED, findings
from bench.report.frames import long
from bench.report.printable import printable
from bench.report.selection import WHOLE, Selection, in_tables, left_out, set_before
from bench.report.summary import RELATIVE_TO, Summary, summarise
from bench.report.tables import bias, elbo, latex, published, rates, render, time, variance
from bench.report.tables.best import best
from bench.report.tables.view import Table
from bench.run.store import write_atomic

FORMATS = ("md", "tex", "csv", "html", "pdf", "svg", "png")
ALL_FORMATS = frozenset(FORMATS)
FIGURE_FORMATS = ("pdf", "svg", "png")
_AS_TEXT: dict[str, Callable[[Table], str]] = {"csv": render.csv, "md": render.markdown}


def _put(path: Path, content: bytes | str) -> Path:
    """Write a file whole or not at all; returns its path."""
    write_atomic(path, content.encode() if isinstance(content, str) else content)
    return path


def _tables(summary: Summary) -> list[Table]:
    """The tables of a report, ready to be written: four, of learning rates where those were swept, of published bounds
    where a training is of their protocol.
    """
    tables = [
        variance.make(summary.variance, summary.relative_to),
        bias.make(summary.bias),
        elbo.make(summary.elbo, summary.relative_to),
        *([] if summary.rates.empty else [rates.make(summary.rates)]),
        *([] if summary.published.empty else [published.make(summary.published)]),
        time.make(summary.time, summary.relative_to),
    ]
    said = left_out(summary)
    return [table._replace(caption=f"{table.caption} {said}") for table in tables] if said else tables


def _cells(summary: Summary) -> bytes:
    """All scalars of a report, as parquet."""
    buffer = io.BytesIO()
    long(summary.frames).to_parquet(buffer, index=False)
    return buffer.getvalue()


def _write_tables(
    tables: Sequence[Table], summary: Summary, out: Path, formats: Set[str], columns: Sequence[str]
) -> list[Path]:
    """Write the tables in those of the formats that are a table's; those in LaTeX with the columns chosen."""
    if tables:
        latex.chosen(tables, columns)
    written = []
    for table in tables:
        for ending, as_text in _AS_TEXT.items():
            if ending in formats:
                written.append(_put(out / "tables" / f"{table.name}.{ending}", as_text(table)))
        if "tex" in formats:
            text = latex.tex(table, columns, best(table.name, summary))
            written.append(_put(out / "tables" / f"{table.name}.tex", text))
    return written


def _endings_of(formats: Set[str]) -> tuple[list[str], list[str]]:
    """The formats in which figures are written, and those in which they are drawn: a page needs a png of each."""
    written = [ending for ending in FIGURE_FORMATS if ending in formats]
    return written, [*written, *(["png"] if "html" in formats and "png" not in written else [])]


def _captions(plots: Sequence[Plot]) -> str:
    """The captions, each with its notes, below how all of them are read."""
    lines = ["# Captions", "", "## How to read the figures", "", *(f"- {sentence}" for sentence in READING)]
    for plot in plots:
        notes = [f"- {render.escape_markdown(note)}" for note in plot.notes]
        lines += ["", f"## {plot.name}", "", render.escape_markdown(plot.caption), *([""] if notes else []), *notes]
    return "\n".join(lines) + "\n"


def write_figures(
    plots: Sequence[Plot], drawn: Iterable[Mapping[str, bytes]], out: Path, formats: Set[str]
) -> tuple[list[Path], list[page.Picture]]:
    """Write what was drawn of each plot, in those of the formats that are a figure's, and the captions.

    Returns:
        The files written, and the pictures for a page.
    """
    endings, _ = _endings_of(formats)
    written, pictures = [], []
    for plot, contents in zip(plots, drawn, strict=True):
        written += [_put(out / "figures" / f"{plot.name}.{ending}", contents[ending]) for ending in endings]
        pictures.append(page.Picture(plot, contents.get("png", b""), tuple(endings)))
    if endings and plots:
        written.append(_put(out / "figures" / "captions.md", _captions(plots)))
    return written, pictures


def write(
    records: Sequence[Record | Mapping[str, Any]],
    out: Path,
    formats: set[str] | frozenset[str] = ALL_FORMATS,
    title: str = "Gradient estimators compared",
    notes: Sequence[str] = (),
    relative_to: str = RELATIVE_TO,
    finished: Callable[[str], None] = lambda stage: None,
    answering: Callable[[Sequence[str]], None] = lambda sentences: None,
    selection: Selection = WHOLE,
) -> list[Path]:
    """Write the report of some records, or the part of it that a person chose.

    Args:
        records: whole records, or their plain values, of any kinds and any status.
        out: the folder to write to; made where it is missing. Other files in it are left alone.
        formats: any of `FORMATS`; `csv` writes `cells.parquet` too.
        title: heading of the page, as a rule with the suite's name.
        notes: sentences for the page, such as what the suite left out and why.
        relative_to: label or name of the estimator that ratios and efficiencies are relative to; a problem
            without it has these columns empty.
        finished: called with frames, tables, figures and page as each is done; figures may be drawn before their turn.
        answering: called with the sentences of what to take, where a page is made.
        selection: estimators and problems to show; of a part there is neither a page nor cells.parquet, which are of
            the whole run, and tables of a measurement that a person added are whole.

    Returns:
        The files written, in order.

    Raises:
        ValueError: no records, a record of a later release or of an unknown kind, an unknown format, or something
            selected that there is not.
    """
    unknown = sorted(set(formats) - ALL_FORMATS)
    if unknown:
        raise ValueError(f"unknown report format {', '.join(unknown)}; choose among {', '.join(FORMATS)}")
    chosen = set(formats)
    found, added = plugins.apart([printable(read(record)) for record in records], out, chosen)
    if added and not found:
        return added
    summary = set_before(summarise(found, relative_to), selection)
    if selection.of_a_part:
        chosen -= {"html"}
    finished("frames")
    drawable = list(plots(summary)) if chosen & {"html", *FIGURE_FORMATS} else []
    drawn = drawing.files(drawable, _endings_of(chosen)[1])  # other processes begin to draw now
    listed = in_tables(summary)
    tables = _tables(listed) if chosen & {"md", "tex", "csv", "html"} else []
    written = added + _write_tables(tables, listed, out, chosen, selection.columns)
    if "csv" in chosen and not selection.of_a_part:
        written.append(_put(out / "cells.parquet", _cells(summary)))
    finished("tables")
    if chosen & {"html", *FIGURE_FORMATS}:
        files, pictures = write_figures(drawable, drawn, out, chosen)
        written += files
        finished("figures")
        if "html" in chosen:
            told = findings(summary)
            answer = answered(summary, told.get(TRAINED, []))
            answering(answer.brief if answer else [])
            said = list(map(visible, notes))
            text = page.render(summary, found, tables, pictures, visible(title), said, answer, told)
            written.append(_put(out / "report.html", text))
            finished("page")
    return written
