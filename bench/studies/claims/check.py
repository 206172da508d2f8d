"""Whether claims hold: one line for each that does not, the rows of claims.csv, and pages with the right numbers."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.studies import results
from bench.studies.claims.prose import find, places
from bench.studies.claims.source import Claim, Number
from bench.studies.claims.tables import Found, expression, values

TEST = "tests/bench/test_claims.py::test_a_published_sentence_says_what_its_table_says"
COLUMNS = ("claim", "file", "sentence", "number", "written", "value", "table", "cell", "test")


def faults(claim: Claim, root: Path) -> list[str]:
    """What a claim says that its table does not, a line each; none where it holds.

    Raises:
        BadInput: its words are not in its file, or its numbers are not in its tables.
    """
    found = dict(values(claim, root))
    match = find(claim, (root / claim.file).read_text())
    lines = [
        f"claim {claim.name}: {claim.file} says {place.written} where {_source(claim, place.number)} "
        f"says {place.right} ({_shown(place.value)}), in: {' '.join(match[0].split())}"
        for place in places(claim, match, found)
        if place.right != place.written
    ]
    given = ", ".join(f"{name} = {_shown(value)}" for name, value in found.items())
    lines += [
        f"claim {claim.name}: {claim.file} says {' '.join(match[0].split())}, but {said} is not so where {given}"
        for said in claim.true
        if not expression(said, found)
    ]
    return lines


def written(claim: Claim, page: str, found: Mapping[str, Found]) -> str:
    """The text of a page with the claim's numbers as its tables have them."""
    match = find(claim, page)
    for place in sorted(places(claim, match, dict(found)), key=lambda place: -place.start):
        page = page[: place.start] + place.right + page[place.end :]
    return page


def csv(claims: Sequence[Claim], root: Path) -> str:
    """Every number of every claim, and every comparison, as CSV."""
    rows = []
    for claim in claims:
        found = dict(values(claim, root))
        match = find(claim, (root / claim.file).read_text())
        about = {"claim": claim.name, "file": claim.file, "sentence": " ".join(match[0].split())}
        test = {"test": f"{TEST}[{claim.name}]"}
        for name, number in claim.numbers.items():
            said = match[name] if name in match.re.groupindex else ""
            held = {"number": name, "written": said, "value": _shown(found[name])}
            rows.append(about | held | dict(zip(("table", "cell"), _cell(claim, number), strict=True)) | test)
        for said in claim.true:
            rows.append(about | {"number": said, "value": str(bool(expression(said, found))).lower()} | test)
    return results.csv(rows, COLUMNS)


def _cell(claim: Claim, number: Number) -> tuple[str, str]:
    """The file that a number comes from, and what of it."""
    if number.of or number.code:
        return ("", number.of) if number.of else (number.code.partition(":")[0], number.code.partition(":")[2])
    value = number.value if number.reduce == "count" else number.value or claim.value
    inherited = claim.where if not number.table else ""
    where = " and ".join(part for part in (inherited, number.where) if part)
    what = value if number.reduce == "one" else f"{number.reduce} of {value or 'rows'}"
    return f"results/{number.table or claim.table}", f"{what} where {where}" if where else what


def _source(claim: Claim, number: Number) -> str:
    table, cell = _cell(claim, number)
    return f"{table}, {cell}," if table else cell


def _shown(value: Found) -> str:
    return " ".join(value) if isinstance(value, tuple) else f"{value:.6g}"
