"""What limits a report, each in a short line with what it is about behind it."""

from collections.abc import Iterable
from typing import NamedTuple

from bench.report.findings import Finding

SHORT = 110  # characters of a line that is left whole


class Doubt(NamedTuple):
    """One reason to doubt a number."""

    line: str
    details: list[str]
    """Whom it concerns, and what to do; empty where the line says it."""


def _apart(text: str) -> tuple[str, str]:
    """A sentence before and after its first colon; a colon in a name, between backticks, is none."""
    start = 0
    while (at := text.find(": ", start)) >= 0:
        if text.count("`", 0, at) % 2 == 0:
            return text[:at], text[at + 2 :]
        start = at + 2
    return text, ""


def doubts(found: Iterable[Finding]) -> list[Doubt]:
    """Findings as lines; those that begin alike are one."""
    by_line: dict[str, list[str]] = {}
    for finding in found:
        whole = len(finding.text) <= SHORT
        line, rest = (finding.text, "") if whole else _apart(finding.text)
        by_line.setdefault(line, []).extend([*([rest] if rest else []), *finding.points])
    return [Doubt(line, details) for line, details in by_line.items()]
