"""What the parts of a record share: numbers that JSON has no word for, and the way back to plain values."""

import math
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator

Number = Annotated[int | float, BeforeValidator(lambda x: math.nan if x is None else x)]
"""A number, NaN where a record holds null."""
Unbounded = Annotated[int | float, BeforeValidator(lambda x: math.inf if x is None else x)]
"""A number that has no bound where a record holds null."""


class Part(BaseModel):
    """A part of a record. Keys that this version does not know are left out."""

    model_config = ConfigDict(frozen=True)

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


def plain(value: Any) -> Any:
    """Models, tuples and numbers, of numpy and torch too, as JSON holds them: what is not finite becomes null.

    Raises:
        TypeError: there is something else, such as a tensor of several numbers.
    """
    match value:
        case BaseModel():
            return plain(value.model_dump(by_alias=True, exclude_unset=True))
        case float() if not math.isfinite(value):
            return None
        case Mapping():
            return {key: plain(item) for key, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
        case None | bool() | int() | float() | str():
            return value
    if getattr(value, "shape", None) == () and hasattr(value, "item"):  # one number of numpy's or torch's
        return plain(value.item())
    raise TypeError(f"a record holds numbers, words, lists and tables of them, not a {type(value).__name__}")
