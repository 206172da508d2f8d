"""The questions that a report answers, and an answer in its parts: choices at a point, and who is chosen most often."""

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import NamedTuple

from bench.report.tables.view import Row

SECONDS = "equal seconds"
SHOWN = 3
"""Estimators that a sentence names."""


class Question(NamedTuple):
    """What a person may ask of an estimator."""

    title: str
    takes: Callable[[Row], bool]
    by: str
    """The column of what is to be low; `BY_log_se` and `BY_replicates` say how well it is known."""


QUESTIONS = (
    Question(
        "Unbiased, from values of f alone",
        lambda row: bool(row["unbiased"]) and row["needs"] == "neither",
        "variance",
    ),
    Question("Unbiased, where f is differentiable", lambda row: bool(row["unbiased"]), "variance"),
    Question("If a bias can be borne, by MSE", lambda row: True, "mse"),
)


class Choice(NamedTuple):
    """The best of those that are compared, as a set."""

    names: str
    """The first one, and whoever is not told apart from it; names between backticks."""
    ratio: str
    """Of the first one's variance, MSE or cost to the reference's, with its interval; empty where that is not known."""
    bias: str
    """Of the first one, where it is declared biased."""
    labels: tuple[str, ...]
    """All of the set, whatever their budgets."""
    among: tuple[str, ...]
    """All that were compared."""

    @property
    def of(self) -> int:
        """How many were compared."""
        return len(self.among)

    @property
    def words(self) -> str:
        """All of it in a line."""
        alone = "" if self.of > 1 else " (the only one)"
        return ", ".join(filter(None, (f"{self.names}{alone}", self.ratio, self.bias)))


class Line(NamedTuple):
    """The choices at one point of a problem."""

    problem: str
    point: str
    at: str
    """`2 evaluations of f`, or `SECONDS`, with the machine or the batch where times are of several."""
    draws: str
    choices: tuple[Choice | None, ...]
    """One a question; None where no estimator is for it."""

    @property
    def cells(self) -> list[tuple[Choice | None, int]]:
        """The choices, and how many neighbouring questions each answers."""
        return [(choice, len(list(same))) for choice, same in groupby(self.choices)]


class Answer(NamedTuple):
    """What to take for one family of latents."""

    family: str
    lines: list[Line]
    cheapest: list[tuple[str, Choice]]
    """By problem, whose step takes the least time of all that went through."""
    remarks: list[str]
    """Who is left out, and why."""

    @property
    def sentences(self) -> list[str]:
        """A sentence a question: who may be the best most often, over all comparisons of this family."""
        said: dict[str, list[str]] = {}  # of questions with one answer, as where no gradient of f is of use
        for i, question in enumerate(QUESTIONS):
            if words := _often([line.choices[i] for line in self.lines]):
                said.setdefault(words, []).append(question.title)
        return [f"{_and(titles)}: {words}." for words, titles in said.items()]


def _and(titles: Sequence[str]) -> str:
    """`Unbiased, from values of f alone, and unbiased, where f is differentiable`."""
    first, *others = titles
    return "".join([first, *(f", and {title[0].lower()}{title[1:]}" for title in others)])


def _often(choices: Sequence[Choice | None]) -> str:
    """Who stands in most of the sets, and in how many of those that there are."""
    made = [choice for choice in choices if choice and choice.of > 1]
    # Once a comparison, in which an estimator may stand with several numbers of samples.
    times = Counter(label for choice in made for label in dict.fromkeys(choice.labels))
    met = Counter(label for choice in made for label in dict.fromkeys(choice.among))
    if not times:
        return ""
    most = max(times.values())
    # Where none is among the best everywhere, the next ones belong to the answer.
    kept = [(label, n) for label, n in times.most_common() if n == most or most < len(made)]
    (first, n), *others = kept[:SHOWN]
    of = "in the only comparison" if met[first] == 1 else f"in {n} of its {met[first]} comparisons"
    more = "".join(f"; {label} in {own} of {met[label]}" for label, own in others)
    # To name three of twenty that are equal, and nothing of the rest, would single them out.
    unnamed = sum(own == kept[:SHOWN][-1][1] for _, own in kept[SHOWN:])
    more += f"; {unnamed} more as often" if unnamed else ""
    return f"{first} is the best or not told apart from it {of}{more}"
