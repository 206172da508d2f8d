"""One cell: its measurements, and the record that they, or what went wrong, become."""

import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import torch

from bench.config import example
from bench.records.record import SCHEMA, Provenance, Record, Tags
from bench.records.values import Part, plain
from bench.run.executors import Died
from bench.run.provenance import provenance
from bench.suite.schema import Cell, MatmulPrecision
from bench.training.checkpoint import KEEPER
from bench.training.stopped import Stopped
from estimators import registry
from estimators.plugins import staying_here


def measure(cell: Cell) -> Part | Mapping[str, Any]:
    """The measurements of a cell, all noise from a seed that its id gives."""
    measurement, problem = cell.measurement, cell.problem
    if not isinstance(problem, measurement.asks):
        raise TypeError(f"no measurement {measurement.kind!r} for a {problem.kind}")
    estimator = problem.estimator(cell.estimator)
    result = measurement.run(problem, estimator, seed=int(cell.id[:8], 16), device=torch.device(cell.device))
    if isinstance(result, Part):
        plain(result)  # what no record can hold fails the cell here, not the run where its record is made
        return result
    if not isinstance(result, Mapping):  # of a person's own
        raise TypeError(f"run returned a {type(result).__name__}, expected a dict of what is measured")
    return dict(plain(result))


@contextmanager
def matmul_precision(wanted: MatmulPrecision) -> Iterator[None]:
    """Products of matrices in float32 as exact as that, and afterwards as before.

    Torch is told only where that changes something: whoever set it by torch's newer names, one for each library of
    products, keeps what they set.
    """
    before = torch.get_float32_matmul_precision()
    if before == wanted:
        yield
        return
    torch.set_float32_matmul_precision(wanted)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@staying_here()  # the next cell begins where this one did
def run_cell(cell: Cell) -> Record:
    """Run one cell; whatever goes wrong inside it becomes its record."""
    torch.set_num_threads(cell.threads)
    with matmul_precision(cell.matmul_precision):
        started, clock = datetime.now(UTC), time.perf_counter()
        try:
            result, failure = measure(cell), None
        except (Stopped, KeyboardInterrupt):
            raise
        except BaseException as error:  # a cell that fails, however it does, is a result; the others go on
            result, failure = None, error
        # With those of earlier parts of a cell that was resumed.
        seconds = time.perf_counter() - clock + KEEPER.get().seconds
        return make_record(cell, result or {}, failure, started, seconds)


def make_record(
    cell: Cell,
    result: Part | Mapping[str, Any],
    failure: BaseException | None,
    started: datetime,
    seconds: float,
) -> Record:
    """A cell's record, with its status, tags and provenance; the result may be plain values already."""
    entry, measurements = registry.get(cell.estimator.name), plain(result)
    status, reason, where = "ok", None, None
    if failure is not None:
        short = str(failure).partition("\n")[0]
        memory = isinstance(failure, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(failure)
        status, reason = "out-of-memory" if memory else "failed", f"{type(failure).__name__}: {short}"
        where = "".join(traceback.format_exception(failure))
    if isinstance(failure, Died):
        status, reason, where = "died", str(failure), None
    steps = measurements.get("diverged")
    if steps and None not in steps:
        status, reason = "diverged", f"every seed diverged, the first at step {min(steps)}"
    return Record(
        schema=SCHEMA,
        cell=cell.id,
        status=status,
        reason=reason,
        traceback=where,
        started=started.isoformat(timespec="milliseconds"),
        seconds=seconds,
        config=cell.identity,
        tags=Tags.model_validate(entry.tags() | {"unbiased": entry.claims_unbiased(cell.estimator.options)}),
        measurements=measurements,
        provenance=Provenance.model_validate(provenance(example(cell.estimator), cell.device)),
    )
