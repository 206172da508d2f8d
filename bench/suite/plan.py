"""From a suite to its cells: every estimator on every problem that its tags allow, at every budget it can spend."""

from collections import Counter
from collections.abc import Callable
from itertools import product
from typing import NamedTuple

import bench.datasets
from bench.measure.base import Common, Done, Settings
from bench.problems.base import Problem
from bench.records.record import Record
from bench.suite.draws import Fits, fits
from bench.suite.schema import Cell, Suite
from estimators.errors import BadInput

MOST_CELLS = 100_000
"""Cells of a suite: a folder of more files is slow to list, and a run of more has a table that nobody reads."""


class Skipped(NamedTuple):
    """A pair that tags rule out, or that the suite leaves out; or one of its budgets for it."""

    problem: str
    estimator: str
    reason: str


class Series(NamedTuple):
    """The cells of one estimator at one point of a problem for a table that may ask for more of them."""

    table: Settings
    common: Common
    cells: tuple[Cell, ...]

    def further(self, record_of: Callable[[Cell], Record | None]) -> list[Cell]:
        """The cells that the table asks for now; none as long as one of the present ones has no record."""
        done = []
        for cell in self.cells:
            if (record := record_of(cell)) is None:
                return []
            done.append(Done(cell.measurement, record))
        wanted = self.table.further(self.cells[0].problem, self.common, done)
        cells = [self.cells[0].model_copy(update={"measurement": measurement}) for measurement in wanted]
        return [cell for cell in cells if cell not in self.cells]


class Plan(NamedTuple):
    """What a suite comes to."""

    cells: list[Cell]
    skipped: list[Skipped]
    series: tuple[Series, ...] = ()
    """Those that may grow."""

    def grown(self, record_of: Callable[[Cell], Record | None]) -> "Plan":
        """With all further cells that its tables ask for, given the records that are there.

        Args:
            record_of: a cell's record, of whatever status; None where it is still to be run.
        """
        cells, series = list(self.cells), list[Series]()
        for one in self.series:
            while further := one.further(record_of):
                cells += further
                one = one._replace(cells=(*one.cells, *further))
            series.append(one)
        return self._replace(cells=_in_order(cells), series=tuple(series))


def plan(suite: Suite) -> Plan:
    """All cells of a suite, cheap ones first, and the pairs that tags rule out or that it leaves out.

    Raises:
        BadInput: an unknown estimator, option or data set, or an estimator that no problem allows.
    """
    for given in suite.estimators:
        given.resolved(suite.samples)  # wrong options are refused before data sets are looked for
    for problem in suite.problems:
        _check_data(suite, problem)
    cells: list[Cell] = []
    skipped: list[Skipped] = []
    series: list[Series] = []
    for given in suite.estimators:
        legal = 0
        for problem in suite.problems:
            configs, reasons = (
                Fits([], ["stands in [[leave_out]]"])
                if suite.leaves_out(problem.label, given.label)
                else fits(given, problem, samples=suite.samples, budgets=suite.budgets)
            )
            skipped += [Skipped(problem.label, given.label, reason) for reason in reasons]
            legal += len(configs)
            common = suite.common(problem, given)
            for config, point, table in product(configs, problem.points(), suite.tables()):
                if not isinstance(point, table.asks):
                    continue
                planned = [
                    Cell(
                        measurement=measurement,
                        problem=point,
                        estimator=config,
                        device="cpu" if point.only_on_cpu else suite.device,
                        threads=suite.threads,
                        matmul_precision=suite.matmul_precision,
                    )
                    for measurement in table.planned(point, common)
                ]
                cells += planned
                if len(cells) > MOST_CELLS:
                    raise BadInput(f"the suite comes to more than {MOST_CELLS} cells: make two of it")
                series += [Series(table, common, tuple(planned))] if table.growth() else []
        if not legal:
            raise BadInput(f"estimator {given.label!r} fits no problem of the suite: it {'; it '.join(reasons)}")
    twice = [cell for cell, count in Counter(cell.id for cell in cells).items() if count > 1]
    if twice:
        title = next(cell.title for cell in cells if cell.id == twice[0])
        raise BadInput(f"the suite asks for {title!r} more than once: give each point, and each setting, once")
    return Plan(_in_order(cells), skipped, tuple(series))


def _in_order(cells: list[Cell]) -> list[Cell]:
    """Cheap ones first; those of a problem and a kind are neighbours."""
    return sorted(cells, key=lambda cell: (cell.problem.cost, cell.problem.label, cell.measurement.order))


def _check_data(suite: Suite, problem: Problem) -> None:
    wanted = {"training.batch": suite.training.batch, "moments.rows": suite.moments.rows if suite.moments else 0}
    for name in problem.datasets():
        rows, _, test_rows = bench.datasets.info(name).rows
        if suite.elbo and not test_rows:
            raise BadInput(
                f"{name} has no test rows, on which [elbo] evaluates trainings: leave [elbo] out, or take another data "
                "set"
            )
        if suite.moments and suite.moments.minibatches > 1 and suite.moments.rows == rows:
            raise BadInput(
                f"moments.rows = {rows} is the whole train split of {name}, so that all minibatches would be the "
                "same: take fewer rows, or minibatches = 1"
            )
        for key, count in wanted.items():
            if count > rows:
                raise BadInput(f"{key} = {count} is larger than the train split of {name}, {rows} rows")
