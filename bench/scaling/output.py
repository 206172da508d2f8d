"""What is published of the measurements: tables, figures and captions, from scaling.json alone."""

from pathlib import Path

from bench.scaling import records
from bench.store import write_atomic


def publish(folder: Path) -> None:
    """Make the tables and figures of a folder's scaling.json, each file whole or not at all."""
    # What measures needs nothing of what draws.
    from bench.report import drawing
    from bench.scaling import figures, tables

    scaling = records.read(folder)
    plots = list(figures.plots(scaling))
    captions = "\n".join(f"## {plot.name}\n\n{plot.caption}\n" for plot in plots)
    write_atomic(folder / "scaling.md", tables.as_markdown(scaling).encode())
    write_atomic(folder / "scaling.csv", tables.as_csv(scaling).encode())
    write_atomic(folder / "figures" / "captions.md", f"# Captions\n\n{captions}".encode())
    for plot, files in zip(plots, drawing.files(plots, ("pdf", "png")), strict=True):
        for ending, content in files.items():
            write_atomic(folder / "figures" / f"{plot.name}.{ending}", content)
