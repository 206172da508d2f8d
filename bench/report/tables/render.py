"""Tables as CSV and Markdown, and text for LaTeX (`bench.report.tables.latex`)."""

import re
from collections.abc import Sequence

import pandas as pd

from bench.report.tables.view import Section, Table

_TEX = str.maketrans({
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "|": r"\textbar{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "†": r"\textsuperscript{\textdagger}", "∞": r"$\infty$",
    "±": r"$\pm$",
    "²": r"\textsuperscript{2}",
})  # fmt: skip
_POWER = re.compile(r"(?<![\w.-])(-?[\d.]+)e(-?\d+)\b")
_MARKDOWN = re.compile(r"[\\`$]|\*(?=\S)|(?<=\S)\*|~~|(?<!\w)_|_(?!\w)|<(?=[\w/!?])|\](?=[(\[])|&(?=#?\w+;)")
_BLANK = re.compile(r"\n\s+")  # an empty line ends a paragraph, which no argument may hold
_FORMULA = ("=", "+", "-", "@")
"""What a cell begins with that a spreadsheet computes, behind any spaces, which it leaves out."""
_MINUS = re.compile(r"(?<![\w.$^{-])-(?=\d)")


def escape_tex(text: str) -> str:
    """Text for LaTeX, with powers of ten and minus signs set as mathematics."""
    escaped = _POWER.sub(r"$\1\\times10^{\2}$", _BLANK.sub("\n", text).translate(_TEX))
    return _MINUS.sub("$-$", escaped) if "-" in escaped else escaped


def escape_markdown(text: str) -> str:
    """Text for Markdown: what would be emphasis, code, a formula, a link or a tag stays as it is written."""
    return _MARKDOWN.sub(r"\\\g<0>", text.replace("\n", " "))


def csv(table: Table) -> str:
    """All columns at full precision; a text that a spreadsheet would take for a formula begins with an apostrophe."""
    frame = table.frame.reindex(columns=table.csv)
    texts = {
        str(name): column.map(_no_formula)
        for name, column in frame.items()
        if not pd.api.types.is_numeric_dtype(column)
    }
    return frame.assign(**texts).to_csv(index=False, lineterminator="\n")


def _no_formula(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.lstrip().startswith(_FORMULA) else value


def pipe(titles: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[bool] | None = None) -> list[str]:
    """The lines of a Markdown table.

    Args:
        titles: of the columns.
        rows: cells of each row.
        left: whether each column stands left or else right, and is padded to be read as text; None pads nothing.
    """
    marks = ["---"] * len(titles)
    lines = [[escape_markdown(text).replace("|", "\\|") for text in row] for row in (titles, *rows)]
    if left is not None:
        widths = [max(3, *map(len, column)) for column in zip(*lines, strict=True)]
        sides = list(zip(widths, left, strict=True))
        marks = [":" + "-" * (w - 1) if is_left else "-" * (w - 1) + ":" for w, is_left in sides]
        lines = [
            [text.ljust(w) if is_left else text.rjust(w) for text, (w, is_left) in zip(row, sides, strict=True)]
            for row in lines
        ]
    return ["| " + " | ".join(row) + " |" for row in (lines[0], marks, *lines[1:])]


def _markdown_section(table: Table, section: Section) -> list[str]:
    about = [escape_markdown(section.about) + ".", ""] if section.about else []
    titles, left = [column.title for column in table.columns], [column.left for column in table.columns]
    return ["", f"## {escape_markdown(section.heading)}", "", *about, *pipe(titles, section.cells, left)]


def markdown(table: Table) -> str:
    """A pipe table a problem, aligned to be read as text."""
    lines = [f"# {table.title}", "", escape_markdown(table.caption)]
    if not table.sections:
        lines += ["", "Nothing of this kind was measured."]
    for section in table.sections:
        lines += _markdown_section(table, section)
    return "\n".join(lines) + "\n"
