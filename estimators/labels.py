"""An estimator with its options in one word, `name[key=value,...]`, as a person types it and every table shows it."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

Scalar = bool | int | float | str


class Label(NamedTuple):
    """What such a word says."""

    name: str
    samples: int | None
    """None where it says nothing of them."""
    options: dict[str, Scalar]


def label_of(name: str, options: Mapping[str, Any]) -> str:
    """An estimator with its options as a person types it: `name[key=value,...]`, keys in order."""
    words = {key: str(value).lower() if isinstance(value, bool) else value for key, value in sorted(options.items())}
    listed = ",".join(f"{key}={value}" for key, value in words.items())
    return f"{name}[{listed}]" if listed else name


def read_label(text: str) -> Label:
    """Read `name[key=value,...]`, where a value is a number, true, false or a word.

    Raises:
        ValueError: brackets or equals signs are missing, or a key is given twice.
    """
    name, options = read_options(text, "estimator", "NAME or NAME[key=value,...]", _scalar)
    samples: Any = options.pop("samples", None)  # `create` says what it may be
    return Label(name, samples, options)


def read_options(text: str, what: str, expected: str, value_of: Callable[[str], Any]) -> tuple[str, dict[str, Any]]:
    """Read a name with its options, `name[key=value,...]`; a comma inside further brackets belongs to a value.

    Args:
        text: as a person typed it.
        what: is named, for messages.
        expected: in words, for messages.
        value_of: makes a value of its text.

    Raises:
        ValueError: brackets or equals signs are missing, or a key is given twice.
    """
    if not isinstance(text, str):
        raise ValueError(f"cannot read {what} {text!r}; expected {expected} as a word")
    name, bracket, rest = text.partition("[")
    if not name or bool(bracket) != rest.endswith("]") or (not bracket and "]" in text):
        raise ValueError(f"cannot read {what} {text!r}; expected {expected}")
    options: dict[str, Any] = {}
    for item in filter(None, (part.strip() for part in re.split(r",(?![^\[]*\])", rest.removesuffix("]")))):
        key, equals, value = (part.strip() for part in item.partition("="))
        if not equals or not key or not value:
            raise ValueError(f"cannot read option {item!r} of {what} {name!r}; expected key=value")
        if key in options:
            raise ValueError(f"{key} is given twice in {text!r}")
        options[key] = value_of(value)
    return name, options


def _scalar(text: str) -> Scalar:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):  # no JSON; or of more digits than Python reads, or nested too deep for it
        return text
    return value if isinstance(value, bool | int | float | str) else text
