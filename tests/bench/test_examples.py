"""The code of the pages under docs/examples, and of docs/library.md, runs as it stands and its own asserts hold."""

import re
from pathlib import Path

import pytest
import torch

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(page for page in (DOCS / "examples").glob("*.md") if page.name != "index.md")
LINES = 30


def blocks(page: Path) -> list[str]:
    """The Python blocks of a page."""
    return re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


def run(code: str, page: Path, namespace: dict[str, object]) -> None:
    """As in a notebook whose first line is torch.manual_seed(0)."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        exec(compile(code, page.name, "exec"), namespace)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_runs(page: Path) -> None:
    (code,) = blocks(page)
    assert sum(bool(line.strip()) for line in code.splitlines()) <= LINES
    assert re.search(r"^ *assert ", code, re.MULTILINE)
    run(code, page, {})


def test_the_index_names_every_page() -> None:
    index = (DOCS / "examples" / "index.md").read_text()
    assert sorted(set(re.findall(r"\]\(([a-z-]+\.md)\)", index))) == [page.name for page in PAGES]


def test_the_reference_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its blocks are one program, which writes into the folder that it runs in."""
    page = DOCS / "library.md"
    monkeypatch.chdir(tmp_path)
    run("\n".join(blocks(page)), page, {})
    assert (tmp_path / "runs" / "mine" / "suite.toml").exists()
