"""What is said to a person whose input cannot be used; free of torch, so that all can import it."""

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral
from pathlib import Path

LISTED = 30
"""Names that a message lists at most."""
LINE = 300
"""Characters of a message, above which it says how many names there are, where a command lists them."""
NEAR = 3
"""Names that a message guesses at most."""


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


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())


def nearest(typed: str, known: Sequence[str], about: Mapping[str, str] | None = None) -> list[str]:
    """The names that a person may have meant, the likeliest first; none where nothing is near.

    The first of these that finds any: the same letters in other cases or with other dashes; the initials of a name,
    such as `stl` of sticking-the-landing; names that begin so; names that hold it, or of which something is said in
    that word, such as `concrete`; names that are spelled alike.

    Args:
        typed: what was typed.
        known: the names.
        about: what is said of some of them, such as a summary and a paper.
    """
    words = _words(typed)
    plain = "".join(words)
    if plain:
        of = {name: _words(name) for name in known}
        said = {name: {*_words(text), *of[name]} for name, text in (about or {}).items() if name in of}
        ways: tuple[Callable[[str], bool], ...] = (
            lambda name: "".join(of[name]) == plain,
            lambda name: len(of[name]) > 1 and "".join(word[0] for word in of[name]) == plain,
            lambda name: len(plain) > 1 and "".join(of[name]).startswith(plain),
            lambda name: len(plain) > 2 and (plain in "".join(of[name]) or said.get(name, set()) >= {*words}),
        )
        for way in ways:
            if found := [name for name in known if way(name)]:
                return sorted(found, key=len)[:NEAR]
    return difflib.get_close_matches(typed, known, n=2)


def guess(names: Sequence[str]) -> str:
    """`did you mean 'a', 'b' or 'c'?`."""
    *others, last = map(repr, names)
    return f"did you mean {', '.join(others)} or {last}?" if others else f"did you mean {last}?"


def unknown(
    what: str, typed: object, known: Sequence[str], where: str = "", about: Mapping[str, str] | None = None
) -> str:
    """One line for a name that does not exist: what was typed, the nearest names, all where they are few, and more."""
    near = nearest(str(typed), known, about)
    question = f"; {guess(near)}" if near else "."
    said, more = f"unknown {what} {typed!r}{question} Known: ", f" ({where})" if where else ""
    names = ", ".join(known) or "none"
    too_many = len(known) > LISTED or (len(said + names + more) > LINE and "gradest list" in where)
    return said + (f"{len(known)} names" if too_many and where else names) + more


def missing(what: str, path: Path, also: Sequence[str] = ()) -> str:
    """One line for a file or folder that is not there: what was typed, and what lies near it or in its place.

    Args:
        what: file or folder.
        path: that was typed.
        also: other things that may have been meant, such as names of suites.
    """
    if path.is_symlink() or path.exists():
        kinds = {"a folder": path.is_dir(), "a file": path.is_file(), "a pipe or a device": path.exists()}
        there = next((kind for kind, is_one in kinds.items() if is_one), "a link to nowhere")
        return f"{str(path)!r} is {there}, where a {what} is needed"
    beside = sorted(path.parent.iterdir()) if path.parent.is_dir() else []
    names = {found.stem: str(found) for found in beside if found.suffix == path.suffix and found.name[0] != "."}
    in_runs = Path("runs") / path
    near = [str(in_runs)] if not path.is_absolute() and in_runs.exists() else []
    near += [names[name] for name in nearest(path.stem, list(names))]
    near += [name for name in also if name == path.stem]
    where = "" if path.parent.is_dir() else f", nor {str(path.parent)!r}"
    return f"no such {what}: {str(path)!r}{where}" + (f"; {guess(list(dict.fromkeys(near))[:NEAR])}" if near else "")
