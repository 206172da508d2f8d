"""Figures as files: one after another, or, of a long report, in several processes at once."""

import gc
import io
import os
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import Any

from bench.report import fonts
from bench.report.figures.canvas import Plot
from bench.report.matplotlib_alone import own_settings
from bench.report.style import RC

# What savefig takes: without dates, the same records give the same bytes; packing a png tighter takes twice as long.
_OPTIONS: dict[str, dict[str, Any]] = {
    "pdf": {"metadata": {"CreationDate": None}},
    "svg": {"metadata": {"Date": None}},
    "png": {"pil_kwargs": {"compress_level": 3}},
}
PLOTS_A_PROCESS = 24
"""Fewer figures are drawn here: another process would still be importing what it needs."""


def _files(plot: Plot, endings: Sequence[str]) -> dict[str, bytes]:
    files = {}
    with own_settings({**RC, "font.family": fonts.families()}), warnings.catch_warnings():
        # A label may hold what the font lacks, such as Chinese. A box stands for it in the figure, where it is seen;
        # matplotlib would say so for each character of each file, in hundreds of lines.
        warnings.filterwarnings("ignore", r"Glyph .* missing from font", UserWarning)
        figure = plot.draw()
        for ending in endings:
            buffer = io.BytesIO()
            figure.savefig(buffer, format=ending, **_OPTIONS[ending])
            files[ending] = buffer.getvalue()
    return files


def _settle() -> None:
    """Spare the garbage collector what was imported: it is there to stay, and a figure leaves much to collect."""
    gc.freeze()
    gc.set_threshold(100_000)


def files(plots: Sequence[Plot], endings: Sequence[str], processes: int | None = None) -> Iterator[dict[str, bytes]]:
    """The contents of each plot's files by ending, in the order of the plots.

    Other processes begin at once, and draw while this one goes on with something else.

    Args:
        plots: figures to draw, each once for all its files.
        endings: some of pdf, svg, png.
        processes: how many draw; None takes as many as there are cores and enough plots for.
    """
    if processes is None:
        processes = min(os.cpu_count() or 1, len(plots) // PLOTS_A_PROCESS)
    draw = partial(_files, endings=tuple(endings))
    if processes < 2:
        return map(draw, plots)
    # Spawned, not forked: the threads of torch and of the progress bar would not survive a fork.
    pool = ProcessPoolExecutor(processes, get_context("spawn"), initializer=_settle)
    drawn = pool.map(draw, plots)
    pool.shutdown(wait=False)  # no more work is accepted; the processes end when all is drawn
    return drawn
