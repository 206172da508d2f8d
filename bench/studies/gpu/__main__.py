"""`python -m bench.studies.gpu DIR`: the tests marked `gpu`, steps, JAX beside them, moments, the suite `timing`."""

import importlib.util
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import torch
import typer

from bench.cli.doctor import REPORT
from bench.cli.guard import complain
from bench.run.provenance import machine
from bench.run.store import Store
from bench.studies import results
from bench.studies.gpu import beside_jax, marked_tests, moments, page, steps, suite
from bench.studies.gpu.budget import PARTS, Budget, Failure
from bench.studies.gpu.cases import CASES, JAX_CASES, JUDGED, MOMENTS, SIZES, Case, Sizes
from bench.studies.results import Results, Row, Run
from estimators.errors import BadInput

NAME = "gpu.json"


class Item(NamedTuple):
    """One measurement."""

    title: str
    measure: Callable[[], Iterator[Row]]


class Journal:
    """What was measured so far, on the disk as soon as it is known: a run that is killed keeps it."""

    def __init__(self, path: Path, about: dict[str, Any], provenance: dict[str, Any]) -> None:
        self.path, self.about, self.provenance = path, about, provenance
        self.rows: dict[str, list[Row]] = {"tests": []}

    def add(self, part: str, row: Row) -> None:
        """Keep a row."""
        self.rows.setdefault(part, []).append(row)
        self.write()
        print(f"{part}: {row.quantity} {row.value:.6g} {row.unit} {row.case}", flush=True)

    def write(self) -> None:
        """Put all of it into place."""
        found = Results()
        for part, rows in self.rows.items():
            found = found.replaced(Run(name=part, provenance=self.provenance, about=self.about, rows=tuple(rows)))
        results.write(self.path, found)


def items(
    part: str, device: str, sizes: Sizes, out: Path, journal: Journal, budget: Budget, cases: tuple[Case, ...] | None
) -> Iterator[Item]:
    """What a part measures, in the order of need."""
    match part:
        case "tests":
            yield Item("tests marked gpu", lambda: marked_tests.measure(budget.left(part)))
        case "judged" | "steps":
            chosen = cases or {"judged": JUDGED, "steps": CASES}[part]
            yield from (Item(one.title, partial(steps.measure, one, device, sizes)) for one in chosen)
        case "jax":
            if missing := beside_jax.missing():
                budget.left_out.append(f"jax: all of it, without {' and '.join(missing)}")
                return
            for one in JAX_CASES:
                ours = [row for rows in journal.rows.values() for row in rows]
                yield Item(one.title, partial(beside_jax.measure, one, device, sizes, ours))
        case "moments":
            yield from (
                Item(name, partial(moments.measure, name, device, sizes, asked)) for name, asked in MOMENTS.items()
            )
        case "suite":
            cells = suite.waiting(suite.of(device), out)
            absent = suite.without_data(cells)
            budget.left_out += [f"suite: cells of {name}, whose files are not here" for name in sorted(absent)]
            for cell in cells:
                if not absent & set(cell.problem.datasets()):
                    yield Item(f"cells of {cell.problem.label}", partial(suite.measure, cell, out))


def measure(
    out: Path, device: str, budget: Budget, parts: list[str], sizes: Sizes, cases: tuple[Case, ...] | None = None
) -> None:
    """Measure whatever fits, a row on the disk at a time.

    Args:
        out: the folder.
        device: where.
        budget: the time.
        parts: which of `PARTS`.
        sizes: how much of each.
        cases: steps to time in the place of the listed ones.
    """
    about = {"device": device, "dataset": steps.dataset(device), "batch": steps.BATCH, "sizes": sizes._asdict()}
    journal = Journal(out / NAME, about | {"budget": budget.seconds, "left_out": budget.left_out}, machine(device))
    for part in (name for name in PARTS if name in parts):
        for item in items(part, device, sizes, out, journal, budget, cases):
            if not budget.fits(part, item.title):
                continue
            started = time.monotonic()
            try:
                for row in item.measure():
                    journal.add(part, row)
            except Exception as error:  # one that fails is a result; the others go on
                short = str(error).partition("\n")[0]
                journal.add(part, Failure(item.title, f"{type(error).__name__}: {short}").row())
            budget.took(part, time.monotonic() - started)
    journal.write()


def publish(out: Path) -> str:
    """Make page and table of a folder's gpu.json, and the report of its records; returns the page."""
    found = results.read(out / NAME)
    text = page.markdown(found)
    results.write_texts(out, {"gpu.md": text, "gpu.csv": page.csv(found)})
    records = Store(out).records()
    missing = [package for package in REPORT if importlib.util.find_spec(package) is None]
    if records and missing:
        print(f"records are in {out}; no report here without {', '.join(missing)}: gradest report {out}")
    elif records:
        from bench.report.output import ALL_FORMATS, write

        write(records, out, ALL_FORMATS - {"svg", "png"}, "Time of a training step beside its floor")
    return text


def main(
    out: Annotated[Path, typer.Argument(help="Folder to write into.")],
    device: Annotated[str, typer.Option(help="cuda; or cpu, for a rehearsal.")] = "cuda",
    budget: Annotated[float, typer.Option(min=1, help="Seconds that all of it may take.")] = 290.0,
    part: Annotated[list[str] | None, typer.Option(help=f"Only these: {', '.join(PARTS)}; repeatable.")] = None,
    redraw: Annotated[bool, typer.Option("--redraw", help="Measure nothing; page, table and report alone.")] = False,
) -> None:
    """Measure and write gpu.json, gpu.md, gpu.csv, and a run's folder of the suite `timing`."""
    clock = Budget(budget)
    for name in part or ():
        if name not in PARTS:
            raise typer.BadParameter(f"unknown part {name!r}; expected one of {', '.join(PARTS)}")
    if device not in SIZES:
        raise typer.BadParameter(f"unknown device {device!r}; expected one of {', '.join(SIZES)}")
    if redraw and not (out / NAME).exists():
        raise typer.BadParameter(f"{out} holds no {NAME}: there is nothing to redraw")
    if not redraw:
        if device == "cuda" and not torch.cuda.is_available():
            raise SystemExit(complain("there is no GPU here: torch sees no CUDA device; --device cpu rehearses it"))
        try:
            measure(out, device, clock, part or list(PARTS), SIZES[device])
        except BadInput as error:
            raise SystemExit(complain(str(error))) from error
    print(publish(out))


if __name__ == "__main__":
    typer.run(main)
