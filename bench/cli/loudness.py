"""How much a verb says: --quiet leaves errors and the last line, --verbose says more."""

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated

import typer

from bench.printed import Escaped

PANEL = "How much is said"
QUIET = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print errors and the last line alone.", rich_help_panel=PANEL)
]
VERBOSE = Annotated[
    bool, typer.Option("--verbose", "-v", help="Print more: a line a cell, all of a list.", rich_help_panel=PANEL)
]
TRACEBACK = Annotated[
    bool,
    typer.Option("--traceback", help="Show where in the code it happened, for what goes wrong.", rich_help_panel=PANEL),
]


@dataclass
class Loudness:
    """What the command that runs was asked for."""

    quiet: bool = False
    verbose: bool = False
    traceback: bool = False


ASKED = Loudness()
"""Of this process: a command is a process."""


@contextmanager
def as_loud_as_asked(*, quiet: bool, verbose: bool, traceback: bool, whole: bool) -> Iterator[None]:
    """Let a verb say as much as was asked for, until it ends, and nothing that a terminal would obey.

    Args:
        quiet: whether stdout is the last line alone.
        verbose: whether more is said.
        traceback: whether what goes wrong is shown with its place in the code.
        whole: whether stdout is for a program, as JSON, and is never cut.
    """
    before, streams = (ASKED.quiet, ASKED.verbose, ASKED.traceback), (sys.stdout, sys.stderr)
    ASKED.quiet, ASKED.verbose, ASKED.traceback = quiet or before[0], verbose or before[1], traceback or before[2]
    kept = io.StringIO()
    sys.stdout, sys.stderr = Escaped(kept if ASKED.quiet and not whole else sys.stdout), Escaped(sys.stderr)
    try:
        yield
    finally:
        ASKED.quiet, ASKED.verbose, ASKED.traceback = before
        sys.stdout, sys.stderr = streams
        if said := kept.getvalue().rstrip("\n"):
            print(said.rpartition("\n")[2])
