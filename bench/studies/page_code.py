"""The code in a page of the documentation, and how it is run: by the tests, and for the tutorial's pictures.

A page is a session in an empty folder. Its fenced blocks say what they are:

    python                      run, all of a page's as one program
    python title="mine.py"      written to that file of the folder, and so for toml
    sh                          commands, run in that folder, one after another
    text                        what a command printed, or a layout: no code
"""

import re
import shlex
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

LANGUAGES = ("python", "toml", "sh", "text")
FENCE = re.compile(
    r'^```(?P<language>[^\s`]*)(?: title="(?P<title>[\w.-]+)")?\n(?P<text>.*?)^```$', re.MULTILINE | re.DOTALL
)
INDENTED = re.compile(r"(?<=\n\n)(?: {4,}(?!\s*[-*] )[^\n]*\n\n?)+")
INLINE = re.compile(r"`([^`]+)`")


class Block(NamedTuple):
    """A fenced block."""

    language: str
    title: str
    """The file that it is to be, or nothing."""
    text: str
    line: int
    """Of the page, where the fence stands."""


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page in order."""
    return [
        Block(found["language"], found["title"] or "", found["text"], page.count("\n", 0, found.start()) + 1)
        for found in FENCE.finditer(page)
    ]


def indented(page: str) -> list[str]:
    """The blocks that are code by four spaces alone: formulas and layouts."""
    return INDENTED.findall(FENCE.sub("", page))


def inline(page: str) -> list[str]:
    """What stands between backticks in a page's text and tables, in a line."""
    return [" ".join(found.replace("\\|", "|").split()) for found in INLINE.findall(FENCE.sub("", page))]


def commands(text: str) -> list[tuple[str, ...]]:
    """The words of each simple command of some lines of sh, without `.venv/bin/` and variables that are set before it.

    `gradest run a && gradest run b` are two; a comment is none.
    """
    found = []
    for line in text.replace("\\\n", " ").splitlines():
        words: list[str] = []
        lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;")
        lexer.whitespace_split = True
        for word in [*lexer, ";"]:
            if set(word) <= set("&|;"):
                found.append(tuple(words))
                words = []
            elif words:
                words.append(word)
            elif not re.match(r"[A-Z_]+=", word):
                words.append(word.removeprefix(".venv/bin/"))
    return [words for words in found if words]


Shell = Callable[[tuple[str, ...], Path], str]
"""Runs a command in a folder, and gives what it printed."""


class Shown(NamedTuple):
    """What a page says that is printed, and what was."""

    block: Block
    """The block of text."""
    code: Block
    """What printed it."""
    printed: str


def run(page: str, folder: Path, shell: Shell, given: Mapping[str, Any] | None = None) -> list[Shown]:
    """Run a page in an empty folder, which must be the present one.

    Args:
        page: its text.
        folder: where its files are written.
        shell: runs the commands.
        given: names that the page takes to be the reader's own.

    Returns:
        Each block of text that follows a block which was run.
    """
    names: dict[str, Any] = {"__name__": "page", **(given or {})}
    shown: list[Shown] = []
    last: tuple[Block, str] | None = None
    for block in blocks(page):
        if block.title:
            (folder / block.title).write_text(block.text)
        elif block.language == "python":
            out = StringIO()
            with redirect_stdout(out):
                # A fault names the line of the page.
                exec(compile("\n" * block.line + block.text, "page", "exec"), names)
            last = block, out.getvalue()
        elif block.language == "sh":
            last = block, "".join(shell(words, folder) for words in commands(block.text))
        elif block.language == "text" and last is not None:
            shown.append(Shown(block, *last))
            last = None
    return shown
