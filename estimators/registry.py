"""The registry: one entry an estimator, which registers where its class is defined.

A third party's does so when its file is imported, through the entry-point group `gradest.estimators`, or as
`module:Class`.
"""

import functools
import importlib
import pkgutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from torch.distributions import Distribution

from estimators.base import Estimator
from estimators.entry import Entry, entry_of
from estimators.errors import BadInput, unknown
from estimators.families import FAMILIES
from estimators.labels import Scalar, read_label
from estimators.plugins import load_entry_points, module_of

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
        if cls.__module__.partition(".")[0] != "estimators":
            _load_ours()  # so that a name of ours is taken, whoever is imported first
        entry = entry_of(cls, name, unbiased=unbiased, families=families, capability=capability, **tags)
        taken = _entries.get(name)
        if taken and (taken.cls.__module__, taken.cls.__qualname__) != (cls.__module__, cls.__qualname__):
            raise BadInput(f"estimator {name!r} is already registered by {taken.cls.__module__}; choose another name")
        _entries[name] = entry
        cls.entry = entry
        cls.__doc__ = entry.described()
        return cls

    return decorate


def load_all() -> None:
    """Import every method of ours, and then those of plug-ins: each registers when it is imported."""
    global _loaded
    if _loaded:
        return
    _loaded = True
    _load_ours()
    load_entry_points(FAMILY_POINTS, ENTRY_POINTS)


@functools.cache
def _load_ours() -> None:
    """Import every method that lies beside this file."""
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        if not module.ispkg:
            importlib.import_module(f"estimators.{module.name}")


def get(name: str) -> Entry:
    """The entry called `name`, or that of the class at `module:Class`, which is imported.

    Raises:
        BadInput: no such estimator, module or class, or a class that is not registered.
    """
    load_all()
    if "[" in name:
        plain = name.partition("[")[0]
        raise BadInput(f"{name!r} is a name with options: get({plain!r}) is its entry, create({name!r}) the estimator")
    if ":" in name:
        return _import(name)
    if name not in _entries:
        about = {known: f"{entry.summary} {entry.paper}" for known, entry in _entries.items()}
        family = f" --family {name}" if name in FAMILIES else ""
        where = f"gradest list estimators{family}, or module:Class"
        raise BadInput(unknown("estimator", name, sorted(_entries), where, about))
    return _entries[name]


def _import(path: str) -> Entry:
    module, class_name = module_of(path)
    for entry in _entries.values():
        if (entry.cls.__module__, entry.cls.__qualname__) == (module.__name__, class_name):
            return entry
    classes = [entry.cls.__qualname__ for entry in _entries.values() if entry.cls.__module__ == module.__name__]
    where = "those decorated with @register(...)"
    raise BadInput(unknown(f"estimator class in {module.__name__!r}:", class_name, classes, where))


def create(
    label: str,
    *,
    samples: int | None = None,
    like: Distribution | None = None,
    context_size: int = 0,
    stack: Sequence[int] = (),
    **options: Scalar,
) -> Estimator:
    """The estimator of a label as on the command line: `create("reinforce[baseline=moving-average]", samples=4)`.

    Args:
        label: `name[key=value,...]`, or with `module:Class` in the place of the name.
        samples: draws of z a row; None for what the label says, or the estimator's default.
        like: see `Entry.create`, as for `context_size` and `stack`.
        context_size: size X of the context given to a call, 0 for none.
        stack: leading dims of seeds trained side by side.
        **options: the estimator's own, beside those of the label.

    Raises:
        BadInput: no such estimator, a label that cannot be read, or options that the estimator does not take.
    """
    try:
        name, said_samples, said = read_label(label)
    except ValueError as error:
        raise BadInput(str(error)) from error
    twice = sorted(said.keys() & options.keys()) + ["samples"] * (None not in (samples, said_samples))
    if twice:
        raise BadInput(f"{label!r} says {twice[0]} already: give it there or as an argument")
    drawn = said_samples if samples is None else samples
    arguments: dict[str, Any] = said | options | ({} if drawn is None else {"samples": drawn})
    return get(name).create(like=like, context_size=context_size, stack=stack, **arguments)


def available(family: str | None = None, bound: str | None = None) -> list[Entry]:
    """All entries by name, or those for one family or bound."""
    load_all()
    return [
        entry
        for _, entry in sorted(_entries.items())
        if (family is None or family in entry.families) and (bound is None or bound == entry.bound)
    ]
