"""`python -m bench.studies.atlas DIR` integrates every estimator over its noise, and writes table, page and figures."""

import gzip
import io
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Annotated

import torch
import typer

from bench.atlas import table
from bench.atlas.table import Averaged, Integral, at_equal_evaluations
from bench.cli.check import workers
from bench.run.provenance import machine
from bench.run.store import write_atomic
from bench.studies import results
from bench.studies.atlas.measure import jobs, timed
from estimators.errors import BadInput
from estimators.registry import get

MADE = "made.txt"
"""Beside the page: versions and machine behind the table, since the table is read without them."""


def measured(only: str | None) -> tuple[list[Integral], float]:
    """The rows of every estimator, or of one alone, and seconds of processor time; a process a core."""
    wanted, seconds = [job for job in jobs() if only in (None, job.name)], 0.0
    rows: list[Integral] = []
    with ProcessPoolExecutor(workers(), multiprocessing.get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        for job, (own, taken) in zip(wanted, pool.map(timed, wanted), strict=True):
            found = sum(not row.reason for row in own)
            print(f"{job.name} {dict(job.options)} {job.family}: {found} of {len(own)}, {taken:.0f} s", flush=True)
            rows, seconds = rows + own, seconds + taken
    return rows, seconds


def columns(average: Averaged) -> dict[str, object]:
    """A row of the published table."""
    one, found = average.of, not average.of.reason
    return {
        "estimator": one.estimator,
        "options": one.options,
        "unbiased": one.unbiased,
        "needs": one.needs,
        "settled": one.settled,
        "family": one.family,
        "latents": one.latents,
        "objective": one.objective,
        "sharpness": one.sharpness,
        "f_evals": average.f_evals,
        "samples": one.samples,
        "repeats": average.repeats,
        "relative_bias": float(f"{one.bias:.6g}"),
        "relative_sd": float(f"{average.deviation:.6g}"),
        "tolerance": float(f"{one.tolerance:.0e}") if found else one.tolerance,
        "nodes": one.nodes,
        "found": found,
        "reason": one.reason,
    }


def publish(rows: list[Integral], out: Path, made: str) -> None:
    """Make the tables, the page and the figures of the integrals."""
    # What measures needs nothing of what draws.
    import pandas as pd

    from bench.report import drawing
    from bench.report.output import write_figures
    from bench.studies.atlas import figures, page

    averages = list(at_equal_evaluations(rows))
    frame = pd.DataFrame([columns(average) for average in averages])
    packed = io.BytesIO()
    frame.to_parquet(packed, index=False, compression="zstd")
    write_atomic(out / "atlas.parquet", packed.getvalue())
    text = frame.to_csv(index=False, lineterminator="\n").encode()
    write_atomic(out / "atlas.csv.gz", gzip.compress(text, mtime=0))  # a tenth of its size, and read as it is by pandas
    results.write_texts(out, {"atlas.md": page.markdown(rows, averages, made), MADE: made + "\n"})
    drawn = list(figures.plots(averages))
    write_figures(drawn, drawing.files(drawn, ("pdf", "png")), out, {"pdf", "png"})


def main(
    out: Annotated[Path, typer.Argument(help="Folder to write into.")],
    integrals_file: Annotated[
        Path, typer.Option("--table", help="Where what was integrated is kept, which `gradest atlas` reads.")
    ] = table.PUBLISHED,
    only: Annotated[str | None, typer.Option(help="Integrate this estimator alone, for a look.")] = None,
    redraw: Annotated[bool, typer.Option("--redraw", help="Integrate nothing; write the rest again.")] = False,
) -> None:
    """Write the published atlas."""
    try:
        chosen = None if only is None else get(only).name
    except BadInput as error:
        raise typer.BadParameter(str(error), param_hint="--only") from error
    if not redraw:
        rows, seconds = measured(chosen)
        made = f"{results.made_on(machine('cpu'))}; {seconds / 60:.0f} minutes of processor time"
        write_atomic(integrals_file, table.written(rows))
    else:
        made = (out / MADE).read_text().strip()
    publish(table.read(integrals_file), out, made)


if __name__ == "__main__":
    typer.run(main)
