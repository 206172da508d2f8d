"""Table and figure as files, made from the measurements alone."""

import io
from pathlib import Path
from typing import Any

import matplotlib

from bench.peers.figure import draw
from bench.peers.table import Measurements, frame, markdown
from bench.report import fonts
from bench.report.style import RC
from bench.store import write_atomic


def write(measurements: Measurements, out: Path) -> list[Path]:
    """Write peers.csv, .md, .pdf and .png; returns their paths."""
    files = {
        "csv": frame(measurements).to_csv(index=False, lineterminator="\n").encode(),
        "md": markdown(measurements).encode(),
    }
    settings: dict[Any, Any] = {**RC, "font.family": fonts.families()}
    with matplotlib.rc_context(settings):
        figure = draw(measurements)
        for ending, metadata in (("pdf", {"CreationDate": None}), ("png", {})):
            buffer = io.BytesIO()
            figure.savefig(buffer, format=ending, metadata=metadata)
            files[ending] = buffer.getvalue()
    written = [out / f"peers.{ending}" for ending in files]
    for path, content in zip(written, files.values(), strict=True):
        write_atomic(path, content)
    return written
