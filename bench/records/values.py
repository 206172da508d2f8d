"""What the parts of a record share: numbers that JSON has no word for, and the way back to plain values."""

import itertools
import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator

from bench.records.content import fault_of_values

Number = Annotated[int | float, BeforeValidator(lambda x: math.nan if x is None else x)]
"""A number, NaN where a record holds null."""
Unbounded = Annotated[int | float, BeforeValidator(lambda x: math.inf if x is None else x)]
"""A number that has no bound where a record holds null."""


class Part(BaseModel):
    """A part of a record. Keys that this version does not know are left out."""

    model_config = ConfigDict(frozen=True)

    CORE: ClassVar[tuple[str, ...]] = ()
    """Keys that are there wherever the part is, in records of every release."""

    @classmethod
    def misfit(cls, values: Mapping[str, Any]) -> str:
        """What does not go together in plain values of the right types, after the part's path; empty where all does.

        What is missing is not at fault: an earlier release may not have recorded it.
        """
        return ""

    @model_validator(mode="before")
    @classmethod
    def _without_null(cls, data: Any) -> Any:
        """Null stands for what was not measured: a whole part, a list, a count or a flag is then its default."""
        if not isinstance(data, dict):
            return data
        defaults = {name: field.default for name, field in cls.model_fields.items()}
        return {
            key: value
            for key, value in data.items()
            if value is not None or not isinstance(defaults.get(key), Part | tuple | int)
        }


class Open(BaseModel):
    """A part of a record that keeps keys which this version does not know, as a problem's or a measurement's own."""

    model_config = ConfigDict(frozen=True, extra="allow")

    CORE: ClassVar[tuple[str, ...]] = ()
    """As that of a `Part`."""


def ordered(values: Mapping[str, Any], *names: str) -> str:
    """What is wrong where numbers that are there do not ascend in the order of their names."""
    there = [(name, value) for name in names if (value := values.get(name)) is not None]
    for (low, least), (high, most) in itertools.pairwise(there):
        if least > most:
            return f" has {low} {least:g} above {high} {most:g}"
    return ""


def lengths(counts: Mapping[str, int], common: int, of: str) -> str:
    """What is wrong where lists that belong together are not equally long.

    Args:
        counts: length of each by name.
        common: what all are to have.
        of: what there is one of in each, in the plural.
    """
    for name, count in counts.items():
        if count != common:
            return f" has {count} in {name}, where there are {common} {of}"
    return ""


def plain(value: Any) -> Any:
    """Models, tuples and numbers, of numpy and torch too, as JSON holds them: what is not finite becomes null.

    What no text may hold, a NUL and half a character, as a file's name or a foreign exception may have them, is written
    by its number.

    Raises:
        TypeError: there is something else, such as a tensor of several numbers, a whole number of more than 64 bits, or
            a table with two keys of one text; or it is nested too deep to be read again.
    """
    found = _plain(value)
    if wrong := fault_of_values(found):
        raise TypeError(f"a record cannot be written that {wrong}")
    return found


def _plain(value: Any) -> Any:
    match value:
        case BaseModel():
            return _plain(value.model_dump(by_alias=True, exclude_unset=True))
        case float() if not math.isfinite(value):
            return None
        case Mapping():
            found = {key if type(key) is str else str(_plain(key)): _plain(item) for key, item in value.items()}
            if len(found) < len(value):
                raise TypeError("a record holds no table with two keys of one text, such as 1 and '1'")
            return found
        case list() | tuple():
            return [_plain(item) for item in value]
        case str() if not value.isprintable():
            return value.replace("\0", "\\x00").encode(errors="backslashreplace").decode()
        case None | bool() | int() | float() | str():
            return value
    if getattr(value, "shape", None) == () and hasattr(value, "item"):  # one number of numpy's or torch's
        return _plain(value.item())
    raise TypeError(f"a record holds numbers, words, lists and tables of them, not a {type(value).__name__}")
