"""The protocols of published trainings, as hashes that a report finds records by.

    python -m bench.studies.protocols bench/published/trainings

A report knows no suites. So what protocol a published number is of is looked up here, in the cells of the suite that
its table names, and written beside the tables.
"""

import csv
import io
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.config import typed_estimator
from bench.published.trained import COLUMNS, PROTOCOLS, TrainedCell, TrainedTable, same_rate, trained_tables
from bench.records.identity import TRAINED, Identity
from bench.run.files import write_atomic
from bench.suite.load import load_suite
from bench.suite.plan import plan
from bench.suite.schema import Suite
from estimators.errors import BadInput, unknown


def made(folder: Path) -> str:
    """The csv of a folder of tables.

    Raises:
        BadInput: a table that is wrong, or that its suite does not go with.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for name, table in trained_tables(folder).items():
        found = protocols(name, table, _suite(name, table, folder))
        writer.writerows((name, cell.problem, cell.estimator, protocol) for cell, protocol in found)
    return text.getvalue()


def _suite(name: str, table: TrainedTable, folder: Path) -> Suite:
    """The suite of a table: one that lies beside it, where its name ends in .toml, or one of the package."""
    own = table.suite.endswith(".toml")
    try:
        return load_suite(str(folder / table.suite) if own else table.suite)
    except BadInput as error:
        raise BadInput(f"{name}.toml: suite: {error}") from error


def protocols(name: str, table: TrainedTable, suite: Suite) -> Iterator[tuple[TrainedCell, str]]:
    """Each published number of a table with the protocol that its suite's cells of it have.

    Raises:
        BadInput: the suite has no such cells, or they are of several protocols, other steps or other learning rates.
    """
    trained: dict[tuple[str, str], list[Identity]] = {}
    for cell in plan(suite).cells:
        if (one := cell.identity).kind == TRAINED:
            trained.setdefault((one.problem.label, one.estimator.label), []).append(one)
    for published in table.cells:
        where = f"{name}.toml: {published.estimator} on {published.problem}"
        label = typed_estimator(table.estimators[published.estimator]).label
        for kind, asked, there in (
            ("problem", published.problem, [problem for problem, _ in trained]),
            ("estimator", label, [own for problem, own in trained if problem == published.problem]),
        ):
            if asked not in there:
                raise BadInput(f"{where}: {unknown(f'{kind} of suite {suite.name}:', asked, sorted(set(there)))}")
        own = trained[published.problem, label]
        _check(where, table, suite.name, own)
        (protocol,) = {str(one.protocol) for one in own}
        yield published, protocol


def _check(where: str, table: TrainedTable, suite: str, own: list[Identity]) -> None:
    """Refuse cells of a suite that are not of a table."""
    if len({one.protocol for one in own}) > 1:
        raise BadInput(f"{where}: the cells of suite {suite} are of several protocols, where one is meant")
    if (steps := own[0].measurement.optimisation["steps"]) != table.steps:
        raise BadInput(f"{where}: suite {suite} trains for {steps} steps, and the table says {table.steps}")
    rates = [one.measurement.learning_rate or 0.0 for one in own]
    if lacking := [rate for rate in table.rates if not any(same_rate(rate, other) for other in rates)]:
        there = ", ".join(f"{rate:g}" for rate in sorted(rates))
        raise BadInput(f"{where}: suite {suite} has no learning rate {lacking[0]:g}: it has {there}")


if __name__ == "__main__":
    target = Path(sys.argv[1])
    write_atomic(target / PROTOCOLS, made(target).encode())
