"""Suites from files: found by name or path, read, and changed as the command line asks."""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from bench.config import typed_estimator
from bench.suite.faults import explain
from bench.suite.rare import check_draws
from bench.suite.schema import Device, Pairs, Suite
from estimators.errors import BadInput, guess, missing, unknown

SUITES = Path(__file__).parents[1] / "suites"


def load_suite(name: str) -> Suite:
    """Read a suite by name (those that come with the package) or by path.

    Raises:
        BadInput: no such suite, not TOML, a key or value that a suite does not take, or toys that are too sharp for
            its draws.
    """
    path = Path(name)
    if path.suffix != ".toml":
        path = SUITES / f"{name}.toml" if path.name == name else path
    if path.suffix != ".toml" or not path.is_file():
        raise BadInput(_not_there(name))
    suite = parse_suite(path.read_bytes(), path.name)
    check_draws(suite, path.name)
    return suite


def _not_there(name: str) -> str:
    """What is said of a suite that is no name of ours, nor a path to one."""
    path, file = Path(name), Path(f"{name}.toml")
    if path.suffix == ".toml":
        return missing("file", path, suite_names())
    if path.is_file():
        return f"{name!r} is no suite: give a suite's name, or a file that ends in .toml"
    if file.is_file():
        return f"unknown suite {name!r}; {guess([str(file)])}"
    if (path / "suite.toml").is_file():
        return f"{name!r} is the folder of a run; gradest run {path / 'suite.toml'} --out {name} goes on with it"
    if path.name != name:
        return f"{missing('file', file, suite_names())} (a suite is a name, or a path that ends in .toml)"
    return unknown("suite", name, suite_names(), "or a path that ends in .toml")


def suite_names() -> list[str]:
    """Names of the suites that come with the package."""
    return sorted(path.stem for path in SUITES.glob("*.toml"))


def parse_suite(text: bytes, source: str) -> Suite:
    """Check a suite file's text; `source` names it in messages.

    Raises:
        BadInput: see `load_suite`; toys that are too sharp are let pass, as those of a suite that ran.
    """
    try:
        data = tomllib.loads(text.decode())
    except RecursionError as error:
        raise BadInput(f"{source} nests lists or tables deeper than can be read; a suite needs three levels") from error
    except ValueError as error:  # of TOML, of UTF-8, or of Python, which reads no number of more than 4300 digits
        raise BadInput(f"{source} is not valid TOML: {str(error).partition('; use sys.')[0]}") from error
    try:
        return Suite.model_validate(data)
    except ValidationError as error:
        raise BadInput(f"{source}: {explain(error, data)}") from error


def _of_these(tables: Sequence[Pairs], estimators: list[str]) -> list[dict[str, Any]]:
    """Tables for all estimators, and those for some with the ones that are left of them."""
    left = {typed_estimator(text).label for text in estimators}
    kept = []
    for one in tables:
        several = [config for config in one.estimators if config.label in left]
        if several or not one.estimators:
            kept.append(one.model_dump() | {"estimators": several})
    return kept


def left_behind(suite: Suite, changed: Suite) -> list[str]:
    """Estimators of the command line which an override of the suite is not for, though it is for that estimator.

    A sentence each: whoever leaves options out, or writes 1 for 1.0, has another estimator, trained as all others.

    Args:
        suite: as its file says.
        changed: by `override`.
    """
    given = [config for one in suite.overrides for config in one.estimators]
    found = []
    for asked in changed.estimators:
        like = sorted({config.label for config in given if config.name == asked.name})
        if like and all(asked.label != config.label for config in suite.estimators):
            found.append(
                f"{asked.label} is trained as [training] says: [[overrides]] are for {' and '.join(like)}, which an "
                "estimator has to be called for them to be its own"
            )
    return found


def override(
    suite: Suite, *, estimators: list[str] | None = None, seeds: int | None = None, device: str | None = None
) -> Suite:
    """The suite with what the command line changes; a given list of estimators replaces the suite's own.

    Raises:
        BadInput: a value that a suite does not take.
    """
    changes: dict[str, Any] = {"estimators": estimators or None, "seeds": seeds, "device": device}
    if device is not None and device not in get_args(Device):
        raise BadInput(unknown("device", device, get_args(Device), "gradest doctor"))
    given = {key: value for key, value in changes.items() if value is not None}
    if not given:
        return suite
    data = suite.model_dump() | given
    if estimators:
        of_tables: dict[str, Sequence[Pairs]] = {"overrides": suite.overrides, "leave_out": suite.leave_out}
        data |= {name: _of_these(tables, estimators) for name, tables in of_tables.items() if tables}
    try:
        return Suite.model_validate(data)
    except ValidationError as error:
        raise BadInput(explain(error, data)) from error
