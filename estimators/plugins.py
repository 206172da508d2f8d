"""How what a person adds is found: as `module:Name`, or through the entry points of installed packages."""

import importlib
import importlib.metadata
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from importlib.machinery import PathFinder
from types import ModuleType

from estimators.errors import BadInput

Told = Callable[[str, str], None]
_TOLD: ContextVar[Told | None] = ContextVar("told", default=None)
_READS: ContextVar[bool] = ContextVar("reads", default=False)


@contextmanager
def telling(told: Told) -> Iterator[None]:
    """Inside, `told` is called before a module that a person named is imported first, with it and its file."""
    token = _TOLD.set(told)
    try:
        yield
    finally:
        _TOLD.reset(token)


@contextmanager
def staying_here() -> Iterator[None]:
    """Afterwards the process is in the folder that it was in, wherever a person's own code went inside.

    What is named by a path from there, the folder of a run for one, would be another place otherwise.
    """
    here = None
    with suppress(OSError):  # somebody removed it
        here = os.getcwd()
    try:
        yield
    finally:
        if here is not None:
            with suppress(OSError):
                os.chdir(here)


@contextmanager
def without_imports() -> Iterator[None]:
    """Inside, nothing that a suite or a record names is imported: what is not imported yet is refused."""
    token = _READS.set(True)
    try:
        yield
    finally:
        _READS.reset(token)


def module_of(path: str) -> tuple[ModuleType, str]:
    """The module of `module:Name`, imported, and the name.

    Raises:
        BadInput: the module cannot be imported, or may not be here, or a file is named instead of one.
    """
    module, _, name = path.partition(":")
    if module.endswith(".py"):
        raise BadInput(f"{path!r} names a file; name its module: {module.removesuffix('.py')}:{name}".removesuffix(":"))
    if module not in sys.modules:
        if _READS.get():
            raise BadInput(f"{path!r} is a person's own code, which reading a folder does not run")
        if (told := _TOLD.get()) is not None:
            found = PathFinder.find_spec(module.partition(".")[0])  # of the package: that of a part would import it
            if found is not None and found.origin is not None:
                told(module, found.origin)
    try:
        with staying_here():
            return importlib.import_module(module), name
    except (Exception, SystemExit) as error:  # foreign code: its reason is wanted, not its traceback
        raise BadInput(f"cannot import {module!r} of {path!r}: {type(error).__name__}: {error}") from error


def import_own(module: str) -> None:
    """Import a module that a person named, also where nothing that a folder names is imported.

    Raises:
        BadInput: see `module_of`.
    """
    token = _READS.set(False)
    try:
        module_of(f"{module}:")
    finally:
        _READS.reset(token)


def load_entry_points(*groups: str) -> None:
    """Import what installed packages name under these entry-point groups: each registers when it is imported."""
    for point in [point for group in groups for point in importlib.metadata.entry_points(group=group)]:
        try:
            with staying_here():
                point.load()
        except (Exception, SystemExit) as error:  # foreign code: whatever it raises, ours must still work
            warnings.warn(f"plug-in {point.name} ({point.value}) was not loaded: {error!r}", stacklevel=4)
