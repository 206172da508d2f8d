"""What a page may ask of an estimator: its look and its tags, once for all tables and charts."""

from collections.abc import Mapping
from typing import NamedTuple

from bench.report.summary import Summary

NEEDS = {"neither": "values of f only", "gradient of f": "gradient of f", "relaxed f": "relaxed f"}
"""What an estimator asks of f, by its tag, in the words of a filter."""
NOT_SAID = "not said"


class Fact(NamedTuple):
    """One estimator of a report."""

    label: str
    """As printed: with a dagger where biased."""
    colour: str
    marker: str
    unbiased: bool
    needs: str
    """Words of `NEEDS`; `NOT_SAID` where no record holds the tag."""
    control: bool
    """Whether it is a negative control."""


class Facts(NamedTuple):
    """All of them."""

    known: list[Fact]
    place: dict[str, int]
    """Place among them of the label of a row."""


def facts(summary: Summary) -> Facts:
    """The estimators of a report, sorted by label."""
    of_label: dict[str, tuple[str, bool]] = {}
    heads = summary.frames.heads
    columns = (heads[name] for name in ("label", "needs", "negative_control"))
    for label, own, is_control in zip(*columns, strict=True):
        needs, control = of_label.get(str(label), (NOT_SAID, False))
        of_label[str(label)] = (NEEDS.get(str(own), needs), control or bool(is_control))
    known: list[Fact] = []
    place: dict[str, int] = {}
    for label in sorted(of_label):
        style = summary.styles[label]
        place[label] = len(known)
        known.append(Fact(style.label, style.colour, style.marker, style.unbiased, *of_label[label]))
    return Facts(known, place)


def choices(found: Facts) -> Mapping[str, list[str]]:
    """What a filter offers of each tag: values that some estimators have and others have not."""
    needs = [words for words in (*NEEDS.values(), NOT_SAID) if any(fact.needs == words for fact in found.known)]
    declared = ["unbiased", "biased"] if len({fact.unbiased for fact in found.known}) > 1 else []
    return {"needs": needs if len(needs) > 1 else [], "declared": declared}
