"""What a person wrote of an estimator: `texts/NAME.md`, in the layout that the package's docstring gives."""

import re
from pathlib import Path
from typing import NamedTuple

from estimators.errors import BadInput

FOLDER = Path(__file__).with_name("texts")
SHARED = FOLDER / "_shared-options.md"
"""Meanings of options that several estimators have; an estimator's own line goes before."""
SECTIONS = ("Formula", "Algorithm", "Options", "Use when", "Avoid when")
_OPTION = re.compile(r"- ([a-z_]+): (.+)")


class Text(NamedTuple):
    """The parts of a text; those that are missing are empty."""

    formula: str = ""
    algorithm: str = ""
    options: dict[str, str] = {}  # noqa: RUF012  (never changed)
    use: tuple[str, ...] = ()
    avoid: tuple[str, ...] = ()


def parsed(text: str, where: str) -> Text:
    """The parts of a text.

    Args:
        text: in the layout of the package's docstring; sections may be missing.
        where: its name in an error.

    Raises:
        BadInput: another section, a section twice, or a line that is none of its section.
    """
    head, *parts = re.split(r"^## (.+)\n", text, flags=re.MULTILINE)
    found = dict(zip(parts[::2], parts[1::2], strict=True))
    if head.strip() or len(found) != len(parts) // 2 or [s for s in SECTIONS if s in found] != list(found):
        raise BadInput(f"{where}: expected the sections {', '.join(SECTIONS)} in this order, each once")
    formula, algorithm = (_indented(found.get(section, ""), f"{where}, {section}") for section in SECTIONS[:2])
    use, avoid = (tuple(_items(found.get(section, ""), f"{where}, {section}")) for section in SECTIONS[3:])
    return Text(formula, algorithm, options(found.get("Options", ""), where), use, avoid)


def options(text: str, where: str) -> dict[str, str]:
    """Meanings by the option's name.

    Raises:
        BadInput: a line is not `- name: meaning`.
    """
    meanings = {}
    for line in text.strip().splitlines():
        if not (match := _OPTION.fullmatch(line)):
            raise BadInput(f"{where}: expected `- name: meaning` a line in Options, got {line!r}")
        meanings[match[1]] = match[2]
    return meanings


def _indented(text: str, where: str) -> str:
    lines = text.strip("\n").splitlines()
    if any(line and not line.startswith("    ") for line in lines):
        raise BadInput(f"{where}: expected lines that are indented by four spaces")
    return "\n".join(line[4:] for line in lines)


def _items(text: str, where: str) -> list[str]:
    lines = text.strip().splitlines()
    if any(not line.startswith("- ") for line in lines):
        raise BadInput(f"{where}: expected lines that begin with `- `")
    return [line[2:] for line in lines]


def read(name: str) -> Text:
    """The text of an estimator by its name, with the shared meanings of options; empty where there is none.

    Raises:
        BadInput: it is of another layout.
    """
    path = FOLDER / f"{name}.md"
    own = parsed(path.read_text(), path.name) if path.exists() else Text()
    return own._replace(options=options(SHARED.read_text(), SHARED.name) | own.options)
