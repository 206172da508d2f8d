"""A run's folder, as far as a reader of records needs it: what it is called, without torch or a schema."""

import tomllib
from pathlib import Path
from typing import Any

from bench.run.files import MEGABYTE, Unreadable, content_of
from estimators.errors import NEAR, BadInput, guess, missing

LARGEST = 4 * MEGABYTE
"""Of a suite file: one of ten thousand estimators has less."""


def suite_file(directory: Path) -> Path:
    """The suite file of a run's folder.

    Raises:
        BadInput: there is no such folder, or it holds no run.
    """
    path = directory / "suite.toml"
    if not directory.exists():
        raise BadInput(missing("folder", directory))
    if not path.is_file():
        near = [directory.parent] if directory.is_file() and (directory.parent / "suite.toml").is_file() else []
        near += [found.parent for found in sorted(directory.glob("*/suite.toml"))][:NEAR]
        what = guess(list(map(str, near))) if near else "give the folder that `gradest run` made"
        raise BadInput(f"{str(directory)!r} holds no run (no suite.toml); {what}")
    return path


def content_of_suite(directory: Path) -> bytes:
    """What the suite file holds.

    Raises:
        BadInput: the folder holds no run, or its suite file cannot be read.
    """
    path = suite_file(directory)
    try:
        return content_of(path, LARGEST, follow=True) or b""
    except Unreadable as error:
        raise BadInput(f"{path} {error}") from error


def _suite(directory: Path) -> dict[str, Any]:
    content, path = content_of_suite(directory), directory / "suite.toml"
    try:
        return tomllib.loads(content.decode())
    except RecursionError as error:
        raise BadInput(f"{path} is nested too deep to be read") from error
    except ValueError as error:  # no TOML, not UTF-8, a number of thousands of digits
        raise BadInput(f"{path} is not valid TOML: {error}") from error


def name_of_run(directory: Path) -> str:
    """The name of the suite that a folder was run with.

    Raises:
        BadInput: the folder holds no run, or its suite is not TOML.
    """
    return str(_suite(directory).get("name") or directory.name)


def refuse_other(directory: Path, name: str) -> None:
    """Refuse a folder that holds a run of another suite.

    Args:
        directory: of a run, or not there yet.
        name: of the suite.

    Raises:
        BadInput: it holds another one's, or its suite is not TOML or has no name.
    """
    path = directory / "suite.toml"
    if not path.exists():
        return
    if (held := _suite(directory).get("name")) is None:  # as of a file that lost its content, or part of it
        raise BadInput(f"{path} names no suite, so that it is damaged: delete it, and a run of {name!r} writes it anew")
    if held != name:
        raise BadInput(
            f"{str(directory)!r} holds a run of suite {held!r}, not {name!r}; choose another folder with --out"
        )


def title_of_run(directory: Path) -> str:
    """The title of the suite, its name where it has none; raises as `name_of_run` does."""
    return str(_suite(directory).get("title") or name_of_run(directory))
