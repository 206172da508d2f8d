"""A claim's sentence in its page: where it stands, what it says, and what it should say."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal

from bench.studies.claims.source import PLACE, Claim, Number
from bench.studies.claims.tables import Found
from estimators.errors import BadInput

ROUNDING = {"nearest": ROUND_HALF_EVEN, "up": ROUND_CEILING, "down": ROUND_FLOOR}
WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
DIGITS = r"(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?(?:e-?\d+)?"
NUMBER = rf"-?(?=\.?\d){DIGITS}|\b(?:{'|'.join(WORDS)})\b"
NAMES = r"`[^`]+`(?:(?:,\s+|\s+and\s+)`[^`]+`)*"


def words(text: str) -> str:
    """A regular expression for a text whose lines may be broken anywhere."""
    return r"\s+".join(map(re.escape, text.split()))


def _pattern(claim: Claim) -> re.Pattern[str]:
    parts = PLACE.split(claim.text)  # words, place, words, place, ..., words
    found = ""
    for index, part in enumerate(parts):
        if index % 2:
            number = claim.numbers.get(part)
            if number is None:
                raise BadInput(f"claim {claim.name}: nothing says where {{{part}}} comes from")
            found += rf"(?P<{part}>{NAMES if number.reduce == 'names' else NUMBER})"
        else:
            # Spaces at the ends of a part stand between it and a number.
            found += r"\s+" * part[:1].isspace() + words(part) + r"\s+" * (part[-1:].isspace() and bool(part.strip()))
    return re.compile(found)


def find(claim: Claim, page: str) -> re.Match[str]:
    """Where a claim stands in the text of its page.

    Raises:
        BadInput: nowhere, or twice.
    """
    matches = list(_pattern(claim).finditer(page))
    if len(matches) != 1:
        where = "does not have" if not matches else f"has {len(matches)} times"
        raise BadInput(f"claim {claim.name}: {claim.file} {where} the words: {' '.join(claim.text.split())}")
    return matches[0]


@dataclass(frozen=True)
class Place:
    """A number, or names, as they are written and as the table has them."""

    name: str
    written: str
    value: Found
    number: Number
    start: int
    end: int

    @property
    def right(self) -> str:
        """What should be written, as precisely as it is, in the same form."""
        if isinstance(self.value, tuple):
            as_it_is = set(re.findall("`([^`]+)`", self.written)) == set(self.value)  # in whatever order
            return self.written if as_it_is else _listed(self.value)
        exact = Decimal(repr(self.value))
        in_words = self.written in WORDS
        plain = Decimal(WORDS.index(self.written)) if in_words else Decimal(self.written.replace(",", ""))
        exponent = int(plain.as_tuple().exponent)
        if self.number.digits is not None:
            exponent = exact.adjusted() - self.number.digits + 1
        rounded = exact.quantize(Decimal(1).scaleb(exponent), ROUNDING[self.number.round])
        if rounded == plain:
            return self.written
        if in_words and rounded in range(len(WORDS)):
            return WORDS[int(rounded)]
        if "e" in self.written:
            return f"{rounded:e}"
        text = f"{rounded:,f}" if "," in self.written else f"{rounded:f}"
        return re.sub(r"^(-?)0\.", r"\1.", text) if re.match(r"-?\.", self.written) else text


def _listed(names: tuple[str, ...]) -> str:
    quoted = [f"`{name}`" for name in names]
    return " and ".join([", ".join(quoted[:-1]), quoted[-1]] if quoted[1:] else quoted)


def places(claim: Claim, match: re.Match[str], found: dict[str, Found]) -> Iterator[Place]:
    """Each place of a claim's text."""
    for name in match.re.groupindex:
        yield Place(name, match[name], found[name], claim.numbers[name], *match.span(name))
