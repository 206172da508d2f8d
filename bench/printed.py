"""Text of others as it is printed: it moves no cursor, hides nothing, begins no line and is read in its order.

Labels, reasons and titles come from records and suites, which anybody may have written. What a terminal or a browser
would obey and not show (control characters, escape sequences, marks that turn the direction of reading) is shown as
Python writes it in a string.
"""

import os
import re
import sys
import traceback
import unicodedata
from collections.abc import Iterable
from types import TracebackType
from typing import Any

_EMOJI = "[\u2194\u2195\u2600-\u27bf\u2b1b\U0001f000-\U0001faff]"
"""Characters that emoji are joined of; their blocks hold some other signs too."""
_JOINER = re.compile(f"(?:(?<={_EMOJI})|(?<={_EMOJI}\ufe0f))\u200d(?={_EMOJI})")
"""The joiner that makes one picture of the two between which it stands, and would be hidden anywhere else."""


def visible(text: str, kept: str = "") -> str:
    """A text with every character that is not seen as its escape, but for spaces and those that are `kept`.

    The joiner of two emoji is seen as the picture that it makes of them.
    """
    if text.isprintable():
        return text
    joiners = {found.start() for found in _JOINER.finditer(text)}
    return "".join(
        one if one.isprintable() or one in kept or _space(one) or place in joiners else _escape(one)
        for place, one in enumerate(text)
    )


def _space(one: str) -> bool:
    return unicodedata.category(one) == "Zs"


def _escape(one: str) -> str:
    return one.encode("unicode_escape").decode()


class Escaped:
    """An output to which text is written as `visible` has it, in lines; all else is that of the stream below."""

    def __init__(self, stream: Any) -> None:
        self.stream = unescaped(stream)

    def write(self, text: str) -> int:
        """Write what can be seen of a text."""
        self.stream.write(visible(text, kept="\n\t"))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write several, as `write` does."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def unescaped(stream: Any) -> Any:
    """The stream below, for what writes escape sequences of its own around texts that are `visible` already."""
    return stream.stream if isinstance(stream, Escaped) else stream


def open_what_is_closed() -> None:
    """Let what is written to an output that was closed, as by `>&-`, go nowhere.

    The next file that is opened would take the place of that output, and have written into it what a library prints.
    """
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)  # of the lowest number that is free: its own
            os.set_inheritable(nowhere, True)
            setattr(sys, name, os.fdopen(nowhere, "r" if name == "stdin" else "w", encoding="utf-8"))


def show_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """What `sys.excepthook` is here: the message of an exception may quote what somebody else wrote."""
    print(visible("".join(traceback.format_exception(kind, error, trace)), kept="\n\t"), file=sys.stderr, end="")
