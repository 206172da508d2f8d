"""Writing a suite back as TOML, so that a run's folder holds exactly what was run.

The standard library reads TOML and does not write it; a suite is tables of scalars, lists and small tables, which this
covers, and nothing else.
"""

import json
from typing import Any


def _inline(value: Any) -> str:
    match value:
        case dict():
            return "{" + ", ".join(f"{_key(key)} = {_inline(item)}" for key, item in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(_inline, value)) + "]"
        case str():
            return _quoted(value)
        case bool() | int() | float():
            return json.dumps(value, allow_nan=False)
    raise TypeError(f"TOML has no {type(value).__name__}")


def _quoted(text: str) -> str:
    """A string as JSON has it, which TOML takes, but for the one control character that JSON leaves as it is.

    JSON's other way, of ASCII alone, writes what is beyond 16 bits as two halves, which TOML refuses.
    """
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(key: str) -> str:
    return key if key.replace("-", "").replace("_", "").isalnum() and key.isascii() else _quoted(key)


def dumps(table: dict[str, Any]) -> str:
    """A document: scalars first, then lists of tables one a line, then tables."""
    scalars, lists, tables = [], [], []
    for key, value in table.items():
        if isinstance(value, dict):
            body = [f"{_key(inner)} = {_inline(item)}" for inner, item in value.items()]
            tables.append("\n".join([f"[{_key(key)}]", *body]))
        elif isinstance(value, list):
            lists.append("\n".join([f"{_key(key)} = [", *(f"    {_inline(item)}," for item in value), "]"]))
        else:
            scalars.append(f"{_key(key)} = {_inline(value)}")
    return "\n\n".join(["\n".join(scalars), *lists, *tables]) + "\n"
