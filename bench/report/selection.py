"""A part of a report that a person chose: some estimators in their colours before the others in grey, some problems."""

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

import pandas as pd

from bench.report.figures.canvas import COLUMN, PAGE
from bench.report.naming import without_samples
from bench.report.style import put_behind
from bench.report.summary import Summary
from bench.report.text import plural
from estimators.errors import BadInput, unknown

WIDTHS = {"column": COLUMN, "page": PAGE}
"""Names of widths of a figure, in inches."""
FOLDER = "selection"
"""Where a part of a report is written, beside the whole."""


class Selection(NamedTuple):
    """What a person chose; all of a kind where none is named."""

    estimators: tuple[str, ...] = ()
    """Names, each for all of its options and numbers of samples, or labels, `rloo[samples=4]`."""
    problems: tuple[str, ...] = ()
    """Headings of sections, how they begin, or patterns with * and ?."""
    width: str = ""
    """Of every figure: a name in `WIDTHS`; what each needs where empty."""
    columns: tuple[str, ...] = ()
    """Of the tables in LaTeX, by their titles or by the names that the csv has for them; a default set where empty."""

    @property
    def of_a_part(self) -> bool:
        """Whether some of the report is left out."""
        return bool(self.estimators or self.problems)


def split(words: str) -> tuple[str, ...]:
    """The words of a list with commas; a comma inside brackets belongs to a label."""
    return tuple(filter(None, (word.strip() for word in re.split(r",(?![^\[]*\])", words))))


WHOLE = Selection()


def width_of(selection: Selection) -> float | None:
    """Inches of every figure.

    Raises:
        BadInput: no such width.
    """
    if selection.width and selection.width not in WIDTHS:
        raise BadInput(unknown("width", selection.width, list(WIDTHS)))
    return WIDTHS.get(selection.width)


def _is_meant(word: str, estimator: str, name: str, label: str, samples: object) -> bool:
    """Whether a word means an estimator: by its name, its label in records or in the report, or with its samples."""
    if word in (name, estimator, label):
        return True
    asked = re.search(r"(?<=[\[,])samples=(\d+)", word)
    same = without_samples(word) == without_samples(estimator)
    return same and asked is not None and int(asked[1]) == samples


def _labels(heads: pd.DataFrame, words: Sequence[str]) -> set[str]:
    """The labels that words mean.

    Raises:
        BadInput: a word means none, in one line with the nearest.
    """
    columns = ("estimator", "name", "label", "samples")
    every = [tuple(row) for row in heads[list(columns)].drop_duplicates().itertuples(index=False)]
    found: set[str] = set()
    for word in words:
        meant = {label for estimator, name, label, samples in every if _is_meant(word, estimator, name, label, samples)}
        if not meant:
            known = sorted({part for estimator, name, *_ in every for part in (estimator, name)})
            raise BadInput(unknown("estimator of this run:", word, known))
        found |= meant
    return found


def _sections(heads: pd.DataFrame, words: Sequence[str]) -> set[str]:
    """The headings that words mean.

    Raises:
        BadInput: a word means none, in one line with the nearest.
    """
    every = sorted(heads["section"].unique())
    found: set[str] = set()
    for word in words:
        meant = {heading for heading in every if heading.startswith(word) or fnmatchcase(heading, word)}
        if not meant:
            beginnings = dict.fromkeys(heading.partition("/")[0] for heading in every)
            raise BadInput(unknown("problem of this run:", word, list(dict.fromkeys([*beginnings, *every]))))
        found |= meant
    return found


def set_before(summary: Summary, selection: Selection) -> Summary:
    """The summary for figures: of the problems chosen, the estimators chosen before the others, which are grey.

    Raises:
        BadInput: an estimator, a problem or a width that there is not.
    """
    summary = summary._replace(width=width_of(selection))
    if selection.problems:
        summary = summary.where("section", _sections(summary.frames.heads, selection.problems))
    if selection.estimators:
        front = _labels(summary.frames.heads, selection.estimators)
        looks = summary.styles.items()
        summary = summary._replace(
            styles={label: style if label in front else put_behind(style) for label, style in looks}
        )
    return summary


def in_tables(summary: Summary) -> Summary:
    """The summary for tables: without the estimators that are grey in its figures."""
    front = [label for label, style in summary.styles.items() if not style.behind]
    return summary if len(front) == len(summary.styles) else summary.where("label", front)


def left_out(summary: Summary) -> str:
    """How many estimators the tables leave out, a sentence; empty where none."""
    grey = sum(style.behind for style in summary.styles.values())
    return f"Left out: {plural(grey, 'other estimator')} of this run." if grey else ""
