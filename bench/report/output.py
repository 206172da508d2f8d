"""Write a report: tables, figures and page, each file whole or not at all."""

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from bench.report import fonts, page
from bench.report.figures import plots
from bench.report.figures.canvas import Plot
from bench.report.frames import long
from bench.report.style import RC
from bench.report.summary import RELATIVE_TO, Summary, summarise
from bench.report.tables import bias, elbo, render, time, variance
from bench.report.tables.view import Table
from bench.store import write_atomic

FORMATS = ("md", "tex", "csv", "html", "pdf", "svg", "png")
ALL_FORMATS = frozenset(FORMATS)
FIGURE_FORMATS = ("pdf", "svg", "png")
# Without dates, the same records give the same bytes.
_METADATA: dict[str, dict[str, None]] = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {}}
_AS_TEXT: dict[str, Callable[[Table], str]] = {"csv": render.csv, "md": render.markdown, "tex": render.tex}


def _put(path: Path, content: bytes | str) -> Path:
    write_atomic(path, content.encode() if isinstance(content, str) else content)
    return path


def _tables(summary: Summary) -> list[Table]:
    return [
        variance.make(summary.variance, summary.relative_to),
        bias.make(summary.bias),
        elbo.make(summary.elbo, summary.relative_to),
        time.make(summary.time, summary.relative_to),
    ]


def _write_tables(tables: Sequence[Table], summary: Summary, out: Path, formats: set[str]) -> list[Path]:
    written = []
    for table in tables:
        for ending, as_text in _AS_TEXT.items():
            if ending in formats:
                written.append(_put(out / "tables" / f"{table.name}.{ending}", as_text(table)))
    if "csv" in formats:
        buffer = io.BytesIO()
        long(summary.frames).to_parquet(buffer, index=False)
        written.append(_put(out / "cells.parquet", buffer.getvalue()))
    return written


def _saved(figure: Figure, ending: str) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=ending, metadata=_METADATA[ending])
    return buffer.getvalue()


def _write_figures(drawn: Sequence[Plot], out: Path, formats: set[str]) -> tuple[list[Path], list[page.Picture]]:
    endings = [ending for ending in FIGURE_FORMATS if ending in formats]
    written, pictures = [], []
    settings: dict[Any, Any] = {**RC, "font.family": fonts.families()}
    with matplotlib.rc_context(settings):
        for plot in drawn:
            figure = plot.draw()
            saved = {ending: _saved(figure, ending) for ending in {*endings, *(["png"] if "html" in formats else [])}}
            written += [_put(out / "figures" / f"{plot.name}.{ending}", saved[ending]) for ending in endings]
            pictures.append(page.Picture(plot, saved.get("png", b""), tuple(endings)))
    if endings and drawn:
        captions = "\n".join(f"## {plot.name}\n\n{plot.caption}\n" for plot in drawn)
        written.append(_put(out / "figures" / "captions.md", f"# Captions\n\n{captions}"))
    return written, pictures


def write(
    records: Sequence[Mapping[str, Any]],
    out: Path,
    formats: set[str] | frozenset[str] = ALL_FORMATS,
    title: str = "Gradient estimators compared",
    notes: Sequence[str] = (),
    relative_to: str = RELATIVE_TO,
) -> list[Path]:
    """Write the report of some records.

    Args:
        records: whole records, as read from a store, of any kinds and any status.
        out: the folder to write to; made where it is missing. Other files in it are left alone.
        formats: any of `FORMATS`; `csv` writes `cells.parquet` too.
        title: heading of the page, as a rule with the suite's name.
        notes: sentences for the page, such as what the suite left out and why.
        relative_to: label or name of the estimator that ratios and efficiencies are relative to; a problem
            without it has these columns empty.

    Returns:
        The files written, in order.

    Raises:
        ValueError: no records, a record of an unknown schema or kind, or an unknown format.
    """
    unknown = sorted(set(formats) - ALL_FORMATS)
    if unknown:
        raise ValueError(f"unknown report format {', '.join(unknown)}; choose among {', '.join(FORMATS)}")
    summary = summarise(records, relative_to)
    chosen = set(formats)
    tables = _tables(summary) if chosen & {"md", "tex", "csv", "html"} else []
    written = _write_tables(tables, summary, out, chosen)
    if chosen & {"html", *FIGURE_FORMATS}:
        files, pictures = _write_figures(list(plots(summary)), out, chosen)
        written += files
        if "html" in chosen:
            text = page.render(summary, records, tables, pictures, title, notes)
            written.append(_put(out / "report.html", text))
    return written
