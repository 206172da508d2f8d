"""Two folders of runs: their pairs of records as rows, what is in one of them alone, and what sets them apart."""

from pathlib import Path
from typing import NamedTuple

from bench.printed import visible
from bench.records import damage
from bench.records.damage import Damage
from bench.records.record import Record
from bench.records.shown import newest, sentences
from bench.report.compare.notes import Difference, differences, settings
from bench.report.compare.pairs import Pair, budgets, pair_up, place
from bench.report.compare.quantities import Row, rows_of
from bench.report.printable import printable
from bench.run.folder import suite_file
from bench.run.store import Store
from estimators.errors import BadInput

TWICE = "doubt all: both folders hold the same records, down to when each began, so nothing was measured in between"


class Comparison(NamedTuple):
    """Two runs side by side."""

    names: tuple[str, str]
    """The folders, A and B."""
    rows: list[Row]
    """By kind of cell, problem, place and estimator."""
    alone: tuple[list[str], list[str]]
    """Titles of the cells that went well in A alone, and in B alone."""
    left_out: list[str]
    """What is said of records that are damaged, and of those that a newer one of the same folder stands for."""
    settings: list[Difference]
    provenance: list[Difference]
    doubts: tuple[str, ...] = ()
    """What to doubt of the comparison as a whole."""
    damaged: tuple[Damage, ...] = ()
    """What lies in the place of records of either folder and is none; nothing here is of them."""

    def notes(self) -> list[str]:
        """All that sets the runs apart, a line each: what one of them lacks, what is left out, settings, provenance."""
        both = zip(self.alone, self.names, strict=True)
        alone = [f"{len(titles)} cells went well in {name} alone" for titles, name in both]
        return [*alone, *self.left_out, *(found.words() for found in (*self.settings, *self.provenance))]


def compare(first: Path, second: Path) -> Comparison:
    """What both runs measured, side by side, and what sets them apart.

    A variance is compared by the ratio B / A. A cell's noise comes from its id: cells of one configuration are the same
    draws, equal or different for their source's or machine's sake, and no interval of independent draws holds for them;
    of other settings the draws are independent, and the 95 % interval is the jackknife's on log variance, or Student's
    over trajectories where there are several: paired where the weights are the same, else Welch's. The test ELBO is
    compared by the mean of B - A over the seeds that both have, by number (Student t), the step time by the ratio of
    the two ratios to the plain step timed beside each, so that no second of one machine is set beside one of another.

    Raises:
        BadInput: a folder holds no run, or the two share nothing.
    """
    runs, left_out, damaged, names = [], list[str](), list[Damage](), (first, second)
    for directory in names:
        suite_file(directory)
    for directory in names:
        there = Store(directory).found()
        damaged += there.damaged
        found = newest(there.records)
        runs.append([printable(record) for record in found.records if record.went_well])
        left_out += map(visible, damage.sentences(there.damaged) + sentences(found.left_out))
    pairs = pair_up(*runs)
    for run, name in zip(runs, names, strict=True):
        if not run:
            raise BadInput(f"no cell of {str(name)!r} went well: gradest status {name} says why")
    if not pairs:
        raise BadInput(f"{str(first)!r} and {str(second)!r} share no measurement of one estimator on one problem")
    swept = budgets(*runs)
    return Comparison(
        names=(visible(str(first)), visible(str(second))),
        rows=[row for pair in sorted(pairs, key=place) for row in rows_of(pair, pair.a.config.comparable in swept)],
        alone=(_alone(runs[0], pairs, 0), _alone(runs[1], pairs, 1)),
        left_out=left_out,
        settings=settings(pairs),
        provenance=differences(pairs),
        damaged=tuple(damaged),
        doubts=(TWICE,) if all(pair.a == pair.b for pair in pairs) else (),
    )


def _alone(run: list[Record], pairs: list[Pair], side: int) -> list[str]:
    """Titles of the records of a run that stand beside none of the other."""
    paired = {id(pair[side]) for pair in pairs}
    return [record.config.title for record in run if id(record) not in paired]
