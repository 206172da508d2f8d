"""Sentences that captions share: what was fixed, how many draws, which tails are heavy, what is missing.

A caption is two lines: what a figure shows, with interval, method and n. What limits its numbers stands in its notes,
and what is the same for all figures is said once, in `bench.report.figures.reading`.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import pandas as pd

from bench.report.style import Style
from bench.report.tables.view import about, exact_words, settled_words
from bench.report.text import plural, span
from bench.statistics import FEW_EFFECTIVE_DRAWS

BIASED = "Hollow, †: declared biased."


class Words(NamedTuple):
    """What is said of a figure."""

    caption: str
    notes: tuple[str, ...]
    """Sentences on what limits its numbers."""


def words(caption: Iterable[str], notes: Iterable[str]) -> Words:
    """Sentences of a caption and of its notes, empty ones left out."""
    return Words(join(*caption), tuple(filter(None, notes)))


def names(labels: Iterable[object], styles: Mapping[str, Style]) -> str:
    """Estimators as they are printed, but for those that are grey; empty where there are none."""
    return ", ".join(styles[str(label)].label for label in labels if not styles[str(label)].behind)


def marked(rows: pd.DataFrame, styles: Mapping[str, Style]) -> str:
    """What hollow markers, numbers behind names and grey stand for, where there are any."""
    grey = sum(styles[str(label)].behind for label in rows["label"].unique())
    return join(
        BIASED if not rows["unbiased"].all() else "",
        "In parentheses: evaluations of f a row." if rows["budget"].nunique() > 1 else "",
        f"Grey: {f'the {grey} others' if grey > 1 else 'the other one'}." if grey else "",
    )


def problem(heading: str, rows: pd.DataFrame) -> str:
    """`digits/bernoulli-8/nonlinear (digits, bernoulli latents, ELBO, sampled entropy)`.

    Args:
        heading: the section.
        rows: all of it.
    """
    first = about({str(name): value for name, value in rows.iloc[0].items()})
    return f"{heading} ({first})" if first else heading


def spent(rows: pd.DataFrame) -> str:
    """How many evaluations of f the estimators of a figure spend; empty where nobody knows."""
    known = sorted(rows["budget"].dropna().unique())
    if len(known) < 2:
        return f"{plural(round(known[0]), 'evaluation')} of f a row." if known else ""
    listed = f"{', '.join(f'{one:g}' for one in known[:-1])} or {known[-1]:g}"
    numbers = listed if len(known) < 5 else span(known[0], known[-1])
    return f"{numbers} evaluations of f a row, in parentheses behind each name."


def looks(rows: pd.DataFrame, styles: Mapping[str, Style]) -> dict[str, Style]:
    """The look of each estimator of a figure; where they differ, with its evaluations of f a row behind its name."""
    known = rows.dropna(subset=["budget"]).drop_duplicates("label")
    spent = dict(zip(known["label"], known["budget"], strict=True))
    if len(set(spent.values())) < 2:
        return dict(styles)
    behind = {label: f"{style.label} ({spent[label]:g})" for label, style in styles.items() if label in spent}
    return {label: style._replace(label=behind.get(label, style.label)) for label, style in styles.items()}


def batch(rows: pd.DataFrame) -> str:
    """`, a batch of 50 rows`, at which times and their ratios hold; empty where unknown."""
    known = rows["batch"].dropna()
    return f", a batch of {span(known.min(), known.max())} rows" if len(known) else ""


def draws(rows: pd.DataFrame) -> str:
    """`n = 1000 draws`, or `n = 200 draws at each of 5 minibatches of each of 5 trajectories`."""
    words = f"n = {span(rows['draws'].min(), rows['draws'].max())} draws"
    return f"{words} at each of {units(rows)}" if units(rows) else words


def units(rows: pd.DataFrame, of_rows: str = "") -> str:
    """`5 minibatches (20 rows) of each of 5 trajectories`; empty where all points are single ones."""
    counts = rows[["minibatches", "trajectories"]].dropna()
    if counts.empty:
        return ""
    (few, many), (one, more) = (counts[name].agg(["min", "max"]) for name in counts)
    of = f"each of {span(one, more)} trajectories" if more > 1 else "1 trajectory"
    return f"{span(few, many)} {'minibatches' if many > 1 else 'minibatch'}{of_rows} of {of}"


def method(rows: pd.DataFrame, single: str) -> str:
    """How the intervals of rows are made: over trajectories where there are several, else as `single` says."""
    if rows["trajectories"].isna().all():
        return single
    several = bool((rows["trajectories"] > 1).any())
    return "95 % Student-t interval over trajectories" if several else "none, as one trajectory tells of no other"


def spread(rows: pd.DataFrame, mark: str, interval: str, more: str = "") -> str:
    """What marks the interval of what was sampled, from how many draws, and that the rest is exact and has none.

    Args:
        rows: what is drawn.
        mark: `Bars` or `Bands`.
        interval: its method.
        more: of it, after the number of draws.
    """
    sampled = rows[~rows["exact"]]
    words = "" if sampled.empty else f"{mark}: {method(sampled, interval)}, {draws(sampled)}{more}."
    if len(sampled) == len(rows):
        return words
    which = "all points" if sampled.empty else plural(len(rows) - len(sampled), "point")
    return join(words, f"Exact, and so without {mark.lower()}: {which}.")


def exactly(rows: pd.DataFrame) -> str:
    """How what is exact was got, and in which state estimators that have one were; empty where nothing is exact."""
    found = exact_words(rows)
    return join(f"Exact: {found}.", settled_words(rows)) if found else ""


def fixed(rows: pd.DataFrame) -> str:
    """What does not vary between the draws."""
    if rows["step"].notna().any():
        size = rows["rows"].dropna()
        count = plural(int(size.iloc[0]), "row") if len(size) else ""
        drivers = " or ".join(sorted({str(name) for name in rows["driver"].dropna()}))
        of_rows, trained = f" ({count})" if count else "", f", trained by {drivers}" if drivers else ""
        if over := units(rows, of_rows):
            return f"Mean over {over}{trained}."
        return f"Parameters and minibatch{of_rows} are fixed, at checkpoints of one reference trajectory{trained}."
    return "The parameters of q are fixed at each point."


def _where(rows: pd.DataFrame, styles: Mapping[str, Style]) -> str:
    """`disarm at step 0, step 30; arms at step 300`, the first few estimators alone of many."""
    by_label = [(styles[str(label)], points) for label, points in rows.groupby("label")["point"]]
    found = [f"{style.label} at {', '.join(points)}" for style, points in by_label if not style.behind]
    more = f"; and {plural(len(found) - 4, 'more estimator')}" if len(found) > 4 else ""
    return "; ".join(found[:4]) + more


def heavy(rows: pd.DataFrame, styles: Mapping[str, Style]) -> str:
    """Which points are heavy-tailed, so that their interval is optimistic or missing; empty where none is."""
    flagged = rows[rows["heavy_tailed"]]
    if flagged.empty:
        return ""
    which = _where(flagged, styles)
    if not which:
        return ""
    return (
        f"Heavy tails (draws / kurtosis below {FEW_EFFECTIVE_DRAWS:g}, or too few rare outcomes), whose intervals are "
        f"optimistic or missing: {which}."
    )


def rare(rows: pd.DataFrame, styles: Mapping[str, Style]) -> str:
    """Where q has outcomes too rare for the draws, and of whom where not all are drawn; empty where nowhere."""
    flagged = rows[rows["variance_rare"]]
    if flagged.empty:
        return ""
    points = ", ".join(flagged.sort_values("position")["point"].drop_duplicates())
    if rows["exact"].any():
        which = _where(flagged, styles)
        return f"Outcomes of q too rare for the draws, so that a variance may be too low: {which}." if which else ""
    return f"Outcomes of q too rare for the draws, so that a variance may be too low: at {points}."


def absent(rows: pd.DataFrame, styles: Mapping[str, Style]) -> str:
    """Which estimators have a cell but nothing to draw; empty where none."""
    failed = rows[~rows["measured"]].drop_duplicates("label")
    pairs = [(styles[str(label)], status) for label, status in zip(failed["label"], failed["status"], strict=True)]
    which = ", ".join(f"{style.label} ({status})" for style, status in pairs if not style.behind)
    return f"Not shown, nothing measured: {which}." if which else ""


def busy(rows: pd.DataFrame, styles: Mapping[str, Style], consequence: str = "") -> str:
    """Which estimators were timed while the machine did something else; empty where none was."""
    which = names(rows[rows["busy"]]["label"], styles)
    return f"Timed while the machine did something else (load above its cores){consequence}: {which}." if which else ""


def bare(rows: pd.DataFrame, styles: Mapping[str, Style]) -> str:
    """Which estimators have no plain step to compare their time by, as of an earlier release; empty where none."""
    which = names(rows[rows["measured"] & rows["cost_seconds"].isna()]["label"], styles)
    return f"Not shown, no plain step timed beside it: {which}." if which else ""


def join(*sentences: str) -> str:
    """Sentences in a row, empty ones left out."""
    return " ".join(sentence for sentence in sentences if sentence)
