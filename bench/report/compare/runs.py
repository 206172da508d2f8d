"""Two folders of runs, their pairs of records as rows, and what to know of them."""

from pathlib import Path
from typing import Any

from bench.records.shown import newest, sentences
from bench.report.compare.notes import differences, settings
from bench.report.compare.pairs import budgets, pair_up, place
from bench.report.compare.quantities import rows_of
from bench.run.folder import suite_file
from bench.run.store import Store
from estimators.errors import BadInput


def compare(first: Path, second: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """Rows for what both runs measured, and notes on what sets them apart.

    A variance is compared by the ratio B / A. A cell's noise comes from its id: cells of one configuration are the same
    draws, equal or different for their source's or machine's sake, and no interval of independent draws holds for them;
    of other settings the draws are independent, and the 95 % interval is the jackknife's on log variance, or Student's
    over trajectories where there are several: paired where the weights are the same, else Welch's. The test ELBO is
    compared by the mean of B - A over the seeds that both have, by number (Student t), the step time by the ratio of
    the two ratios to the plain step timed beside each, so that no second of one machine is set beside one of another.

    Raises:
        BadInput: a folder holds no run, or the two share nothing.
    """
    runs, notes, names = [], [], (first, second)
    for directory in names:
        suite_file(directory)
        found = newest(Store(directory).whole())
        runs.append([record for record in found.records if record.went_well])
        notes += sentences(found.left_out)
    pairs = pair_up(*runs)
    for run, name in zip(runs, names, strict=True):
        if not run:
            raise BadInput(f"no cell of {str(name)!r} went well: gradest status {name} says why")
    if not pairs:
        raise BadInput(f"{str(first)!r} and {str(second)!r} share no measurement of one estimator on one problem")
    swept = budgets(*runs)
    rows = [row for pair in sorted(pairs, key=place) for row in rows_of(pair, pair.a.config.comparable in swept)]
    alone = [f"{len(run) - len(pairs)} cells went well in {name} alone" for run, name in zip(runs, names, strict=True)]
    return rows, [*alone, *notes, *settings(pairs), *differences(pairs)]
