"""The largest numbers and the longest lists and words that a person may give, each with the reason.

A bound lies where nobody could want more: what is beyond it is a slip of the finger, and would not be refused by
anything else until the machine is out of memory or of time.
"""

import unicodedata
from collections.abc import Sized
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

SHOWN = 60
"""Characters of a value that a message repeats."""


@dataclass(frozen=True)
class AtMost:
    """The largest number that a field takes."""

    most: float
    why: str
    """In half a sentence, such as `no machine has cores for more`."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Checked after the type and what else is said of the field."""
        return core_schema.no_info_after_validator_function(self.checked, handler(source))

    def checked(self, number: float) -> float:
        """The number.

        Raises:
            ValueError: it is too large.
        """
        if number > self.most:
            raise ValueError(f"Input should be less than or equal to {plain(self.most)} ({self.why})")
        return number


@dataclass(frozen=True)
class Few:
    """The most items of a list or a table, or characters of a word."""

    most: int
    why: str
    what: str = "items"

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Checked after the type and what else is said of the field."""
        return core_schema.no_info_after_validator_function(self.checked, handler(source))

    def checked(self, given: Sized) -> Sized:
        """The list, table or word.

        Raises:
            ValueError: it is too long.
        """
        if len(given) > self.most:
            raise ValueError(f"expected at most {self.most} {self.what} ({self.why}), and there are {len(given)}")
        return given


def plain(number: float) -> str:
    """A bound as a person would type it: 100000, not 1e+05."""
    return str(int(number)) if number == int(number) and number < 1e15 else f"{number:g}"


def shown(value: Any) -> str:
    """A value that was typed, as a message repeats it: its beginning, where it is long.

    Python refuses to write a whole number of more than 4300 digits, and gives up on what is nested a thousand deep.
    """
    if isinstance(value, int) and abs(value) >= 10**SHOWN:
        return f"a number of more than {SHOWN} digits"
    if isinstance(value, str | bytes):
        value = value[: 2 * SHOWN]
    try:
        text = repr(value)
    except (ValueError, RecursionError):
        return f"a {type(value).__name__} that is too large to show"
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 4]} ..."


_UNSEEN = {"Cc": "a control character", "Cs": "half a character", "Zl": "a line break", "Zp": "a line break"}
"""Categories of characters that no name, label or title holds: a terminal obeys them, and no file can be written with
half a character, which is what bytes that are not UTF-8 become on the command line."""
_TURNS = {*"\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"}
"""Characters that turn the direction of what is written after them, so that a line reads as another one."""


def printable(text: str) -> str:
    """The text.

    Raises:
        ValueError: it holds a character that is none to be seen.
    """
    for place, character in enumerate(text):
        what = _UNSEEN.get(unicodedata.category(character), "a turn of direction" if character in _TURNS else "")
        if what:
            raise ValueError(f"character {place + 1} is {what}, U+{ord(character):04X}: leave it out")
    return text


Printable = AfterValidator(printable)
Word = Annotated[str, Few(200, "it is to be read in a table", "characters"), Printable]
"""A name or a label."""
Title = Annotated[str, Few(500, "it is the heading of a page", "characters"), Printable]

Threads = Annotated[int, Field(ge=1), AtMost(1024, "no machine has cores for more threads")]
MOST_WORKERS = AtMost(10_000, "a scheduler keeps in touch with no more processes")
Workers = Annotated[int, Field(ge=1, strict=True), MOST_WORKERS]
Seeds = Annotated[int, Field(ge=1), AtMost(1000, "a thousand show a standard error of a thirtieth of the spread")]
MOST_DRAWS, MANY_DRAWS = 100_000, "a call of an estimator holds all its draws of z at once"
Draws = Annotated[int, Field(ge=1), AtMost(MOST_DRAWS, MANY_DRAWS)]
FurtherDraws = Annotated[int, Field(ge=0), AtMost(MOST_DRAWS, "a step holds all its draws of z at once")]
Repeats = Annotated[int, Field(ge=3), AtMost(10**8, "a hundred million draws of a gradient show it to four digits")]
LongRun = Annotated[int, Field(ge=1000), AtMost(10**9, "a billion draws of a gradient show it to four digits")]
Steps = Annotated[int, Field(ge=1), AtMost(10**8, "a hundred million steps are weeks of training")]
RowCount = Annotated[int, Field(ge=1), AtMost(10**7, "no data set here has a tenth of so many rows")]
Size = Annotated[
    int, Field(ge=1), AtMost(4096, "wider layers are none of a benchmark's, and their weights fill memory")
]
Slope = Annotated[float, Field(ge=0), AtMost(0.99, "with a slope of 1 a layer bends nothing")]
Weight = Annotated[float, Field(gt=0), AtMost(1000, "a term a thousand times as heavy is trained alone")]
WarmUpSteps = Annotated[int, Field(ge=0), AtMost(10**8, "a hundred million steps are weeks of training")]
Rate = Annotated[float, Field(gt=0), AtMost(1e6, "a step of Adam moves a weight by about the rate")]
BelowOne = Annotated[float, Field(ge=0, lt=1)]
Betas = tuple[BelowOne, BelowOne]
Epsilon = Annotated[float, Field(ge=1e-20), AtMost(1, "with more, Adam hardly divides by the size of a gradient")]
"""Float32 holds its square no more where it is smaller."""
Decay = Annotated[float, Field(ge=0), AtMost(100, "a hundred times a weight hides any gradient")]
SeedNumber = Annotated[int, Field(ge=0), AtMost(10**9, "seeds are numbered; a billion are enough to choose from")]
