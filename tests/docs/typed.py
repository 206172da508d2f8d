"""Whether what a page tells a person to type is a command: each by the parser of its own program."""

import configparser
import importlib.util
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer
from typer.main import get_command

from bench.cli import app

ROOT = Path(__file__).parents[2]
SYNOPSIS = re.compile(r"\[--|\[-e|\.\.\.|\w\|\w")
"""In a line that says what can be typed, and is not to be typed as it stands."""


def parse_gradest(arguments: Sequence[str]) -> dict[str, Any]:
    """The verb of a command line and its parameters, read by gradest's own parser.

    Raises:
        typer.TyperException: it would be refused.
    """
    group: Any = get_command(app)
    context = group.make_context("gradest", list(arguments))
    name, verb, rest = group.resolve_command(context, [*context._protected_args, *context.args])
    return {"verb": name, **verb.make_context(name, rest, parent=context).params}


def parse_synopsis(words: Sequence[str]) -> None:
    """Hold each option that a synopsis names against the verb that it is of."""
    group: Any = get_command(app)
    verb = group.commands[words[1]]
    known = {option for parameter in verb.params for option in [*parameter.opts, *parameter.secondary_opts]}
    named = {found for word in words[2:] for found in re.findall(r"(?<![\w-])(--[a-z-]+|-[a-z])(?![\w-])", word)}
    assert named <= known, f"{' '.join(words)}: gradest {words[1]} has no {', '.join(sorted(named - known))}"


def parse_study(words: Sequence[str]) -> None:
    """Read the arguments of `python -m bench.studies.NAME` by its own parser, where it has one."""
    module = words[0]
    spec = importlib.util.find_spec(module)
    assert spec is not None, f"there is no module {module}"
    study = importlib.import_module(f"{module}.__main__") if spec.submodule_search_locations else None
    if not hasattr(study, "main"):
        assert len(words) <= 2, f"{' '.join(words)}: {module} takes a path"
        return
    own = typer.Typer(add_completion=False)
    own.command()(study.main)
    get_command(own).make_context(module, list(words[1:]))


def environments() -> set[str]:
    """The names that `tox -e` takes."""
    found = configparser.ConfigParser(interpolation=None)
    found.read(ROOT / "tox.ini")
    names: set[str] = set()
    for section in found.sections():
        name = section.removeprefix("testenv:")
        names |= set(name.strip("{}").split(",")) if section != name else set()
    return names
