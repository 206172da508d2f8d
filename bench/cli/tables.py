"""Rows as a table on the terminal."""

import math
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table


class _Output(Console):
    """A console that leaves an output that nobody reads to `bench.cli.guard`; rich's own exits with 1."""

    def on_broken_pipe(self) -> None:
        """Raise again what is being handled."""
        raise


def print_table(rows: Sequence[dict[str, Any]]) -> None:
    """Rows as a table as wide as the terminal, or as wide as it needs where the output is a file."""
    if not rows:
        print("nothing to show")
        return
    console = _Output(width=None if sys.stdout.isatty() else 10_000, emoji=False, highlight=False)
    table = Table(box=None, pad_edge=False)
    for key in rows[0]:
        table.add_column(key, overflow="fold", no_wrap=key == "name")
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    console.print(table)


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
