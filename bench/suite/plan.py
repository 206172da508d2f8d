"""From a suite to its cells: every estimator on every problem that its tags allow, at every budget it can spend."""

from typing import NamedTuple

import bench.datasets
from bench.problems.base import Problem
from bench.suite.draws import fits
from bench.suite.schema import Cell, Suite
from estimators.errors import BadInput


class Skipped(NamedTuple):
    """A pair that tags rule out, or one of the suite's budgets for it."""

    problem: str
    estimator: str
    reason: str


class Plan(NamedTuple):
    """What a suite comes to."""

    cells: list[Cell]
    skipped: list[Skipped]


def plan(suite: Suite) -> Plan:
    """All cells of a suite, cheap ones first, and the pairs that tags rule out.

    Raises:
        BadInput: an unknown estimator, option or data set, or an estimator that no problem allows.
    """
    for given in suite.estimators:
        given.resolved(suite.samples)  # wrong options are refused before data sets are looked for
    for problem in suite.problems:
        _check_data(suite, problem)
    cells: list[Cell] = []
    skipped: list[Skipped] = []
    for given in suite.estimators:
        legal = 0
        for problem in suite.problems:
            configs, reasons = fits(given, problem, samples=suite.samples, budgets=suite.budgets)
            skipped += [Skipped(problem.label, given.label, reason) for reason in reasons]
            legal += len(configs)
            cells += [
                Cell(
                    measurement=table.of(point, suite.common()),
                    problem=point,
                    estimator=config,
                    device="cpu" if point.only_on_cpu else suite.device,
                    threads=suite.threads,
                    matmul_precision=suite.matmul_precision,
                )
                for config in configs
                for point in problem.points()
                for table in suite.tables()
                if isinstance(point, table.asks)
            ]
        if not legal:
            raise BadInput(f"estimator {given.label!r} fits no problem of the suite: it {'; it '.join(reasons)}")
    cells.sort(key=lambda cell: (cell.problem.cost, cell.problem.label, cell.measurement.order))
    return Plan(cells, skipped)


def _check_data(suite: Suite, problem: Problem) -> None:
    wanted = {"training.batch": suite.training.batch, "moments.rows": suite.moments.rows if suite.moments else 0}
    for name in problem.datasets():
        rows = bench.datasets.info(name).rows[0]
        for key, count in wanted.items():
            if count > rows:
                raise BadInput(f"{key} = {count} is larger than the train split of {name}, {rows} rows")
