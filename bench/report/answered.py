"""The answers of a report, family by family, as the page and the terminal show them."""

from collections.abc import Sequence
from typing import NamedTuple

from bench.report.answer import answers
from bench.report.choices import QUESTIONS, Answer, Choice, Line
from bench.report.findings import Finding
from bench.report.naming import families
from bench.report.ranking import Ranking, rankings
from bench.report.summary import Summary


class Family(NamedTuple):
    """What to take for one family of latents."""

    name: str
    sentences: list[str]
    trained: list[str]
    """Who has the highest test ELBO, a sentence a problem."""
    cheapest: list[tuple[str, Choice]]
    lines: list[Line]
    remarks: list[str]
    ranking: Ranking | None


class Shown(NamedTuple):
    """All of it."""

    questions: tuple[str, ...]
    families: list[Family]

    @property
    def brief(self) -> list[str]:
        """The lines that a terminal shows."""
        return [
            f"{family.name}: {sentence}".replace("`", "")
            for family in self.families
            for sentence in (*family.sentences, *(f"Highest test ELBO: {words}" for words in family.trained))
        ]


def answered(summary: Summary, trained: Sequence[Finding]) -> Shown | None:
    """What to take, from a report's summary and its findings of the topic `TRAINED`; None where nothing is compared."""
    by_family = {answer.family: answer for answer in answers(summary)}
    ranks = {ranking.family: ranking for ranking in rankings(summary.variance)}
    elbos: dict[str, list[str]] = {}
    heads = summary.frames.heads.drop_duplicates("section")
    family_of = dict(zip(heads["section"], families(heads), strict=True))
    for finding in trained:
        elbos.setdefault(family_of.get(finding.where, ""), []).append(finding.text)
    nothing = Answer("", [], [], [])
    found = []
    for name in dict.fromkeys([*by_family, *elbos]):
        answer = by_family.get(name, nothing)
        own = (answer.sentences, elbos.get(name, []), answer.cheapest, answer.lines, answer.remarks, ranks.get(name))
        found.append(Family(name, *own))
    return Shown(tuple(question.title for question in QUESTIONS), found) if found else None
