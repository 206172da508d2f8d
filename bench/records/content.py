"""From the bytes of a file to plain values, with all that JSON lets through and a record may not hold.

Python's reader takes NaN, infinities, numbers without end, the same key twice and any depth. What is wrong is noted and
not raised, since a file of a later release is to be known as such whatever else is new about it.
"""

import json
import math
from typing import Any, NamedTuple

LARGEST = 64 * 2**20
"""Bytes of a record. The largest published one has 160 thousand, of 75 points; a thousand points would have 2 MB."""
DEEPEST = 40
"""Objects and lists in each other; ours have 7. Readers walk them by recursion, which Python ends near 1,000."""
BEYOND = 1e150
"""Above what is measured: its square is still a number, and readers take squares. Float32 ends at 3e38."""
LARGEST_WHOLE = 2**63 - 1
"""Of a whole number: tables hold such numbers in 64 bits."""

_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode


class Content(NamedTuple):
    """What a file holds."""

    values: Any
    """As JSON gives them; None where it is not JSON."""
    wrong: str
    """Half a sentence that follows the file's name; empty where nothing is."""


def parse(content: bytes) -> Content:
    """The values of a file, and the first thing that is wrong with it; `fault_of_values` asks more of the values."""
    if not content:
        return Content(None, "is empty")
    noted: list[str] = []

    def together(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            seen: set[str] = set()
            twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
            noted.append(f"holds the key {twice[:40]!r} twice in one object")
        return found

    def no_number(token: str) -> float:
        noted.append(f"holds {token}, which is no number of JSON")
        return math.nan

    try:
        values = json.loads(content.decode(), object_pairs_hook=together, parse_constant=no_number)
    except UnicodeDecodeError as error:
        return Content(None, f"is not text in UTF-8 (at byte {error.start})")
    except RecursionError:
        return Content(None, f"is nested more than {DEEPEST} deep")
    except json.JSONDecodeError as error:
        what = error.msg.removesuffix(" at")  # as of "Unterminated string starting at"
        return Content(None, f"is torn or no JSON ({what} at byte {error.pos} of {len(content)})")
    except ValueError:  # what Python says of whole numbers of more than 4300 digits
        return Content(None, "holds a number of thousands of digits")
    return Content(values, noted[0] if noted else "")


def fault_of_values(values: Any) -> str:
    """What no record holds, in half a sentence: numbers without bound, depth, text that cannot be written."""
    level: list[Any] = [[values]]
    for _ in range(DEEPEST + 1):
        inner = []
        for node in level:
            if type(node) is dict:
                if wrong := next(filter(None, map(_fault_of_text, node)), ""):
                    return wrong
                node = node.values()
            elif type(node) is not list:
                continue
            for value in node:
                kind = type(value)
                if kind is dict or kind is list:
                    inner.append(value)
                elif kind is float:
                    if not -BEYOND < value < BEYOND:
                        return f"holds a number beyond {BEYOND:g}"
                elif kind is int:
                    if not -LARGEST_WHOLE <= value <= LARGEST_WHOLE:
                        return "holds a whole number of more than 64 bits"
                elif kind is str and (wrong := _fault_of_text(value)):
                    return wrong
        if not inner:
            return ""
        level = inner
    return f"is nested more than {DEEPEST} deep"


def _fault_of_text(text: str) -> str:
    """Of what can be written into no file, or ends a text early."""
    if "\0" in text:
        return "holds a text with a NUL character"
    if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
        return "holds a text with half a character"
    return ""


def canonical(values: Any) -> str:
    """Plain values as one text, whatever the order of keys and the room between them.

    Raises:
        ValueError: a number is not finite.
    """
    return _encode(values)
