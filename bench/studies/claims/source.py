"""What a person writes into `results/claims/*.toml`: claims, and exceptions for numbers that nobody measured."""

import re
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from estimators.errors import BadInput

ROOT = Path(__file__).parents[3]
"""The checkout, whose pages and tables are compared."""

Kind = Literal[
    "definition", "duration", "example", "level", "literature", "pending", "setting", "size", "tested", "version"
]
"""Why a number needs no table: it is chosen or defined and not measured, or it is others' and cited; or it is
`tested`, by a test that would fail were it otherwise, or a `duration` that says about how long a command takes; or,
`pending`, it is being measured anew."""


PLACE = re.compile(r"\{(\w+)\}")
"""A place of a number in a claim's text."""
NAME = re.compile(r"[A-Za-z_]\w*")
"""A number's name in an expression."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Number(_Part):
    """Where a number, or a list of names, comes from: a table, or the code that holds a setting, or other numbers.

    `where` and `value` are in pandas' language of queries: `estimator == 'rloo' and logit == 6`, `sqrt(variance)`. A
    text alone stands for `where`. What is not said is the claim's.
    """

    table: str = ""
    """A file under results/: csv, parquet or jsonl."""
    where: str = ""
    value: str = ""
    reduce: Literal["one", "min", "max", "median", "mean", "sum", "count", "names"] = "one"
    """What becomes of the rows: one value that all share, a statistic of them, how many different values there are (of
    rows, where no `value` is given), or their different values as a list of names."""
    empty: bool = False
    """Whether a count may find no row and be 0. A name that is typed wrong finds none either, so it has to be said."""
    of: str = ""
    """An expression of other numbers of the claim, those above it."""
    code: str = ""
    """A constant, a parameter's default or a field's default: `bench.suite.settings:Training.steps`."""
    factor: float = 1.0
    """What the value is multiplied by as it is written: 100 for per cent."""
    round: Literal["nearest", "up", "down"] = "nearest"
    """`up` for "at most", `down` for "at least"."""
    digits: int | None = None
    """Significant digits, where the number as it is written does not show them: 34,000 with two."""

    @model_validator(mode="before")
    @classmethod
    def _selection(cls, given: Any) -> Any:
        return {"where": given} if isinstance(given, str) else given


class Claim(_Part):
    """A published sentence, or a part of one."""

    name: str
    file: str
    text: str
    """As it stands there, with `{place}` for each number that is held against a table; line breaks do not matter."""
    table: str = ""
    where: str = ""
    value: str = ""
    numbers: dict[str, Number] = {}
    """By place. One that has no place in the text is there for `of` and `true`."""
    true: tuple[str, ...] = ()
    """What else the sentence says, as comparisons of its numbers: `bitflip < rloo`."""
    fixed: tuple[str, ...] = ()
    """Numbers of the text that no table gives, with words beside them: conditions under which the others hold."""

    @model_validator(mode="after")
    def _something_is_checked(self) -> "Claim":
        if not self.numbers:
            raise ValueError("has no numbers, so that nothing is checked; say where its numbers come from")
        told = set(PLACE.findall(self.text))
        expressions = [*self.true, *(number.of for number in self.numbers.values())]
        used = told.union(*(NAME.findall(expression) for expression in expressions))
        if idle := sorted(self.numbers.keys() - used):
            raise ValueError(
                f"claim {self.name}: {idle[0]} has no place in text, true or of: use it there or remove it"
            )
        if empty := [said for said in self.true if not self.numbers.keys() & set(NAME.findall(said))]:
            raise ValueError(f"claim {self.name}: {empty[0]} compares none of its numbers")
        text = " ".join(self.text.split())
        if absent := [part for part in self.fixed if " ".join(part.split()) not in text]:
            raise ValueError(f"claim {self.name}: its text does not have what is fixed: {absent[0]}")
        return self

    @model_validator(mode="after")
    def _a_count_alone_may_be_empty(self) -> "Claim":
        for name, number in self.numbers.items():
            if number.empty and number.reduce != "count":
                raise ValueError(f"claim {self.name}: {name} has empty = true, which is for reduce = 'count' alone")
        return self


class Exempt(_Part):
    """Numbers of a page that are no claim."""

    kind: Kind
    file: str
    texts: tuple[str, ...] = ()
    """Numbers with words beside them, as they stand there."""
    headings: tuple[str, ...] = ()
    """Whole sections, by their headings."""


class Pattern(_Part):
    """Numbers that are no claim wherever they stand, as a regular expression."""

    kind: Kind
    pattern: str
    why: str


class Sources(_Part):
    """All that is written."""

    claim: tuple[Claim, ...] = ()
    exempt: tuple[Exempt, ...] = ()
    pattern: tuple[Pattern, ...] = ()


def read(root: Path = ROOT) -> Sources:
    """Claims and exceptions of all files, in their order.

    Raises:
        BadInput: a file is of another form, or two claims have one name.
    """
    claims: list[Claim] = []
    exempt: list[Exempt] = []
    patterns: list[Pattern] = []
    for path in sorted((root / "results/claims").glob("*.toml")):
        try:
            found = Sources.model_validate(tomllib.loads(path.read_text()))
        except (tomllib.TOMLDecodeError, ValidationError) as error:
            raise BadInput(f"{path.relative_to(root)}: {' '.join(str(error).split())}") from error
        claims.extend(found.claim)
        exempt.extend(found.exempt)
        patterns.extend(found.pattern)
    names = [claim.name for claim in claims]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise BadInput(f"results/claims: two claims are called {twice[0]}; a name is a test's, so give one another")
    return Sources(claim=tuple(claims), exempt=tuple(exempt), pattern=tuple(patterns))
