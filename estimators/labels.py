"""An estimator with its options in one word, `name[key=value,...]`, as a person types it and every table shows it."""

import json
from collections.abc import Mapping
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
        ValueError: brackets or equals signs are missing.
    """
    if not isinstance(text, str):
        raise ValueError(f"cannot read estimator {text!r}; expected NAME or NAME[key=value,...] as a word")
    name, bracket, rest = text.partition("[")
    if not name or bool(bracket) != rest.endswith("]") or (not bracket and "]" in text):
        raise ValueError(f"cannot read estimator {text!r}; expected NAME or NAME[key=value,...]")
    options: dict[str, Scalar] = {}
    for item in filter(None, (part.strip() for part in rest.removesuffix("]").split(","))):
        key, equals, value = item.partition("=")
        if not equals or not key.strip() or not value.strip():
            raise ValueError(f"cannot read option {item!r} of estimator {name!r}; expected key=value")
        if key.strip() in options:
            raise ValueError(f"{key.strip()} is given twice in {text!r}")
        options[key.strip()] = _scalar(value.strip())
    samples: Any = options.pop("samples", None)  # `create` says what it may be
    return Label(name, samples, options)


def _scalar(text: str) -> Scalar:
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return text
    return value if isinstance(value, bool | int | float | str) else text
