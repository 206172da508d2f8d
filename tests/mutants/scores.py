"""Scores of planted mutants by area and module, and the survivors, as Markdown."""

import tomllib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.statistics import share_interval
from tests.mutants.planting import HERE, KILLED, Area, Mutant


@dataclass(frozen=True)
class Score:
    """How many of some mutants were killed."""

    killed: int
    counted: int
    """Those that change something."""
    equivalent: int
    """Those that are known to change nothing."""

    def __str__(self) -> str:
        if not self.counted:
            return "none that changes something"
        found = share_interval(np.arange(self.counted) < self.killed)
        return f"{found.estimate:.1%} [{found.low:.1%}, {found.high:.1%}]"


def equivalents(path: Path = HERE / "equivalent.toml") -> dict[tuple[str, str], str]:
    """Why a mutant changes nothing, by its function and the line that it puts in."""
    listed = tomllib.loads(path.read_text()).get("mutant", [])
    return {(mutant["function"], mutant["line"].strip()): mutant["why"] for mutant in listed}


def score(mutants: Sequence[Mutant], same: Mapping[tuple[str, str], str]) -> Score:
    """The score of some mutants."""
    killed = sum(mutant.status in KILLED for mutant in mutants)
    equivalent = sum(bool(mutant.change) and (mutant.function, mutant.line) in same for mutant in mutants)
    return Score(killed, len(mutants) - equivalent, equivalent)


def _survivor(mutant: Mutant, why: str) -> str:
    unseen = " No test runs this function." if mutant.status == "no tests" else ""
    return f"`{mutant.function}`: {why}{unseen}\n\n```diff\n{mutant.change}\n```\n"


def as_markdown(
    results: Sequence[tuple[Area, int, Sequence[Mutant]]], same: Mapping[tuple[str, str], str], made: str
) -> str:
    """The scores and the survivors of all areas.

    Args:
        results: each area, how many mutants it has, and those that were tried.
        same: why a mutant changes nothing, by function and line.
        made: a sentence on how, when and with what it was made.
    """
    lines = [
        "# How many planted faults the tests see",
        "",
        f"{made} A mutant is one small change to a function: a sign, an operator, a number, a name, a text, an "
        "argument. It is killed where a test of its area fails. Brackets are 95 % Wilson intervals of the share killed "
        "of all mutants of the area, from the sample of them that was tried; those known to change nothing are not "
        "counted. mutmut mutates neither constants of modules nor decorated functions.",
        "",
        "| area | mutants | tried | change nothing | killed | share killed | target |",
        "|---|---|---|---|---|---|---|",
    ]
    for area, number, mutants in results:
        of = score(mutants, same)
        lines.append(
            f"| {area.name} | {number} | {len(mutants)} | {of.equivalent} | {of.killed} | {of} | {area.target:.0%} |"
        )
    lines += [
        "",
        "## By module",
        "",
        "| module | tried | change nothing | killed | share killed |",
        "|---|---|---|---|---|",
    ]
    survivors: list[str] = []
    for area, _, mutants in results:
        of_module = defaultdict(list)
        for mutant in mutants:
            of_module[mutant.module].append(mutant)
        for module, found in sorted(of_module.items()):
            of = score(found, same)
            lines.append(f"| `{module}` | {len(found)} | {of.equivalent} | {of.killed} | {of} |")
        left = [mutant for mutant in mutants if mutant.change]
        if left:
            survivors += [f"### {area.name[0].upper()}{area.name[1:]}", ""]
            survivors += [
                _survivor(mutant, same.get((mutant.function, mutant.line), "no test sees it."))
                for mutant in sorted(left, key=lambda mutant: (mutant.function, mutant.line))
            ]
    return "\n".join([*lines, "", "## Survivors", "", *(survivors or ["None.", ""])])
