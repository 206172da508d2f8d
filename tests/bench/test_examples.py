"""The pages under docs/examples are programs of at most 30 lines that hold their own numbers; tests/docs runs them."""

import re
from pathlib import Path

import pytest

from bench.studies.page_code import blocks

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(page for page in (DOCS / "examples").glob("*.md") if page.name != "index.md")
LINES = 30


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_is_a_short_program_with_a_check_and_what_it_prints(page: Path) -> None:
    (code, *shown) = blocks(page.read_text())
    assert (code.language, [block.language for block in shown]) == ("python", ["text"])
    assert sum(bool(line.strip()) for line in code.text.splitlines()) <= LINES
    assert re.search(r"^ *assert ", code.text, re.MULTILINE)


def test_the_index_names_every_page() -> None:
    index = (DOCS / "examples" / "index.md").read_text()
    assert sorted(set(re.findall(r"\]\(([a-z-]+\.md)\)", index))) == [page.name for page in PAGES]
