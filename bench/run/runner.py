"""Running a suite: cells to records, whatever the executor."""

import copy
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import torch

import bench.datasets
from bench.config import EstimatorConfig, example
from bench.measure.draws import probe
from bench.records.damage import Damage
from bench.records.record import Record
from bench.run.cell import make_record, run_cell
from bench.run.checkpoints import Checkpoints
from bench.run.claims import Claims
from bench.run.executors import Executor
from bench.run.executors.apart import Apart
from bench.run.executors.inline import Inline
from bench.run.folder import refuse_other
from bench.run.keeper import Kept
from bench.run.limit import Limit
from bench.run.planned import Expects, write_plan
from bench.run.provenance import source_hash
from bench.run.store import Store, write_atomic
from bench.run.work import TRIES, Work
from bench.suite.cost import check_fits, typical_seconds
from bench.suite.plan import Plan, plan
from bench.suite.schema import Cell, Suite
from bench.suite.toml import dumps
from bench.training.stopped import Stopped
from estimators.distributions import log_prob
from estimators.errors import BadInput
from estimators.families import family_named
from estimators.plugins import staying_here

Starting = Callable[[list[Cell], int], AbstractContextManager[None]]


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


@staying_here()
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


@staying_here()
def run_suite(
    suite: Suite,
    out: Path,
    *,
    executor: Executor,
    force: bool = False,
    retry_failed: bool = False,
    progress: Callable[[Record, Cell], None] = lambda record, cell: None,
    starting: Starting = lambda cells, kept: nullcontext(),
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
    run = _Run(suite, out, limit or Limit(), progress, force=force, retry_failed=retry_failed)
    if run.store.noticed:
        damaged([*run.store.noticed.values()])
    run.begin(suite, elsewhere=executor.elsewhere)
    run.finish(executor, starting)
    return run.outcome()


class _Run:
    """A runner's work on one suite: what is left of it, what becomes of each cell, and what it comes to.

    See `run_suite` for what it takes.
    """

    def __init__(
        self,
        suite: Suite,
        out: Path,
        limit: Limit,
        progress: Callable[[Record, Cell], None],
        *,
        force: bool,
        retry_failed: bool,
    ) -> None:
        self.out, self.limit, self.progress, self.force, self.retry_failed = out, limit, progress, force, retry_failed
        self.store, self.checkpoints = Store(out), Checkpoints(out)
        # Absolute, since its heart beats while a cell may have gone to another folder.
        self.claims = Claims(out.absolute(), step_of=self.checkpoints.step)
        self.work = Work(self.claims, limit, self._done_meanwhile, progress)
        self.ran: set[str] = set()
        self.unwell: dict[str, Record] = {}
        self.stopped: Stopped | None = None
        self.lost: list[tuple[Cell, float]] = []
        self.plan = plan(suite).grown(self.record_of)  # with the further cells that an earlier run came to
        self.todo = self._left_of(self.plan.cells)

    def record_of(self, cell: Cell) -> Record | None:
        """The record of a cell that is done; with `force` it is by this run alone."""
        found = current(self.store, cell)  # read with `force` too: what a later release wrote is never overwritten
        if found is None:
            return None
        if cell.id not in self.ran and (self.force or _is_to_retry(found, failed=self.retry_failed)):
            return None
        self._note(found)
        return found

    def _done_meanwhile(self, cell: Cell) -> Record | None:
        return self.record_of(cell) if self.store.path(cell.id).exists() else None

    def _left_of(self, cells: Sequence[Cell]) -> list[Cell]:
        return [cell for cell in cells if self.record_of(cell) is None]

    def _note(self, record: Record) -> None:
        self.unwell.pop(record.cell, None)
        if not record.went_well:
            self.unwell[record.cell] = record

    def begin(self, suite: Suite, *, elsewhere: bool) -> None:
        """See that what is left can run, and write what the folder is to hold beside records; see `prepare`."""
        if self.todo:
            prepare(suite, self.plan, elsewhere=elsewhere)
            check_fits(self.todo)
        refuse_other(self.out, suite.name)  # a runner of another suite may have begun here meanwhile
        text = dumps(suite.model_dump(mode="json", exclude_none=True))
        write_atomic(self.out / "suite.toml", text.encode())
        _note_plan(self.out, self.plan)
        self.store.sweep()
        self.left_behind = self.claims.left_behind()
        self._add(self.plan.cells)

    def _add(self, new: Sequence[Cell]) -> None:
        """Take up the cells of `new` that are to do. Of the others a process that was late may have left something."""
        self.work.add(self.todo)
        self.checkpoints.remove(cell.id for cell in new if self.force or cell.id not in self.work.left)
        for cell in new:
            if cell.id in self.left_behind and cell.id not in self.work.left:
                self.claims.drop(cell.id)

    def finish(self, executor: Executor, starting: Starting) -> None:
        """Run all that is left, and what the suite's tables ask for further as they see how it came out."""
        kept, apart = Kept(self.out, self.limit, run_cell), Apart(self.limit)
        if self.work.suspect(self.left_behind) and isinstance(executor, Inline):
            executor = apart  # the cell that ended the earlier run may not be the only one of its kind
            if all(cell.threads == 1 for cell in self.todo):  # in a fork more of torch's threads would wait for ever
                apart.start(kept)
        with apart, self.claims, executor:
            while True:
                try:
                    before = len(self.plan.cells) - len(self.todo)
                    with starting(sorted(self.todo, key=lambda cell: cell.measurement.alone), before):
                        for cell, result in self.work.results(executor, apart, kept):
                            self._take(cell, result, kept)
                except Stopped as raised:
                    self.stopped = self.stopped or raised
                if not self._grown() or self.stopped:
                    return

    def _take(self, cell: Cell, result: Record | Exception | Stopped, kept: Kept) -> None:
        """Write what came of a cell."""
        if isinstance(result, Stopped):
            self.stopped = self.stopped or result
            if result.lost is not None:
                self.lost.append((cell, result.lost))
            return
        if isinstance(result, Exception):  # its process died, so that `run_cell` could not make a record of the failure
            result = make_record(cell, {}, result, datetime.now(UTC), 0.0)
        if self.work.tries(cell) > 1:
            result.attempts = self.work.tries(cell)
        with self.limit.finishing():
            self.store.write(result)
            self.checkpoints.remove([cell.id])
            self.ran.add(cell.id)
            self._note(result)
            self.progress(result, cell)
        kept.done(result)

    def _grown(self) -> bool:
        """Take up the further cells that the suite's tables ask for now; whether there are any."""
        known = {cell.id for cell in self.plan.cells}
        self.plan = self.plan.grown(self.record_of)
        new = [cell for cell in self.plan.cells if cell.id not in known]
        if new:
            self.todo = self._left_of(new)
            self._add(new)
            _note_plan(self.out, self.plan)
        return bool(new)

    def outcome(self) -> Outcome:
        """What the run came to."""
        self.checkpoints.tidy()
        left, done = len(self.work.left.keys() | self.work.given_up), len(self.plan.cells)
        if self.stopped:  # a cell that was to be run again may have its earlier record
            records = [record for cell in self.plan.cells if (record := self.store.read(cell.id))]
            done, self.unwell = len(records), {record.cell: record for record in records if not record.went_well}
        wrong = [self.unwell[cell.id] for cell in self.plan.cells if cell.id in self.unwell]
        return Outcome(done, len(self.ran), wrong, left, self.stopped, tuple(self.lost))


def _note_plan(out: Path, chosen: Plan) -> None:
    typical = typical_seconds(chosen.cells)
    expects = {cell.id: Expects(cell.measurement.kind, typical[cell.id]) for cell in chosen.cells if cell.id in typical}
    write_plan(out, [cell.id for cell in chosen.cells], expects)


def _is_to_retry(record: Record, *, failed: bool) -> bool:
    """Whether a cell that has a record is to be run again: out of memory, or died, it is tried a second time."""
    if record.status in ("out-of-memory", "died") and record.attempts < TRIES:
        return True
    return failed and record.status in ("failed", "out-of-memory", "died")
