"""Rows as a table on the terminal, sentences folded to its width, and JSON."""

import json
import math
import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

UNBOUNDED = 10_000
"""Columns where nothing is folded."""


class _Output(Console):
    """A console that leaves an output that nobody reads to `bench.cli.guard`; rich's own exits with 1."""

    def on_broken_pipe(self) -> None:
        """Raise again what is being handled."""
        raise


def width() -> int:
    """Columns of the output: what COLUMNS says, else those of the terminal.

    A file or a pipe has as many as it takes: there a row is one line, so that `| grep` finds all of it.
    """
    said = os.environ.get("COLUMNS", "")
    if said.isdecimal() and int(said) > 0:
        return int(said)
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else UNBOUNDED


def print_table(rows: Sequence[dict[str, Any]], whole: Sequence[str] = ("name",)) -> None:
    """Rows as a table as wide as the output; columns named in `whole` are never broken, the others are folded."""
    if not rows:
        print("nothing to show")
        return
    console = _Output(width=width(), emoji=False, highlight=False)
    table = Table(box=None, pad_edge=False)
    for key in rows[0]:
        table.add_column(key, overflow="fold", no_wrap=key in whole)
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    console.print(table)


def print_lines(lines: Iterable[str], indent: str = "  ") -> None:
    """Sentences, each begun on a line of its own and folded to the output's width."""
    for line in lines:
        # What is long for want of spaces, such as a path, is left whole, so that it can be copied.
        print(textwrap.fill(line, width(), subsequent_indent=indent, break_long_words=False, break_on_hyphens=False))


def print_json(found: Any) -> None:
    """Plain values as JSON; what is not finite has none and is a fault of ours."""
    print(json.dumps(found, indent=1, allow_nan=False))


def _cell(value: Any) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case None:
            return "-"
        case float():
            return "-" if math.isnan(value) else f"{value:.3g}"
        case dict():
            return ", ".join(f"{key} {_cell(item)}" for key, item in value.items()) or "-"
        case list() | tuple():
            return " ".join(map(_cell, value)) or "-"
    return str(value).replace("[", r"\[")
