"""Final ELBO of every estimator over seeds at its best learning rate, paired with the reference at its own."""

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from bench.report.frames import Frames
from bench.report.sweeps import Ended, Sweep, known, sweeps
from bench.report.tables.view import (
    BUDGET,
    ESTIMATOR,
    UNBIASED,
    Column,
    Row,
    Table,
    budget_words,
    budgets,
    csv_columns,
    ends,
    further_words,
    note,
    rows_of,
    table,
    with_ends,
    with_interval,
)
from bench.report.text import count, interval, number, plural, span
from bench.statistics import joint, mean_interval
from bench.statistics.median import median_interval
from bench.statistics.power import detectable_difference, deviation_interval, seeds_needed

WANTED = 10
"""Seeds of a table that is published."""
_MEANS = ("test_elbo", "train_elbo", "test_iwae", "difference")
_TO_TARGET = ("target_step", "target_f_evals", "target_seconds")
CSV = csv_columns(
    *BUDGET, "learning_rate", "rates", "at_edge", "other_rate", "steps", "rows_per_step", "train_rows", "test_rows",
    *with_ends(*_MEANS), "detectable", "detectable_corrected", "comparisons", *with_ends("seeds_needed"),
    *with_ends("gap"), "pairs", "iwae_samples", "seeds", "diverged", "target", "reached", *with_ends(*_TO_TARGET),
    "train_seconds", "parameters",
)  # fmt: skip


def mean(name: str, *choices: Iterable[float]) -> dict[str, float]:
    """Columns of a mean with its interval, over the values that are finite.

    Args:
        name: of the quantity.
        choices: its values; those after the first are of rates that might be taken instead, and widen the interval.
    """
    finite = [[value for value in values if math.isfinite(value)] for values in choices]
    found = joint(mean_interval(values) for values in finite if values) if finite[0] else (math.nan,) * 3
    return dict(zip(ends(name), found, strict=True))


def _references(of: Sequence[Sweep]) -> dict[tuple[str, str], list[Ended]]:
    """Test ELBOs of a section's references, by label: of the sweep with most seeds that ended, if trained twice."""
    found: dict[tuple[str, str], list[Ended]] = {}
    # Of equally many the first id, whatever the order of the records.
    for sweep in sorted(of, key=lambda sweep: str(sweep.cells[sweep.best][0]["cell"])):
        best, own = sweep.cells[sweep.best][0], sweep.ended()
        place = best["section"], best["label"]
        if best["is_reference"] and len(own[0]) > len(found.get(place, [{}])[0]):
            found[place] = own
    return found


def _to_target(seeds: Sequence[Row]) -> dict[str, Any]:
    """How many seeds reach the target, and the medians of what it takes: a seed that never does takes for ever."""
    row: dict[str, Any] = {"reached": math.nan}
    aimed = [seed for seed in seeds if not math.isnan(seed["target"])]
    if aimed:
        row["reached"] = sum(math.isfinite(seed["target_step"]) for seed in aimed)
    for name in _TO_TARGET:
        median = median_interval([seed[name] for seed in aimed]) if aimed else (math.nan,) * 3
        row |= dict(zip(ends(name), median, strict=True))
    return row


def _row(sweep: Sweep, reference: Sequence[Ended], comparisons: int) -> dict[str, Any]:
    """An estimator's row from its seeds, each at the rate that the others choose.

    Diverged seeds are counted and left out of every mean.
    """
    choices = [known(rows) for rows in sweep.choices()]
    seeds, ended = choices[0], [[seed for seed in rows if not seed["diverged"]] for rows in choices]
    best = sweep.cells[sweep.best][0]
    row = {**best, "seeds": len(seeds), "diverged": len(seeds) - len(ended[0])}
    row |= {"rates": len(sweep.cells), "at_edge": sweep.at_edge}
    row["other_rate"] = sum(seed["cell"] != best["cell"] for seed in seeds)
    for name in ("train_elbo", "test_elbo", "test_iwae"):
        row |= mean(name, *([seed[name] for seed in chosen] for chosen in ended))
    row |= mean("gap", *([seed["train_elbo"] - seed["test_elbo"] for seed in chosen] for chosen in ended))
    both = product(sweep.ended(), reference)
    differences = [[elbo - other[seed] for seed, elbo in own.items() if seed in other] for own, other in both]
    pairs = differences[0] if differences else []
    itself = best["is_reference"] and not np.any(pairs)
    row |= {**mean("difference", *([pairs] if itself else differences or [[]])), "pairs": len(pairs)}
    return {**row, **_to_target(seeds), "comparisons": comparisons, **_told([] if itself else pairs, comparisons)}


def _told(pairs: Sequence[float], comparisons: int) -> dict[str, float]:
    """What difference so many pairs of such a spread tell, and how many pairs would tell the one that was found."""
    row = dict.fromkeys(("detectable", "detectable_corrected", *ends("seeds_needed")), math.nan)
    if len(pairs) > 2:  # two tell their spread to within factors of 0.4 and 32
        row["detectable"] = detectable_difference(pairs)
        row["detectable_corrected"] = detectable_difference(pairs, comparisons=max(1, comparisons))
        row |= dict(zip(ends("seeds_needed"), seeds_needed(pairs), strict=True))
    return row


def build(frames: Frames) -> pd.DataFrame:
    """One row an estimator of a section, at its best learning rate."""
    if frames.finals.empty:
        return frames.finals.reindex(columns=["section", *CSV])
    found = list(sweeps(rows_of(frames.finals)))
    references = _references(found)
    # Another number of seeds is of another run, whose rates may be others: compared are those of one run first.
    alike = {asked: _references([one for one in found if one.asked == asked]) for asked in {one.asked for one in found}}
    others: dict[str, int] = {}
    for sweep in found:
        first = sweep.cells[sweep.best][0]
        others[first["section"]] = others.get(first["section"], 0) + (not first["is_reference"])
    rows = []
    for sweep in found:
        first = sweep.cells[sweep.best][0]
        place = first["section"], first["relative_to"]
        reference = alike[sweep.asked].get(place) or references.get(place, [])
        rows.append(_row(sweep, reference, others[place[0]]))
    built = pd.DataFrame(rows)
    return built.assign(measured=built["test_elbo"].notna())


def rate_words(rate: float) -> str:
    """A learning rate as a person writes it; nothing where it is not known."""
    return "" if math.isnan(rate) else f"{rate:.3g}"


def _rate(row: Row) -> str:
    rate = rate_words(row["learning_rate"])
    return f"{rate} of {row['rates']}{', at the edge' if row['at_edge'] else ''}" if row["rates"] > 1 else rate


def _reached(row: Row) -> str:
    return "" if math.isnan(row["reached"]) else f"{row['reached']:.0f} of {row['seeds']}"


def _median(name: str) -> Callable[[Row], str]:
    """A median with its interval; infinite where fewer than half of the seeds reach the target."""

    def text(row: Row) -> str:
        median, low, high = (row[column] for column in ends(name))
        return number(median) if median == low == high else interval(median, low, high)

    return text


def _others(row: Row) -> str:
    """Seeds that are judged at another rate than the one that the row names."""
    return f"{plural(row['other_rate'], 'seed')} judged at another rate" if row["other_rate"] else ""


def _difference(row: Row) -> str:
    if row["is_reference"] and row["difference"] == 0:
        return "0 (reference)"
    shown = interval(row["difference"], row["difference_low"], row["difference_high"])
    return shown + budgets(row) if shown else ""


def _seeds_needed(row: Row) -> str:
    found, low, high = (count(row[name]) for name in ends("seeds_needed"))
    return f"{found} [{low}, {high}]" if found else ""


def _seeds(row: Row) -> str:
    if not row["diverged"]:
        return f"{row['seeds']}" if row["seeds"] else ""
    return f"{row['seeds'] - row['diverged']} of {row['seeds']}, {row['diverged']} diverged"


def rows_evaluated(frame: pd.DataFrame) -> str:
    """Which rows the ELBOs are of, in a sentence."""
    if frame["train_rows"].isna().all():  # of an earlier release
        return "Train ELBO: of the first evaluation_rows rows; test ELBO: of the whole test set."
    train, test = (span(*frame[name].agg(["min", "max"])) for name in ("train_rows", "test_rows"))
    return (
        f"ELBO of {train} training and {test} test rows, drawn at random once for all estimators and seeds, with as "
        "many draws of z a row for both."
    )


def alone_words(counts: Iterable[float]) -> str:
    """What a choice among rates is worth that no other seed has made, for a caption; empty where others have."""
    return " A single seed chooses for itself, and looks better than it is." if 1 in set(counts) else ""


def _swept(frame: pd.DataFrame) -> str:
    """How the rates were chosen, for a caption; nothing where there was no choice."""
    if not (frame["rates"] > 1).any():
        return ""
    edge = int(frame["at_edge"].sum())
    lies = f" The best rate of {plural(edge, 'estimator')} lies at the edge of its grid: a better one may lie beyond."
    return (
        "Each estimator at the best of its learning rates: by the mean test ELBO, rates at which fewer seeds diverged "
        "first. The rate of each seed is chosen by the other seeds, so that no seed judges its own choice; the rate by "
        "all of them is named, and the table of rates has the others. Where seeds are judged at several rates, an "
        f"interval holds those of each of these rates.{alone_words(frame['seeds'])}{lies if edge else ''} "
    )


def _detectable(frame: pd.DataFrame) -> str:
    known = frame[frame["detectable"].notna()]
    if known.empty:
        return ""
    half, corrected = (number(known[name].median(), 2) for name in ("detectable", "detectable_corrected"))
    most, pairs = known["comparisons"], int(known["pairs"].min())
    low, high = (number(end, 2) for end in deviation_interval(pairs))
    few = (
        f" The spread of the seeds is taken for the true one, which {pairs} pairs tell badly: with 95 % the difference "
        f"lies between {low} and {high} times what is printed; two pairs tell none."
    )
    return (
        "Detectable: the difference that a two-sided paired t-test at 5 % would have shown with a probability of 80 %, "
        f"{half} nats in the median; {corrected} corrected for {span(most.min(), most.max())} comparison"
        f"{'s' * bool(most.max() != 1)} (Bonferroni)."
        f"{few if pairs < 5 else ''}"
        " Seeds to tell: how many would show the difference that was found as surely, not corrected, with the 95 % "
        "interval that its size in standard deviations leaves. "
    )


def _aimed(frame: pd.DataFrame) -> str:
    targets = sorted({float(target) for target in frame["target"].dropna()})
    if not targets:
        return ""
    return (
        f"Target: a test ELBO of {' or '.join(f'{target:g}' for target in targets)} nats, fixed before the run; "
        "reached at the first evaluation that shows it. Evaluations of f of one seed and seconds of all seeds together "
        "until then: medians over all seeds with a 95 % interval between order statistics, where a seed that misses "
        "the target takes for ever (∞). "
    )


def seed_words(counts: Iterable[float]) -> str:
    """How many seeds there are, and what to think of few, for a caption."""
    found = sorted({int(n) for n in counts if not math.isnan(n)} - {0})
    few = " Fewer than 5 seeds: read the intervals with care." if found and found[0] < 5 else ""
    few += f" A published table wants {WANTED} or more." if found and found[0] < WANTED else ""
    return f"Seeds: {' or '.join(plural(n, 'seed') for n in found) or 'none'}.{few}"


BRIEF = ("estimator", "budget", "test_elbo", "difference", "train_seconds", "seeds")


def make(frame: pd.DataFrame, relative_to: str) -> Table:
    """The printed table."""
    samples = sorted({int(k) for k in frame["iwae_samples"].dropna()})
    k = "/".join(str(count) for count in samples) or "K"
    # Rows that share their latents have no bound of many samples each.
    bounded = frame["test_iwae"].notna().any() or not frame["test_elbo"].notna().any()
    of_bound = f" The IWAE bound is of the whole test set, with {k} samples." if bounded else ""
    caption = (
        "Bounds in nats at the end of training, mean over seeds with its 95 % Student-t interval. "
        f"{_swept(frame)}{rows_evaluated(frame)}{of_bound} Test ELBO "
        f"minus {relative_to}'s: paired by seed, which fixes initialisation and data order for all estimators alike. "
        f"{_detectable(frame)}Gap: train minus test ELBO. {_aimed(frame)}Seconds: training all seeds of the cell "
        "together, evaluation excluded. Diverged seeds are counted and left out of the means. "
        f"f-evals: evaluations of f a row and step.{further_words(frame)} "
        f"{seed_words(frame['seeds'])} † declared biased."
    )
    to_target = (
        Column("target reached", _reached, order="reached"),
        Column("evaluations to target", _median("target_f_evals"), order="target_f_evals"),
        Column("seconds to target", _median("target_seconds"), order="target_seconds"),
    )
    if words := budget_words(frame, relative_to):
        caption += f" {words}"
    columns = (
        ESTIMATOR,
        UNBIASED,
        Column("f-evals", lambda row: count(row["budget"]), name="budget"),
        Column("learning rate", _rate, name="learning_rate"),
        Column("steps", lambda row: count(row["steps"]), name="steps"),
        Column("test ELBO", with_interval("test_elbo"), name="test_elbo"),
        Column("train ELBO", with_interval("train_elbo"), name="train_elbo"),
        *([Column(f"test IWAE-{k}", with_interval("test_iwae"), name="test_iwae")] if bounded else []),
        Column(f"test ELBO - {relative_to}", _difference, name="difference"),
        Column("detectable", lambda row: number(row["detectable"], 2), name="detectable"),
        Column("seeds to tell", _seeds_needed, name="seeds_needed"),
        Column("gap", with_interval("gap"), name="gap"),
        *(to_target if frame["target"].notna().any() else ()),
        Column("seconds", lambda row: number(row["train_seconds"]), name="train_seconds"),
        Column("seeds", _seeds, left=True, name="seeds", order="seeds"),
        Column("note", lambda row: note(row, _others(row)), left=True),
    )
    return table("elbo", "ELBO", caption, columns, frame, CSV, BRIEF)
