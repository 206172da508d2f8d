"""What can happen to the file of a record: every field in every way, and whatever a seed comes to.

    for name, content in itertools.islice(damages(record, seed=0), 10_000):
        ...  # content is what lies in the place of the record's file

Nothing here knows what a record is: a field that is added later is damaged as all others are.
"""

import copy
import json
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

Path = tuple[str | int, ...]
"""Keys and indices from the record to a value."""

_TOKENS = {
    "NaN": "NaN",
    "infinity": "Infinity",
    "beyond floats": "1e999",
    "5000 digits": "1" * 5000,
    "400 digits": "1" * 400,
    "nested 60 deep": "[" * 60 + "]" * 60,
    "nested 5000 deep": "[" * 5000 + "]" * 5000,
    "half a character": '"\\ud800"',
    "NUL": '"\\u0000"',
}
"""What JSON or its writers have no value for: by name, as it stands in the file."""
_MARK = "@damaged@"


class Damaged(NamedTuple):
    """One damage of one field."""

    path: Path
    """Of the field."""
    way: str
    """What was done to it."""
    content: bytes
    """The file."""

    @property
    def name(self) -> str:
        """Field and way, as a person says it."""
        return f"{'.'.join(map(str, self.path))}: {self.way}"


def written(values: Any) -> bytes:
    """Plain values as a run writes them."""
    return json.dumps(values, indent=1).encode()


def paths(value: Any, at: Path = ()) -> Iterator[Path]:
    """Of all values in plain values, but of a list the first item and the last alone: the others are like them."""
    if at:
        yield at
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from paths(item, (*at, key))
    elif isinstance(value, list):
        for i in sorted({0, len(value) - 1} & set(range(len(value)))):
            yield from paths(value[i], (*at, i))


def of(values: Any, path: Path) -> Any:
    """The value at a path."""
    for key in path:
        values = values[key]
    return values


def replaced(record: Mapping[str, Any], path: Path, value: Any) -> dict[str, Any]:
    """The record with another value at a path; shares all else with it."""
    whole: dict[str, Any] = dict(record)
    part: Any = whole
    for key in path[:-1]:
        part[key] = copy.copy(part[key])
        part = part[key]
    part[path[-1]] = value
    return whole


def _values(value: Any) -> Iterator[tuple[str, Any]]:
    """Other values in a value's place, each with what was done."""
    if value is not None:
        yield "null", None
    yield "another type", {} if isinstance(value, list | str) else [[]] if isinstance(value, dict | bool) else {"x": 1}
    yield "a list with null", [None]
    match value:
        case bool():
            yield "another value", not value
            yield "a number", int(value)
        case int() | float():
            yield "another value", value + 1
            yield "a text", str(value)
            yield "true", True
            yield "times 1000", value * 1000
            yield "negative", -value - 1
            yield "a huge number", 1e300
        case str():
            yield "another value", f"{value}x"
            yield "empty", ""
            yield "a number", 5
            yield "true", True
        case list():
            yield "empty", []
            yield "shorter", value[:-1]
            yield "longer", [*value, *value[:1]]
        case dict():
            yield "empty", {}
            yield "extra key", value | {"extra": 1}
        case None:
            yield "a number", 5
            yield "another value", "text"
            yield "true", True


def every(record: Mapping[str, Any]) -> Iterator[Damaged]:
    """Each field of a record damaged in every way, one at a time; what changes nothing is left out."""
    for path in paths(record):
        value = of(record, path)
        for way, other in _values(value):
            if type(other) is not type(value) or other != value:
                yield Damaged(path, way, written(replaced(record, path, other)))
        marked = written(replaced(record, path, _MARK))
        for way, token in _TOKENS.items():
            yield Damaged(path, way, marked.replace(f'"{_MARK}"'.encode(), token.encode()))
        if isinstance(path[-1], str):
            parent = of(record, path[:-1])
            left = {key: item for key, item in parent.items() if key != path[-1]}
            yield Damaged(path, "removed", written(replaced(record, path[:-1], left) if path[:-1] else left))
            twice = {_MARK: None} | parent
            content = written(replaced(record, path[:-1], twice) if path[:-1] else twice)
            yield Damaged(path, "twice", content.replace(f'"{_MARK}"'.encode(), json.dumps(path[-1]).encode()))


Change = Callable[[bytes, random.Random], bytes]


def _flip(content: bytes, draw: random.Random) -> bytes:
    changed, where = bytearray(content), draw.randrange(len(content))
    changed[where] ^= 1 << draw.randrange(8)
    return bytes(changed)


def _digit(content: bytes, draw: random.Random) -> bytes:
    where = draw.choice([i for i, byte in enumerate(content) if chr(byte).isdigit()])
    return content[:where] + draw.choice("0123456789").encode() + content[where + 1 :]


def _line(content: bytes, draw: random.Random) -> bytes:
    lines = content.split(b"\n")
    del lines[draw.randrange(len(lines))]
    return b"\n".join(lines)


def _two_lines(content: bytes, draw: random.Random) -> bytes:
    lines = content.split(b"\n")
    first, second = draw.randrange(len(lines)), draw.randrange(len(lines))
    lines[first], lines[second] = lines[second], lines[first]
    return b"\n".join(lines)


def _zeros(content: bytes, draw: random.Random) -> bytes:
    where = draw.randrange(len(content))
    return content[:where] + bytes(len(content[where : where + 512])) + content[where + 512 :]


FILES: Mapping[str, Change] = {
    "a bit flipped": _flip,
    "a digit changed": _digit,
    "a line gone": _line,
    "two lines exchanged": _two_lines,
    "cut": lambda content, draw: content[: draw.randrange(len(content))],
    "zeros": _zeros,
    "twice": lambda content, draw: content + content,
    "empty": lambda content, draw: b"",
    "bytes": lambda content, draw: draw.randbytes(draw.randrange(1, 4096)),
    "not UTF-8": lambda content, draw: content.replace(b'"', b'"\xff', 1),
    "UTF-16": lambda content, draw: content.decode().encode("utf-16"),
    "with a mark of its order": lambda content, draw: b"\xef\xbb\xbf" + content,
    "in a list": lambda content, draw: b"[" + content + b"]",
    "nested 200000 deep": lambda content, draw: b"[" * 200_000 + content + b"]" * 200_000,
    "never closed": lambda content, draw: b'{"a":' * 200_000,
}
"""What happens to a whole file, whatever it holds."""


def damages(record: Mapping[str, Any], seed: int) -> Iterator[tuple[str, bytes]]:
    """Damages without end, each with a name and what lies in the file; some of them change nothing that counts.

    Args:
        record: as JSON holds it.
        seed: of all choices.
    """
    draw, content, places = random.Random(seed), written(record), list(paths(record))
    while True:
        if draw.random() < 0.5:
            name = draw.choice(list(FILES))
            yield name, FILES[name](content, draw)
            continue
        changed, names = dict(record), []
        for path in draw.sample(places, draw.choice((1, 1, 1, 2, 5))):
            try:
                way, other = draw.choice(list(_values(of(changed, path))))
            except (KeyError, IndexError, TypeError):  # another damage has taken it away
                continue
            changed = replaced(changed, path, other)
            names.append(f"{'.'.join(map(str, path))}: {way}")
        yield "; ".join(names), written(changed)
