"""What is published of the measurements: tables, figures and captions, from scaling.json alone."""

from pathlib import Path

from bench.run.store import write_atomic
from bench.scaling import records


def publish(folder: Path) -> None:
    """Make the tables and figures of a folder's scaling.json, each file whole or not at all."""
    # What measures needs nothing of what draws.
    from bench.report import drawing
    from bench.report.output import write_figures
    from bench.scaling import figures, tables

    scaling = records.read(folder)
    write_atomic(folder / "scaling.md", tables.as_markdown(scaling).encode())
    write_atomic(folder / "scaling.csv", tables.as_csv(scaling).encode())
    plots = list(figures.plots(scaling))
    write_figures(plots, drawing.files(plots, ("pdf", "png")), folder, {"pdf", "png"})
