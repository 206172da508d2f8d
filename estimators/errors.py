"""What is said to a person whose input cannot be used; free of torch, so that all can import it."""

import difflib
from collections.abc import Sequence
from numbers import Integral

LISTED = 20
"""Names that a message lists at most."""


class BadInput(ValueError):
    """Something a person typed or passed cannot be used; the message is one line that says what to do."""


def check_whole(name: str, number: object, least: int) -> None:
    """Refuse what is no whole number of at least so much.

    Raises:
        BadInput: one line with the name and what was given.
    """
    if isinstance(number, bool) or not isinstance(number, Integral) or int(number) < least:
        raise BadInput(f"{name} = {number!r} is no whole number of at least {least}")


def listed(words: Sequence[str]) -> str:
    """Words in a sentence: a, b and c."""
    *others, last = words
    return f"{', '.join(others)} and {last}" if others else last


def unknown(what: str, typed: object, known: Sequence[str], where: str = "") -> str:
    """One line for a name that does not exist: what was typed, the nearest names, all where they are few, and more."""
    near = difflib.get_close_matches(str(typed), known, n=2)
    guess = f"; did you mean {' or '.join(repr(name) for name in near)}?" if near else "."
    names = f"{len(known)} names" if len(known) > LISTED and where else ", ".join(known) or "none"
    return f"unknown {what} {typed!r}{guess} Known: {names}" + (f" ({where})" if where else "")
