"""Running a suite: cells to records, whatever the executor."""

import copy
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import torch

import bench.datasets
from bench.config import EstimatorConfig, example
from bench.measure.draws import probe
from bench.records.damage import Damage
from bench.records.record import SCHEMA, Provenance, Record, Tags
from bench.records.values import Part, plain
from bench.run.checkpoints import Checkpoints
from bench.run.claims import Claims
from bench.run.executors import Died, Executor
from bench.run.executors.apart import Apart
from bench.run.executors.inline import Inline
from bench.run.keeper import Kept
from bench.run.limit import Limit
from bench.run.planned import Expects, write_plan
from bench.run.provenance import provenance, source_hash
from bench.run.store import Store, write_atomic
from bench.run.work import TRIES, Work
from bench.suite.cost import check_fits, typical_seconds
from bench.suite.plan import Plan, plan
from bench.suite.schema import Cell, MatmulPrecision, Suite
from bench.suite.toml import dumps
from bench.training.checkpoint import KEEPER
from bench.training.stopped import Stopped
from estimators import registry
from estimators.distributions import log_prob
from estimators.errors import BadInput
from estimators.families import family_named


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


class Outcome(NamedTuple):
    """What a run came to."""

    done: int
    """Cells with a record, of this run or an earlier one."""
    fresh: int
    """Cells that this run ran."""
    unwell: list[Record]
    """Records, of the plan's cells, whose status is not ok."""
    left: int = 0
    """Cells that the run was to run and did not."""
    stopped: Stopped | None = None
    """What stopped it."""
    lost: tuple[tuple[Cell, float], ...] = ()
    """Cells that were stopped and begin anew, each with the seconds of its work."""


def prepare(suite: Suite, chosen: Plan, *, elsewhere: bool = False) -> None:
    """Fail before anything is written: the device and every data set must be there.

    Args:
        suite: what is run.
        chosen: its plan.
        elsewhere: whether the cells run on other machines, which are asked for their devices as they are found.

    Raises:
        BadInput: no such device, or an estimator that returns something else than the contract asks for.
        DataError: a data set's file is missing or corrupt.
    """
    if suite.device == "cuda" and not elsewhere and not torch.cuda.is_available():
        raise BadInput("device 'cuda' is not available: torch sees no CUDA GPU here; use --device cpu (gradest doctor)")
    for name in sorted({name for cell in chosen.cells for name in cell.problem.datasets()}):
        bench.datasets.load_once(name)
    for (family, _), config in {(c.problem.family, c.estimator.label): c.estimator for c in chosen.cells}.items():
        _try(config, family)


def _try(config: EstimatorConfig, family: str) -> None:
    """Call an estimator once, on a q of two rows: one that breaks the contract is refused before anything runs."""
    kind = family_named(family)
    q = kind.from_raw(*(torch.ones(2, *shape) for shape in kind.parameter_shapes(kind.event(2, 3))))
    try:
        probe(copy.deepcopy(example(config)), q, lambda z, q: log_prob(q, z))  # a call may size it
    except ValueError as error:
        raise BadInput(f"estimator {config.label!r}: {error} (estimators/base.py has the contract)") from error
    except (Stopped, KeyboardInterrupt):
        raise
    except BaseException:  # any other failure, sys.exit too, is found when its cell runs, and goes into the record
        return


def current(store: Store, cell: Cell) -> Record | None:
    """A cell's record; None where there is no whole one, or the estimator's source has changed since it was made.

    Raises:
        Newer: a later release wrote the record.
    """
    record = store.read(cell.id)
    same = record is not None and record.provenance.estimator_source == source_hash(example(cell.estimator))
    return record if same else None


def pending(store: Store, cells: Sequence[Cell]) -> list[Cell]:
    """The cells that have no current record; raises as `current` does."""
    return [cell for cell in cells if current(store, cell) is None]


def run_suite(
    suite: Suite,
    out: Path,
    *,
    executor: Executor,
    force: bool = False,
    retry_failed: bool = False,
    progress: Callable[[Record, Cell], None] = lambda record, cell: None,
    starting: Callable[[list[Cell], int], AbstractContextManager[None]] = lambda cells, kept: nullcontext(),
    limit: Limit | None = None,
    damaged: Callable[[list[Damage]], None] = lambda found: None,
) -> Outcome:
    """Run what is not done yet of a suite, and write a record a cell into `out`.

    Several runners on one folder share its work (`bench.run.claims`), and each ends when all of it is done. A training
    that takes long leaves checkpoints there, from which it goes on after whatever ended it.

    A cell that ended its process, or that ran out of memory, is tried once more, last and in a process of its own; so
    is one that was under way when an earlier runner died.

    Args:
        suite: the suite.
        out: the run's folder.
        executor: runs cells; timing cells run one at a time, with nothing beside them.
        force: run every cell again, and from its beginning.
        retry_failed: run those again of which a record says that they failed, died or ran out of memory.
        progress: called after each record was written, by another runner too.
        starting: called with the cells to run in their order, and the number of those done before; returns a
            context that the run takes place in.
        limit: when to stop; for ever later without one.
        damaged: called with the records that are damaged and run again, where there are any.

    Raises:
        KeyboardInterrupt: as the limit hears it; what was done is kept.
    """
    store, limit, checkpoints = Store(out), limit or Limit(), Checkpoints(out)
    ran: set[str] = set()
    unwell: dict[str, Record] = {}

    def note(record: Record) -> None:
        unwell.pop(record.cell, None)
        if not record.went_well:
            unwell[record.cell] = record

    def record_of(cell: Cell) -> Record | None:
        """Of a cell that is done; with `force` it is by this run alone."""
        found = current(store, cell)  # read with `force` too: what a later release wrote is never overwritten
        if found is None or (cell.id not in ran and (force or _is_to_retry(found, failed=retry_failed))):
            return None
        note(found)
        return found

    def left(cells: Sequence[Cell]) -> list[Cell]:
        return [cell for cell in cells if record_of(cell) is None]

    chosen = plan(suite).grown(record_of)  # with the further cells that an earlier run came to
    todo = left(chosen.cells)
    if store.noticed:
        damaged([*store.noticed.values()])
    if todo:
        prepare(suite, chosen, elsewhere=executor.elsewhere)
        check_fits(todo)
    write_atomic(out / "suite.toml", dumps(suite.model_dump(mode="json", exclude_none=True)).encode())
    _note_plan(out, chosen)
    store.sweep()
    run, stopped, lost = Kept(out, limit, run_cell), None, list[tuple[Cell, float]]()
    claims, apart = Claims(out, step_of=checkpoints.step), Apart(limit)
    left_behind = claims.left_behind()

    def done_meanwhile(cell: Cell) -> Record | None:
        return record_of(cell) if store.path(cell.id).exists() else None

    work = Work(claims, limit, done_meanwhile, progress)

    def keep(cell: Cell, result: Record | Exception) -> None:
        if isinstance(result, Exception):  # its process died, so that `run_cell` could not make a record of the failure
            result = make_record(cell, {}, result, datetime.now(UTC), 0.0)
        if work.tries(cell) > 1:
            result.attempts = work.tries(cell)
        with limit.finishing():
            store.write(result)
            checkpoints.remove([cell.id])
            ran.add(cell.id)
            note(result)
            progress(result, cell)
        run.done(result)

    def add(new: Sequence[Cell], todo: list[Cell]) -> None:
        """Take up the cells of `new` that are `todo`. Of the others a process that was late may have left something."""
        work.add(todo)
        checkpoints.remove(cell.id for cell in new if force or cell.id not in work.left)
        for cell in new:
            if cell.id in left_behind and cell.id not in work.left:
                claims.drop(cell.id)

    add(chosen.cells, todo)
    if work.suspect(left_behind) and isinstance(executor, Inline):
        executor = apart  # the cell that ended the earlier run may not be the only one of its kind
        apart.start(run)
    with apart, claims, executor:
        while True:
            try:
                with starting(sorted(todo, key=lambda cell: cell.measurement.alone), len(chosen.cells) - len(todo)):
                    for cell, result in work.results(executor, apart, run):
                        if isinstance(result, Stopped):
                            stopped = stopped or result
                            lost += [(cell, result.lost)] if result.lost is not None else []
                        else:
                            keep(cell, result)
            except Stopped as raised:
                stopped = stopped or raised
            known = {cell.id for cell in chosen.cells}
            chosen = chosen.grown(record_of)
            new = [cell for cell in chosen.cells if cell.id not in known]
            if not new:
                break
            todo = left(new)
            add(new, todo)
            _note_plan(out, chosen)
            if stopped:
                break
    checkpoints.tidy()
    left_over, done = len(work.left.keys() | work.given_up), len(chosen.cells)
    if stopped:  # a cell that was to be run again may have its earlier record
        records = [record for cell in chosen.cells if (record := store.read(cell.id))]
        done, unwell = len(records), {record.cell: record for record in records if not record.went_well}
    wrong = [unwell[cell.id] for cell in chosen.cells if cell.id in unwell]
    return Outcome(done, len(ran), wrong, left_over, stopped, tuple(lost))


def _note_plan(out: Path, chosen: Plan) -> None:
    typical = typical_seconds(chosen.cells)
    expects = {cell.id: Expects(cell.measurement.kind, typical[cell.id]) for cell in chosen.cells if cell.id in typical}
    write_plan(out, [cell.id for cell in chosen.cells], expects)


def _is_to_retry(record: Record, *, failed: bool) -> bool:
    """Whether a cell that has a record is to be run again: out of memory, or died, it is tried a second time."""
    if record.status in ("out-of-memory", "died") and record.attempts < TRIES:
        return True
    return failed and record.status in ("failed", "out-of-memory", "died")
