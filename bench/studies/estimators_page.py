"""The rows of the tables in docs/estimators.md, made from the registry.

    python -m bench.studies.estimators_page docs/estimators.md

writes every row of the page anew. Which table an estimator stands in, and the words around the tables, are the page's
own; one that stands in none is added to the last.
"""

import re
import sys
import types
from pathlib import Path
from typing import Any

import estimators
from bench.run.files import write_atomic
from estimators.entry import Entry
from estimators.families import family_named

NEEDS = {"neither": "values", "gradient of f": "gradient", "relaxed f": "relaxed", None: ""}
ROW = re.compile(r"\| \[?`([a-z-]+)`(?:\]\(estimators/[a-z-]+\.md\))? \|(?:.*\|){6}$")
"""A row of a table of estimators, by the name in its first column; one that a person has put in may lack the link."""


class Formula:
    """A whole number that has a name or was computed from some, and how it was computed."""

    def __init__(self, text: str, binds: int = 3) -> None:
        self.text, self.binds = text, binds

    def _join(self, sign: str, other: "Formula | int", binds: int) -> "Formula":
        right = other if isinstance(other, Formula) else Formula(str(other))
        left = self.text if self.binds >= binds else f"({self.text})"
        return Formula(f"{left}{sign}{right.text if right.binds >= binds else f'({right.text})'}", binds)

    def __add__(self, other: "Formula | int") -> "Formula":
        return self._join(" + ", other, 1)

    __radd__ = __add__

    def __sub__(self, other: "Formula | int") -> "Formula":
        return self._join(" - ", other, 1)

    def __mul__(self, other: "Formula | int") -> "Formula":
        return self._join(" * ", other, 2)

    def __rmul__(self, other: int) -> "Formula":
        return Formula(str(other)) * self

    def __floordiv__(self, other: int) -> "Formula":
        return self._join(" / ", other, 2)

    def __pow__(self, other: "Formula | int") -> "Formula":
        return self._join("**", other, 3)


def _least(*parts: Formula) -> Formula:
    return Formula(f"min({', '.join(part.text for part in parts)})")


def evaluations(entry: Entry) -> str:
    """Evaluations of f a row, for S samples, as a formula; one for each family where they differ."""
    if entry.f_evals is None:
        return "all joint states" if entry.enumerates else ""
    # The tag's own function, called with names in the place of numbers, and with a `min` of names.
    code = entry.f_evals
    assert isinstance(code, types.FunctionType)
    symbolic = types.FunctionType(code.__code__, {**code.__globals__, "min": _least}, closure=code.__closure__)
    found: dict[str, None] = {}  # in order, each once
    for family in entry.families:
        event = map(Formula, "LC" if family_named(family).latent_dims else "D")
        arguments: tuple[Any, ...] = (Formula("S"), tuple(event), {})
        found[f"`{symbolic(*arguments[: code.__code__.co_argcount]).text}`"] = None
    return "; ".join(found)


def families(entry: Entry) -> str:
    """Initials of the families that it is for by name, or what it asks of a family."""
    return entry.capability or " ".join(family[0].upper() for family in entry.declared)


def row(entry: Entry) -> str:
    """An estimator's row: its name with a link to its page, families, unbiased, S, evaluations, needs, paper."""
    cells = (
        f"[`{entry.name}`](estimators/{entry.name}.md)",
        families(entry),
        "yes" if entry.unbiased else "no",
        entry.samples.words().removeprefix("samples "),
        evaluations(entry),
        NEEDS[entry.needs] + ", own parameters" * entry.own_parameters,
        re.sub(r"arXiv:([\d.]+\d)", r"[arXiv:\1](https://arxiv.org/abs/\1)", entry.paper),
    )
    return "| " + " | ".join(cells).rstrip() + " |"


def made(page: str) -> str:
    """The page with all of its rows written anew.

    Raises:
        BadInput: a row of an estimator that does not exist.
    """
    lines = [row(estimators.get(match[1])) if (match := ROW.match(line)) else line for line in page.split("\n")]
    places = [index for index, line in enumerate(lines) if ROW.match(line)]
    standing = {match[1] for line in lines if (match := ROW.match(line))}
    added = [row(entry) for entry in estimators.available() if entry.name not in standing]
    return "\n".join([*lines[: places[-1] + 1], *added, *lines[places[-1] + 1 :]])


if __name__ == "__main__":
    path = Path(sys.argv[1])
    write_atomic(path, made(path.read_text()).encode())
