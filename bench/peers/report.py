"""Table and figure as files, made from the measurements alone."""

from functools import partial
from pathlib import Path

from bench.peers.figure import draw
from bench.peers.table import Measurements, frame, markdown
from bench.report import drawing
from bench.report.figures.canvas import Plot
from bench.run.store import write_atomic


def write(measurements: Measurements, out: Path) -> list[Path]:
    """Write peers.csv, .md, .pdf and .png; returns their paths."""
    files = {
        "csv": frame(measurements).to_csv(index=False, lineterminator="\n").encode(),
        "md": markdown(measurements).encode(),
    }
    plot = Plot("peers", "", "", partial(draw, measurements))
    files |= next(drawing.files([plot], ("pdf", "png")))
    written = [out / f"peers.{ending}" for ending in files]
    for path, content in zip(written, files.values(), strict=True):
        write_atomic(path, content)
    return written
