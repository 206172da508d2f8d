"""`gradest run SUITE --dry-run`: which cells there are, and what they will take, before anything is run or written."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.cli.loudness import ASKED
from bench.report.text import plural

if TYPE_CHECKING:
    from bench.records.record import Record
    from bench.suite.cost import Total
    from bench.suite.schema import Cell, Suite


class Foretold(NamedTuple):
    """What the cells that are to be run will take."""

    total: "Total"
    seconds: float | None
    """With so many processes as were asked for; None where nothing is known."""
    by: str
    """What the seconds are known by."""
    alone: int
    """Cells that run alone, after the others."""


def show_plan(suite: "Suite", out: Path, *, as_json: bool = False, workers: int | None = None) -> None:
    """Print what a run would do: a matrix of counts, or every cell where more is asked for; and what it will take."""
    from bench.cli.matrix import blocks, left_out, plain
    from bench.cli.tables import print_json, print_lines, print_table, width
    from bench.run.store import Store
    from bench.suite.plan import plan

    store = Store(out)
    chosen = plan(suite).grown(lambda cell: store.read(cell.id))
    records = [record for cell in chosen.cells if (record := store.read(cell.id)) is not None]
    ready = {record.cell for record in records}
    done = {cell.id: cell.id in ready for cell in chosen.cells}
    foretold = foretell(chosen.cells, records, workers or 1)
    if as_json:
        print_json(plain(chosen, done, str(out)) | {"to_run": as_plain(foretold)})
        return
    if ASKED.verbose:
        rows = [{"cell": cell.id, "done": done[cell.id], "what": cell.title} for cell in chosen.cells]
        if suite.budgets[1:]:  # one estimator is there once a budget, which is told by its draws of z
            rows = [row | {"samples": cell.estimator.samples} for row, cell in zip(rows, chosen.cells, strict=True)]
        print_table(rows, whole=("cell",))
    else:
        for title, rows in blocks(chosen.cells, done, width()):
            print_lines([title])
            print_table(rows, whole=())
            print()
    print_lines(left_out(chosen.skipped))
    print_lines(f"may grow: {words}" for words in dict.fromkeys(series.table.growth() for series in chosen.series))
    print_lines(sentences(foretold))
    there = f", {len(records)} of them done" if records else ""
    more = "" if ASKED.verbose else " (--verbose lists them)"
    print_lines([f"{plural(len(chosen.cells), 'cell')}{there}, into {out}{more}"])


def foretell(cells: "Sequence[Cell]", records: "Sequence[Record]", workers: int) -> Foretold:
    """What the cells without a record will take, by the records of the others, or by a probe of this machine.

    Args:
        cells: of the whole plan.
        records: of those that are done.
        workers: processes.
    """
    from bench.run.expected import Expected
    from bench.run.probe import slowness
    from bench.suite.cost import total, typical_seconds

    ready = {record.cell for record in records}
    todo = [cell for cell in cells if cell.id not in ready]
    typical = typical_seconds(cells)
    expected = Expected(records, typical)
    known = {cell.id: expected.seconds(cell) for cell in todo}
    by = "by the records of the folder" if any(seconds is not None for seconds in known.values()) else ""
    unknown = [cell.id for cell, seconds in zip(todo, known.values(), strict=True) if seconds is None]
    if any(cell in typical for cell in unknown):
        slow = slowness()
        known |= {cell: typical[cell] * slow for cell in unknown if cell in typical}
        by = " and ".join(filter(None, (by, "by a short probe of this machine")))
    found = [(cell, seconds) for cell in todo if (seconds := known[cell.id]) is not None]
    beside = sum(seconds for cell, seconds in found if not cell.measurement.alone)
    alone = sum(seconds for cell, seconds in found if cell.measurement.alone)
    seconds = beside / workers + alone if found or not todo else None
    return Foretold(total(todo), seconds, by, sum(cell.measurement.alone for cell in todo))


def sentences(foretold: Foretold) -> list[str]:
    """What is foretold, in lines for a person; nothing of a plan that is done."""
    from bench.suite.cost import in_bytes

    total, lines = foretold.total, []
    if total.largest is not None:
        lines.append(f"at most {in_bytes(total.memory)} of memory, which {total.largest.title} takes")
        took = "unknown" if foretold.seconds is None else f"about {in_time(foretold.seconds)}, {foretold.by}"
        lines.insert(0, f"{in_words(total.evaluations)} evaluations of f; time: {took}")
        if total.steps:
            lines.insert(0, f"{in_words(total.steps)} steps of training")
    elif foretold.seconds:
        lines.append(f"time: about {in_time(foretold.seconds)}, {foretold.by}")
    if total.on_h100 is not None:
        lines.append(f"on an H100: about {in_time(total.on_h100)}, by recorded steps of one")
    if total.unknown:
        lines.append(f"{plural(total.unknown, 'cell')} of a measurement that does not say what it costs")
    if foretold.alone:
        verb = "runs" if foretold.alone == 1 else "run"
        lines.append(f"{plural(foretold.alone, 'timing cell')} {verb} alone, after the others")
    return lines


def as_plain(foretold: Foretold) -> dict[str, Any]:
    """The same as JSON has it."""
    total = foretold.total
    return {
        "steps": total.steps,
        "evaluations_of_f": total.evaluations,
        "seconds": foretold.seconds,
        "seconds_by": foretold.by or None,
        "seconds_on_h100": total.on_h100,
        "memory_bytes": total.memory,
        "memory_of": total.largest.id if total.largest else None,
        "unknown": total.unknown,
        "alone": foretold.alone,
    }


def in_words(count: float) -> str:
    """A large number in two digits and a word: 12 million."""
    from bench.suite.cost import short

    return short(count, ("", " thousand", " million", " billion", " trillion"))


def in_time(seconds: float) -> str:
    """Seconds in the unit that a person would take."""
    for unit, length, until in (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 172_800)):
        if seconds < until:
            return f"{max(1, round(seconds / length))} {unit}"
    return f"{seconds / 86_400:.0f} days"
