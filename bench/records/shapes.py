"""Whether plain values, as JSON holds them, are of the types that a model of `bench.records` names.

Pydantic would make a number of the text "5" and of `true`, and take what it does not find for its default. Of a file
that may be damaged that is too kind: here a value is of its type or it is not, and what belongs together is asked of
each part itself (`Part.misfit`, `Part.CORE`).
"""

import types
import typing
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, BeforeValidator
from pydantic.fields import FieldInfo

from bench.records.values import Part

_WORDS = {
    bool: "true or false",
    dict: "an object",
    float: "a number",
    int: "a whole number",
    list: "a list",
    str: "a text",
    type(None): "null",
}


class Shape(NamedTuple):
    """What a value may be."""

    plain: frozenset[type]
    """Types that are allowed whatever they hold."""
    items: "Shape | None" = None
    """Of the items of a list, where it may be one."""
    part: type[BaseModel] | None = None
    """Of an object, where it may be one with fields of its own."""


def misfit(value: Any, model: type[BaseModel]) -> str:
    """What is wrong with an object that is to be a model's, as a path and half a sentence; empty where nothing is."""
    return _in(value, Shape(frozenset(), part=model))


def _in(value: Any, shape: Shape) -> str:
    kind = type(value)
    if kind in shape.plain:
        return ""
    if kind is list and shape.items is not None:
        allowed = shape.items.plain
        found = ((i, _in(item, shape.items)) for i, item in enumerate(value) if type(item) not in allowed)
        return next((f"[{i}]{wrong}" for i, wrong in found if wrong), "")
    if kind is dict and shape.part is not None:
        return _in_part(value, shape.part)
    return f" is {_WORDS.get(kind, kind.__name__)}, where {_allowed(shape)} belongs"


def _in_part(value: Mapping[str, Any], model: type[BaseModel]) -> str:
    shapes, needed, own = _of_model(model)
    for key, item in value.items():
        shape = shapes.get(key)  # of a key that this version does not know nothing is asked
        if shape is not None and type(item) not in shape.plain and (wrong := _in(item, shape)):
            return f".{key}{wrong}"
    if not value.keys() >= needed:
        return f" lacks {', '.join(sorted(needed - value.keys()))}"
    return own(value)


def _allowed(shape: Shape) -> str:
    kinds = shape.plain - ({int} if float in shape.plain else set())
    words = [_WORDS[kind] for kind in sorted(kinds, key=lambda kind: (kind is type(None), kind.__name__))]
    more = ["a list"] * (shape.items is not None) + ["an object"] * (shape.part is not None)
    return " or ".join([*more, *words])


@cache
def _of_model(
    model: type[BaseModel],
) -> tuple[dict[str, Shape], frozenset[str], Callable[[Mapping[str, Any]], str]]:
    """The shapes of a model's fields, the keys that are always there, and what it says of values together."""
    return _shapes(model), _needed(model), model.misfit if issubclass(model, Part) else lambda values: ""


def _shapes(model: type[BaseModel]) -> dict[str, Shape]:
    """Of a model's fields, by the key that they have in JSON.

    Null stands for a whole part or a list that was not measured (`Part`), where the model can do without it.
    """
    shapes = {
        field.alias or name: _of(_whole(field)) for name, field in model.model_fields.items() if not field.exclude
    }
    for name, field in model.model_fields.items() if issubclass(model, Part) else ():
        if isinstance(field.default, Part | tuple) and name not in _needed(model):
            shapes[name] = shapes[name]._replace(plain=shapes[name].plain | {type(None)})
    return shapes


def _needed(model: type[BaseModel]) -> frozenset[str]:
    required = {field.alias or name for name, field in model.model_fields.items() if field.is_required()}
    return frozenset(required | set(getattr(model, "CORE", ())))


def _whole(field: FieldInfo) -> Any:
    return Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation


def _of(annotation: Any) -> Shape:
    """The shape of an annotation; one with a validator of its own, as a number that may be missing, may be null."""
    found = list(_alternatives(annotation))
    plain = {kind for kind in found if isinstance(kind, type) and kind in _WORDS}
    if float in plain:
        plain.add(int)
    for kind in found:
        if typing.get_origin(kind) in (dict, Mapping):
            plain.add(dict)
    lists = [typing.get_args(kind)[0] for kind in found if typing.get_origin(kind) is tuple]
    parts = [kind for kind in found if isinstance(kind, type) and issubclass(kind, BaseModel)]
    return Shape(frozenset(plain), _of(lists[0]) if lists else None, parts[0] if parts else None)


def _alternatives(annotation: Any) -> Iterator[Any]:
    """The types that a value may have."""
    if typing.get_origin(annotation) is Annotated:
        inner, *more = typing.get_args(annotation)
        yield from _alternatives(inner)
        if any(isinstance(one, BeforeValidator) for one in more):
            yield type(None)
    elif typing.get_origin(annotation) in (typing.Union, types.UnionType):
        for part in typing.get_args(annotation):
            yield from _alternatives(part)
    else:
        yield annotation
