"""Numbers of the pages that stand in no claim and are no exception."""

import re
from collections.abc import Iterator
from pathlib import Path

from bench.studies.claims.prose import find, words
from bench.studies.claims.source import Claim, Sources
from estimators.errors import BadInput

NOT_PROSE = re.compile(
    r"^```.*?^```[^\n]*$"  # fenced code
    r"|(?<=\n\n)(?: {4,}(?!\s*[-*] )[^\n]*\n\n?)+"  # indented code, but no list in a list
    r"|^ *\d+\. "  # the number of an item of a list
    r"|`[^`\n]+`"
    r"|\]\([^)]*\)",  # where a link goes
    re.MULTILINE | re.DOTALL,
)
PARTS = r"(?:third|quarter|fifth|sixth|seventh|eighth|ninth|tenth|twentieth|fiftieth|hundredth|thousandth|millionth)"
RARE = r"(?:eleven|(?:thir|four|fif|six|seven|eigh|nine)teen|(?:twen|thir|for|fif|six|seven|eigh|nine)ty|dozens?)"
"""Number words that are hardly said but of a measurement."""
COUNTS = rf"(?:two|three|four|five|six|seven|eight|nine|ten|twelve|hundred|thousand|million|{RARE})"
UNITS = r"(?:times|microseconds|seconds|minutes|hours|days|per cent)"
GLUED = r"[nuµm]?s|min|h|[kMG]B?|nats"
"""Units that are written without a space."""
NUMBER = re.compile(
    rf"(?<![\w.,^-])[-+]?\.?\d+(?:,\d{{3}})*(?:\.\d+)?(?:e-?\d+)?(?:{GLUED})?(?!\w)"
    r"|\b(?:half|halves|twice|thrice)\b"
    rf"|\b\w+\s(?:\w+-)?{PARTS}s?\b"
    rf"|\b{COUNTS}(?=\s{UNITS}\b)"
    rf"|\b{COUNTS}\s(?:out\s)?of\s(?:the\s)?{COUNTS}\b"
    r"|\b\d+(?:\.\d+)?x\b|\bx\d+(?:\.\d+)?\b"
    rf"|\b{RARE}\b|\borders?\sof\smagnitude\b|\b{COUNTS}fold\b|\bone\sin\s{COUNTS}\b"
)
"""A number in figures, with its unit or without, a fraction or a multiple in words, a count of something that a clock
or a ratio gives."""


def pages(root: Path) -> list[str]:
    """The files whose prose is looked through."""
    docs = sorted(path.relative_to(root).as_posix() for path in (root / "docs").glob("*.md"))
    return ["README.md", *docs, "results/README.md", "CHANGELOG.md"]


def loose(file: str, sources: Sources, root: Path) -> list[str]:
    """The numbers of a page that nothing accounts for, a line each, and exceptions that are of no use.

    Raises:
        BadInput: a claim's words are not in the page.
    """
    text, page = (root / file).read_text(), prose(file, root)
    lines = []
    spans = [span for claim in sources.claim if claim.file == file for span in _accounted(claim, text)]
    for exempt in sources.exempt:
        if exempt.file == file:
            places = {part: words(part) for part in exempt.texts} | {part: _section(part) for part in exempt.headings}
            for part, pattern in places.items():
                matches = list(re.finditer(pattern, text, re.MULTILINE | re.DOTALL))
                spans += [found.span() for found in matches]
                if not matches:
                    lines.append(f"{file} does not have what an exception ({exempt.kind}) is made for: {part}")
    for everywhere in sources.pattern:
        spans += [found.span() for found in re.finditer(everywhere.pattern, page)]
    for number in NUMBER.finditer(page):
        if not any(start <= number.start() and number.end() <= end for start, end in spans):
            line = page.count("\n", 0, number.start()) + 1
            around = " ".join(text[max(0, number.start() - 60) : number.end() + 40].split())
            lines.append(f"{file}:{line}: {number[0]} is in no claim and no exception of results/claims: {around}")
    return lines


def _accounted(claim: Claim, text: str) -> Iterator[tuple[int, int]]:
    """The places of a claim, and what it says is fixed; no other number of its words is accounted for by it."""
    match = find(claim, text)
    yield from (match.span(name) for name in match.re.groupindex)
    for part in claim.fixed:
        yield from (found.span() for found in re.compile(words(part)).finditer(text, *match.span()))


def prose(file: str, root: Path) -> str:
    """The text of a page, with spaces in the place of what is not prose."""
    text = (root / file).read_text()
    if file == "CHANGELOG.md":  # what was released is not changed any more
        text = re.sub(r"^## \[(?!Unreleased).*", "", text, count=1, flags=re.MULTILINE | re.DOTALL)
    return NOT_PROSE.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)


def _section(heading: str) -> str:
    return rf"^#+ {re.escape(heading)}$.*?(?=^#|\Z)"


def useless(sources: Sources, root: Path) -> Iterator[str]:
    """Exceptions of files that are not looked through, and patterns that nothing matches, a line each."""
    files = pages(root)
    texts = "\n".join(prose(file, root) for file in files)
    for exempt in sources.exempt:
        if exempt.file not in files:
            yield f"an exception is for {exempt.file}, which is not looked through; these are: {', '.join(files)}"
    for pattern in sources.pattern:
        try:
            if not re.search(pattern.pattern, texts):
                yield f"nothing matches the exception {pattern.pattern}; remove it"
        except re.error as error:
            raise BadInput(f"results/claims: {pattern.pattern} is no regular expression: {error}") from error
