"""The suite `timing` on a device, a record a cell as soon as it is measured, those of MNIST first."""

from collections.abc import Iterator
from pathlib import Path

from bench.datasets import DataError, load
from bench.run.cell import run_cell
from bench.run.planned import write_plan
from bench.run.store import Store
from bench.studies import results
from bench.suite.load import load_suite, override
from bench.suite.plan import plan
from bench.suite.schema import Cell, Suite
from bench.suite.toml import dumps

EMBEDDED = "digits"
"""The data set whose cells come last."""


def of(device: str, name: str = "timing") -> Suite:
    """The suite, on the device."""
    return override(load_suite(name), device=device)


def waiting(suite: Suite, out: Path) -> list[Cell]:
    """Its cells that have no record in the folder yet, in the order of need: MNIST before the digits."""
    store = Store(out)
    cells = plan(suite).cells
    results.write_texts(out, {"suite.toml": dumps(suite.model_dump(mode="json", exclude_none=True))})
    write_plan(out, [cell.id for cell in cells])
    todo = [cell for cell in cells if store.read(cell.id) is None]
    return sorted(todo, key=lambda cell: EMBEDDED in cell.problem.datasets())


def without_data(cells: list[Cell]) -> set[str]:
    """Data sets of the cells that are not at hand."""
    return {name for name in {name for cell in cells for name in cell.problem.datasets()} if not _here(name)}


def _here(name: str) -> bool:
    try:
        load(name, download=False)
    except DataError:
        return False
    return True


def measure(cell: Cell, out: Path) -> Iterator[results.Row]:
    """Measure a cell and write its record; there are no rows beside it."""
    Store(out).write(run_cell(cell))
    yield from ()
