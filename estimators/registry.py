"""The registry: one entry an estimator, which registers where its class is defined.

A third party's does so when its file is imported, through the entry-point group `gradest.estimators`, or as
`module:Class`.
"""

import importlib
import importlib.metadata
import pkgutil
import warnings
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import estimators
from estimators.base import Estimator
from estimators.entry import Entry, entry_of
from estimators.errors import BadInput, unknown

ENTRY_POINTS, FAMILY_POINTS = "gradest.estimators", "gradest.families"

_entries: dict[str, Entry] = {}
_loaded = False

EstimatorClass = TypeVar("EstimatorClass", bound=type[Estimator])


def register(
    name: str, *, unbiased: bool, families: Sequence[str] = (), capability: str | None = None, **tags: Any
) -> Callable[[EstimatorClass], EstimatorClass]:
    """Class decorator that puts an estimator into the registry.

    Args:
        name: the name it is known by, in lower case with hyphens.
        unbiased: whether its mean is the exact gradient.
        families: those that it works for by name, such as "gaussian", "bernoulli" and "categorical"; or instead
        capability: what it asks of a family, such as "score", "rsample", "enumeration" or "relaxation".
        **tags: the other fields of `Entry`; `samples` may be a plain tuple (min, default, even) or one number.

    Raises:
        BadInput: a tag or a family that does not exist, or a name that is taken by another class.
    """

    def decorate(cls: EstimatorClass) -> EstimatorClass:
        entry = entry_of(cls, name, unbiased=unbiased, families=families, capability=capability, **tags)
        taken = _entries.get(name)
        if taken and (taken.cls.__module__, taken.cls.__qualname__) != (cls.__module__, cls.__qualname__):
            raise BadInput(f"estimator {name!r} is already registered by {taken.cls.__module__}; choose another name")
        _entries[name] = entry
        cls.entry = entry
        return cls

    return decorate


def load_all() -> None:
    """Import every method of ours, and then those of plug-ins: each registers when it is imported."""
    global _loaded
    if _loaded:
        return
    _loaded = True
    for module in pkgutil.iter_modules(estimators.__path__):
        if not module.ispkg:
            importlib.import_module(f"estimators.{module.name}")
    points = [
        *importlib.metadata.entry_points(group=FAMILY_POINTS),
        *importlib.metadata.entry_points(group=ENTRY_POINTS),
    ]
    for point in points:
        try:
            point.load()
        except (Exception, SystemExit) as error:  # foreign code: whatever it raises, ours must still work
            warnings.warn(f"plug-in {point.name} ({point.value}) was not loaded: {error!r}", stacklevel=3)


def get(name: str) -> Entry:
    """The entry called `name`, or that of the class at `module:Class`, which is imported.

    Raises:
        BadInput: no such estimator, module or class, or a class that is not registered.
    """
    load_all()
    if ":" in name:
        return _import(name)
    if name not in _entries:
        raise BadInput(unknown("estimator", name, sorted(_entries), "gradest list estimators, or module:Class"))
    return _entries[name]


def _import(path: str) -> Entry:
    module_name, _, class_name = path.partition(":")
    if module_name.endswith(".py"):
        raise BadInput(f"{path!r} names a file; name its module: {module_name.removesuffix('.py')}:{class_name}")
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # of foreign code, whose reason is wanted, not its traceback
        raise BadInput(f"cannot import {module_name!r} of {path!r}: {type(error).__name__}: {error}") from error
    for entry in _entries.values():
        if (entry.cls.__module__, entry.cls.__qualname__) == (module.__name__, class_name):
            return entry
    classes = [entry.cls.__qualname__ for entry in _entries.values() if entry.cls.__module__ == module.__name__]
    where = "those decorated with @register(...)"
    raise BadInput(unknown(f"estimator class in {module_name!r}:", class_name, classes, where))


def available(family: str | None = None, bound: str | None = None) -> list[Entry]:
    """All entries by name, or those for one family or bound."""
    load_all()
    return [
        entry
        for _, entry in sorted(_entries.items())
        if (family is None or family in entry.families) and (bound is None or bound == entry.bound)
    ]
