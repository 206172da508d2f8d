"""The tables of docs/estimators.md say what the registry says."""

import re
from pathlib import Path

import pytest

import estimators
from bench.studies.estimators_page import made
from estimators.entry import Entry
from estimators.errors import listed
from estimators.families import CAPABILITIES, FAMILIES, family_named

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "estimators.md"
NEEDS = {"neither": "values", "gradient of f": "gradient", "relaxed f": "relaxed"}

ROWS = [
    # The name without its marks and its link.
    [cell.strip() for cell in re.sub(r"\[`(.*?)`\]\(estimators/\1\.md\)", r"\1", line, count=1).strip("|").split("|")]
    for line in PAGE.read_text().splitlines()
    if re.match(r"\| \[`[a-z-]+`\]\(\S+\) \|(.*\|){6}$", line)
]


def test_the_rows_are_made_from_the_registry() -> None:
    """`python -m bench.studies.estimators_page docs/estimators.md` mends the page where this fails."""
    page = PAGE.read_text()
    assert made(page) == page
    without = "\n".join(line for line in page.split("\n") if not line.startswith("| [`arsm`]"))
    wrong = without.replace("| `S * C` |", "| `S` |")
    assert without != page and wrong != without
    rows = [line for line in page.split("\n") if line.startswith("| [`")]
    assert sorted(line for line in made(wrong).split("\n") if line.startswith("| [`")) == sorted(rows)
    by_hand = page.replace("[`rloo`](estimators/rloo.md)", "`rloo`")
    assert by_hand != page and made(by_hand) == page


def test_every_estimator_has_one_row() -> None:
    assert sorted(row[0] for row in ROWS) == [entry.name for entry in estimators.available()]


def test_the_page_says_which_families_have_what() -> None:
    page = " ".join(PAGE.read_text().split())
    for name, capability in CAPABILITIES.items():
        own = [family for family, kind in FAMILIES.items() if isinstance(kind, capability)]
        words = "all of them" if len(own) == len(FAMILIES) else listed(own)
        assert name == "projection" or f"*{name}* ({words})" in page


@pytest.mark.parametrize("entry", estimators.available(), ids=lambda entry: entry.name)
def test_a_row_says_what_the_tags_say(entry: Entry) -> None:
    (row,) = (row for row in ROWS if row[0] == entry.name)
    _, families, unbiased, samples, evaluations, needs, paper = row
    assert families == (entry.capability or " ".join(family[0].upper() for family in entry.declared))
    assert unbiased == ("yes" if entry.unbiased else "no")
    assert f"samples {samples}" == entry.samples.words()
    assert needs == NEEDS[str(entry.needs)] + ", own parameters" * entry.own_parameters
    assert re.sub(r"\[(.*?)\]\(.*?\)", r"\1", paper) == entry.paper
    if entry.f_evals is None:
        assert entry.enumerates
        return
    formulas = re.findall("`(.*?)`", evaluations) * 2  # one for all families, or one for each
    for formula, family in zip(formulas, entry.families, strict=False):
        event = family_named(family).event(latents=7, categories=5)
        names = dict(zip("LC" if len(event) == 2 else "D", event, strict=True)) | {"S": 4, "min": min}
        assert eval(formula, {}, names) == entry.evaluations(4, event)
