"""How what a person adds is found: as `module:Name`, or through the entry points of installed packages."""

import importlib
import importlib.metadata
import warnings
from types import ModuleType

from estimators.errors import BadInput


def module_of(path: str) -> tuple[ModuleType, str]:
    """The module of `module:Name`, imported, and the name.

    Raises:
        BadInput: the module cannot be imported, or a file is named instead of one.
    """
    module, _, name = path.partition(":")
    if module.endswith(".py"):
        raise BadInput(f"{path!r} names a file; name its module: {module.removesuffix('.py')}:{name}")
    try:
        return importlib.import_module(module), name
    except (Exception, SystemExit) as error:  # foreign code: its reason is wanted, not its traceback
        raise BadInput(f"cannot import {module!r} of {path!r}: {type(error).__name__}: {error}") from error


def load_entry_points(*groups: str) -> None:
    """Import what installed packages name under these entry-point groups: each registers when it is imported."""
    for point in [point for group in groups for point in importlib.metadata.entry_points(group=group)]:
        try:
            point.load()
        except (Exception, SystemExit) as error:  # foreign code: whatever it raises, ours must still work
            warnings.warn(f"plug-in {point.name} ({point.value}) was not loaded: {error!r}", stacklevel=4)
