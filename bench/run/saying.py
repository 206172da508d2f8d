"""What is said of a cell while it runs: a line on stderr, of this process or of the one whose worker this is."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from bench.printed import visible


def _print(words: str) -> None:
    print(visible(words), file=sys.stderr, flush=True)


_SAY: ContextVar[Callable[[str], None]] = ContextVar("say", default=_print)


def say(words: str) -> None:
    """Say a line."""
    _SAY.get()(words)


@contextmanager
def saying(how: Callable[[str], None]) -> Iterator[None]:
    """What is said inside is said that way."""
    token = _SAY.set(how)
    try:
        yield
    finally:
        _SAY.reset(token)
