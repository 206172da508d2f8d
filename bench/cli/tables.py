"""Rows as a table on the terminal, sentences folded to its width, and JSON."""

import json
import math
import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from bench.cli.loudness import ASKED
from bench.printed import unescaped, visible
from bench.records.damage import LEFT_OUT, Damage, sentences

UNBOUNDED = 10_000
"""Columns where nothing is folded."""
LEAST = 4
"""Columns that whole names leave to each other column at least, or they are folded too, into a quarter of the width."""


class _Output(Console):
    """A console that leaves an output that nobody reads to `bench.cli.guard`; rich's own exits with 1."""

    def on_broken_pipe(self) -> None:
        """Raise again what is being handled."""
        raise


def width() -> int:
    """Columns of the output: what COLUMNS says, else those of the terminal.

    A file or a pipe has as many as it takes: there a row is one line, so that `| grep` finds all of it.
    """
    if ASKED.quiet:  # the last line is the whole of what is said last
        return UNBOUNDED
    said = os.environ.get("COLUMNS", "")
    if said.isdecimal() and int(said) > 0:
        return int(said)
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else UNBOUNDED


def print_table(rows: Sequence[dict[str, Any]], whole: Sequence[str] = ("name",), below: str = "") -> None:
    """Rows as a table as wide as the output.

    Args:
        rows: all with the same keys, which are the columns.
        whole: columns that are not broken where they leave room for the others, which are folded.
        below: a column of sentences, which stands under each row, indented, where the output is that narrow.
    """
    if not rows:
        print("nothing to show")
        return
    columns = width()
    console = _Output(file=unescaped(sys.stdout), width=columns, markup=False, emoji=False, highlight=False)
    cells = [{key: _cell(value) for key, value in row.items()} for row in rows]
    sizes = {key: max(cell_len(key), *(cell_len(row[key]) for row in cells)) for key in rows[0]}
    whole = [key for key in whole if key in sizes and columns - sizes[key] >= LEAST * (len(sizes) - 1)]
    if not below or sum(sizes.values()) + 2 * len(sizes) <= columns:
        console.print(_table(sizes, cells, whole))
        return
    del sizes[below]
    if over := sum(sizes.values()) + 2 * (len(sizes) - 1) - columns:
        widest = max((key for key in sizes if key not in whole), key=sizes.__getitem__)
        sizes[widest] = max(8, sizes[widest] - max(over, 0))
    console.print(_table(sizes, [], whole, fixed=True))
    for row in cells:
        console.print(_table(sizes, [row], whole, fixed=True, header=False))
        console.print(Padding(row[below], (0, 0, 0, 4)))


def _table(
    sizes: Mapping[str, int],
    cells: Iterable[Mapping[str, str]],
    whole: Sequence[str],
    *,
    fixed: bool = False,
    header: bool = True,
) -> Table:
    """Some rows, of the columns that have a size; `fixed` where they are printed row by row, so that they align."""
    table = Table(box=None, pad_edge=False, show_header=header)
    for key, size in sizes.items():
        least = min(size, width() // 4) if key == "name" and key not in whole else None
        table.add_column(key, overflow="fold", no_wrap=key in whole, width=size if fixed else None, min_width=least)
    for row in cells:
        table.add_row(*(row[key] for key in sizes))
    return table


def print_lines(lines: Iterable[str], indent: str = "  ") -> None:
    """Sentences, each begun on a line of its own and folded to the output's width."""
    for line in lines:
        # What is long for want of spaces, such as a path, is left whole, so that it can be copied.
        print(textwrap.fill(line, width(), subsequent_indent=indent, break_long_words=False, break_on_hyphens=False))


def print_damaged(found: Sequence[Damage], what_comes_of_it: str = LEFT_OUT) -> None:
    """What is said of damaged records, on stderr, however quiet the command is."""
    for line in sentences(found, what_comes_of_it):
        print(line, file=sys.stderr)


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
            return ", ".join(f"{visible(str(key))} {_cell(item)}" for key, item in value.items()) or "-"
        case list() | tuple():
            return " ".join(map(_cell, value)) or "-"
    return visible(str(value))
