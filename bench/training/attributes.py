"""What modules keep outside of their parameters and buffers, and whether it changed.

A trace sees tensors alone. A count, a flag or a tensor in a plain attribute would stay what it was when it was traced.
"""

import copy
import hashlib
import pickle
import random
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy
from torch import Generator, Tensor, nn

_CHANGING = (bool, int, float, str, tuple, list, dict, set, numpy.ndarray, Tensor, type(None))
"""What a class may hold for all its instances beside its methods."""
_CODE = (type, FunctionType, BuiltinFunctionType, MethodType, ModuleType, nn.Module, Generator)
REGISTERED = ("_parameters", "_buffers", "_modules")
_MARK = 7_310_291_882_007
DEEPEST = 6
"""Levels of objects within objects that are looked into."""


def plain_attributes(modules: Iterable[nn.Module]) -> dict[str, Any]:
    """By name, what shows that an attribute changed: equal for the same value that nothing was done to in between."""
    found = {}
    for module in modules:
        for path, part in module.named_modules():
            of_class = {name: value for _, name, value in _of_classes(part)}
            for name, value in {**of_class, **vars(part)}.items():
                if name not in REGISTERED:
                    words = ".".join(filter(None, (type(module).__name__, path, name)))
                    found[words] = _print(value, DEEPEST)
    return found


def _of_classes(module: nn.Module) -> Iterator[tuple[type, str, Any]]:
    """What the classes of a module hold for all their instances, and may change: class, name and value."""
    for cls in type(module).__mro__:
        if cls.__module__.partition(".")[0] != "torch":
            for name, value in vars(cls).items():
                if isinstance(value, _CHANGING) and not name.startswith("__"):
                    yield cls, name, value


@contextmanager
def classes_left_alone(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Give the modules' classes what they held before, such as a count of calls: of a module there may be copies."""
    parts = [part for module in modules for part in module.modules()]
    kept = [(*each, _copied(each[2])) for part in parts for each in list(_of_classes(part))]
    try:
        yield
    finally:
        for cls, name, value, before in kept:
            if isinstance(value, list):
                value[:] = before
            elif isinstance(value, dict | set):
                value.clear()
                value.update(before)
            elif isinstance(value, numpy.ndarray):
                value[...] = before
            elif isinstance(value, Tensor):
                value.detach().copy_(before)
            if vars(cls)[name] is not value:
                setattr(cls, name, value)


def _copied(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().clone()
    try:
        return copy.deepcopy(value)
    except Exception:  # of whatever a list may hold
        return copy.copy(value)


def changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> str | None:
    """The name of an attribute that is another one now, or that was not there; None where there is none."""
    return next((name for name, seen in after.items() if name not in before or before[name] != seen), None)


def settings(modules: Iterable[nn.Module]) -> list[Any]:
    """What a program is made for and cannot see change: by module its mode, hooks, and attributes as they are."""
    found: list[Any] = []
    for module in modules:
        for part in module.modules():
            found += [id(part), part.training, *map(len, (part._forward_hooks, part._forward_pre_hooks))]
            for name, value in vars(part).items():
                if name not in REGISTERED:
                    found.append((name, value if isinstance(value, bool | int | float | str) else id(value)))
    return found


def generators_of(modules: Iterable[nn.Module]) -> list[Generator]:
    """Generators that modules keep as attributes of their own."""
    parts = [part for module in modules for part in module.modules()]
    return [value for part in parts for value in vars(part).values() if isinstance(value, Generator)]


def all_known(used: Sequence[Generator], known: Sequence[Generator]) -> bool:
    """Whether the generators that were used are among the known ones.

    The same generator may be another object in Python each time, so that the known ones are marked by seeds.
    """
    states = [generator.get_state() for generator in known]
    try:
        for index, generator in enumerate(known):
            generator.manual_seed(_MARK + index)
        return all(0 <= generator.initial_seed() - _MARK < len(known) for generator in used)
    finally:
        for generator, state in zip(known, states, strict=True):
            generator.set_state(state)


def _print(value: Any, deep: int) -> Any:
    if isinstance(value, Tensor):
        # With its sum, since what is done to its `data` counts no version; as words, in which NaN is NaN.
        return id(value), value._version, str(float(value.detach().double().sum())) if value.numel() else ""
    if isinstance(value, numpy.ndarray):
        return id(value), value.tobytes()
    if isinstance(value, float | complex):
        return repr(value)
    if isinstance(value, int | str | bytes | None):
        return value
    if deep == 0 or isinstance(value, _CODE):
        return id(value)
    if isinstance(value, list | tuple | set | frozenset | deque):
        return [_print(part, deep - 1) for part in value]
    if isinstance(value, dict):
        return {key: _print(part, deep - 1) for key, part in value.items()}
    if hasattr(value, "__dict__") and not isinstance(value, random.Random):
        return id(value), {key: _print(part, deep - 1) for key, part in vars(value).items()}
    try:
        return id(value), hashlib.sha256(pickle.dumps(value)).digest()  # such as a generator or counter of Python's
    except Exception:  # of whatever cannot be pickled
        return id(value)
