"""All pages at once: facts of every estimator, its page and figure, the table of all, the navigation."""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

import estimators
from bench.atlas.table import read as read_atlas
from bench.run.store import write_atomic
from bench.studies import estimators_page
from bench.studies.atlas.ranks import FLOOR
from bench.studies.estimator_pages import certificates, figure, moments, page, ranks, texts
from estimators.entry import Entry
from estimators.errors import BadInput

ROOT = Path(__file__).parents[3]
OVERVIEW = "by-method"
"""Not `index`, whose address docs/estimators.md has."""
BEGIN, END = "  # Estimator pages: these lines are made.", "  # End of the estimator pages."


def groups(guide: Path = ROOT / "docs" / "estimators.md") -> dict[str, list[Entry]]:
    """Registered estimators by the heading under which docs/estimators.md has them; those it lacks come last."""
    found: dict[str, list[Entry]] = {}
    left = {entry.name: entry for entry in estimators.available()}
    title = ""
    for line in guide.read_text().splitlines():
        title = line.removeprefix("### ") if line.startswith("### ") else title
        if (match := estimators_page.ROW.match(line)) and match[1] in left:
            found.setdefault(title, []).append(left.pop(match[1]))
    return found | ({"Others": list(left.values())} if left else {})


@lru_cache(maxsize=1)
def facts(root: Path = ROOT) -> Mapping[str, page.Facts]:
    """What the pages are made of, by the estimator's name."""
    table, certified = moments.index(read_atlas()), certificates.read(root / "results" / "certificates.csv")
    measured: dict[str, list[ranks.Measured]] = {}
    trained: dict[str, list[ranks.Trained]] = {}
    for run, summary in ranks.summaries(root / "results").items():
        for name, one in ranks.measured(run, summary):
            measured.setdefault(name, []).append(one)
        for name, other in ranks.trained(run, summary):
            trained.setdefault(name, []).append(other)
    return {
        entry.name: page.Facts(
            entry,
            title,
            texts.read(entry.name),
            certificates.of(entry.name, certified),
            list(moments.beside(entry, table)),
            moments.missing(entry, table),
            measured.get(entry.name, []),
            trained.get(entry.name, []),
        )
        for title, entries in groups(root / "docs" / "estimators.md").items()
        for entry in entries
    }


def pages(root: Path = ROOT) -> dict[str, str]:
    """Texts of all pages by file name."""
    found = {f"{name}.md": page.page(one) for name, one in facts(root).items()}
    return found | {f"{OVERVIEW}.md": page.overview(groups(root / "docs" / "estimators.md"))}


def figures(root: Path = ROOT) -> Iterator[tuple[str, bytes]]:
    """Figures by file name, of the estimators that the atlas has with noise or a bias."""
    for name, one in facts(root).items():
        drawn = [beside for beside in one.beside if max(a.error for a in beside.own.values()) > FLOOR]
        if drawn:
            yield f"{name}.svg", figure.svg(name, drawn)


def navigated(config: str, root: Path = ROOT) -> str:
    """mkdocs.yml with the pages between the two comments.

    Raises:
        BadInput: it lacks one of them.
    """
    if config.count(BEGIN) != 1 or config.count(END) != 1:
        raise BadInput(f"mkdocs.yml: expected the lines {BEGIN.strip()!r} and {END.strip()!r}, each once, in nav")
    lines = ["  - Estimator pages:", f"      - By method: estimators/{OVERVIEW}.md"]
    for title, entries in groups(root / "docs" / "estimators.md").items():
        lines.append(f"      - {title}:" if re.fullmatch(r"[\w ,-]+", title) else f'      - "{title}":')
        lines += [f"          - {entry.name}: estimators/{entry.name}.md" for entry in entries]
    before, rest = config.split(BEGIN)
    return "\n".join([before + BEGIN, *lines, END + rest.split(END)[1]])


def write(folder: Path) -> None:
    """Put pages, figures and navigation into place, and take away pages of estimators that are no more.

    Raises:
        BadInput: the folder is none of `docs/estimators`, or a text is of another layout.
    """
    config = folder.resolve().parents[1] / "mkdocs.yml"
    if not config.exists():
        raise BadInput(f"{str(folder)!r}: expected docs/estimators of a checkout, beside whose docs/ mkdocs.yml lies")
    contents = {name: text.encode() for name, text in pages().items()}
    contents |= {f"figures/{name}": drawn for name, drawn in figures()}
    write_atomic(config, navigated(config.read_text()).encode())
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    for old in (*folder.glob("*.md"), *folder.glob("figures/*.svg")):
        if old.relative_to(folder).as_posix() not in contents:
            old.unlink()
    for name, content in contents.items():
        write_atomic(folder / name, content)
