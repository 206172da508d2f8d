"""A suite written as TOML, read back by the standard library."""

import tomllib
from typing import Any

import pytest

from bench.suite.toml import dumps

TABLE: dict[str, Any] = {
    "training": {"steps": 7, "rate": 1e-05, "sizes": [1, 2], "none": {}},
    "name": 'a "quoted" word, é and \\',
    "problems": [{"kind": "toy", "flag": True, "inner": {"c d": 0.5, "ö": -3}}, "rloo[samples=2]", [1, [2.5]], []],
    "seeds": 5,
    "time": {"a-b_c2": False, "a.b": "x"},
    "nothing": [],
    "flag": False,
}
TEXT = """name = "a \\"quoted\\" word, é and \\\\"
seeds = 5
flag = false

problems = [
    {kind = "toy", flag = true, inner = {"c d" = 0.5, "ö" = -3}},
    "rloo[samples=2]",
    [1, [2.5]],
    [],
]

nothing = [
]

[training]
steps = 7
rate = 1e-05
sizes = [1, 2]
none = {}

[time]
a-b_c2 = false
"a.b" = "x"
"""


def test_scalars_come_first_then_lists_then_tables() -> None:
    """A scalar below a table would be a part of it."""
    assert dumps(TABLE) == TEXT
    assert tomllib.loads(TEXT) == TABLE


def test_every_character_that_a_file_can_hold_is_read_back() -> None:
    """TOML refuses control characters as they are, and the halves that JSON makes of what is beyond 16 bits."""
    every = "".join(map(chr, (*range(0xD800), *range(0xE000, 0x11000), 0x1F600, 0x10FFFF)))
    table = {"text": every, every: 1, "a": {every: [every]}}
    assert tomllib.loads(dumps(table).encode().decode()) == table


def test_keys_that_toml_does_not_take_bare_are_quoted() -> None:
    table = {"": 1, "a b": 2, 'q"': 3, "-": 4, "7": 5, "x=y": 6}
    assert dumps(table) == '"" = 1\n"a b" = 2\n"q\\"" = 3\n"-" = 4\n7 = 5\n"x=y" = 6\n'
    assert tomllib.loads(dumps(table)) == table


@pytest.mark.parametrize("value", [None, (1, 2), {"a": None}, [b"x"]])
def test_what_toml_cannot_say_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match=r"^TOML has no (NoneType|tuple|bytes)$"):
        dumps({"key": value})
