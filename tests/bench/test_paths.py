"""Paths that are typed: an empty one is refused wherever one is taken, and a run's folder stays where it was named."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
import typer.main

from bench.cli import VERBS, app
from tests.bench.command import Done

WORDS = {"run": ["small.toml"], "recommend": ["bernoulli[latents=2]"], "report": ["runs"], "compare": ["a", "b"]}
"""What a verb must be given beside the path; its own arguments are replaced by an empty one each."""


def _takes_a_path(kind: object) -> bool:
    return kind is Path or any(map(_takes_a_path, get_args(kind)))


def _empty() -> Iterator[list[str]]:
    """Every command line with an empty path in the place of one that a verb takes."""
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for verb, function in VERBS.items():
        kinds = get_type_hints(function)
        arguments = [one.name for one in commands[verb].params if one.param_type_name == "argument"]
        for one in commands[verb].params:
            if _takes_a_path(kinds.get(one.name)):
                words = list(WORDS.get(verb, [""]))
                if one.name in arguments:
                    words[arguments.index(one.name)] = ""
                    yield [verb, *words]
                else:
                    yield [verb, *words, one.opts[0], ""]


EMPTY = [*_empty()]


def test_the_walk_finds_what_takes_a_path() -> None:
    assert len(EMPTY) == 8
    assert ["run", "small.toml", "--out", ""] in EMPTY
    assert ["compare", "a", ""] in EMPTY


@pytest.mark.parametrize("arguments", EMPTY, ids=" ".join)
def test_an_empty_path_is_not_the_folder_that_one_is_in(
    gradest: Callable[..., Done], tmp_path: Path, arguments: list[str]
) -> None:
    before = sorted(tmp_path.rglob("*"))
    done = gradest(*arguments)
    assert (done.code, done.out) == (2, "")
    (line,) = done.err.splitlines()
    assert "expected the path of a file or a folder, got an empty one; the folder you are in is '.'" in line
    assert sorted(tmp_path.rglob("*")) == before
