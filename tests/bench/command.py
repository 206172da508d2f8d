"""What a command of the terminal left."""

from typing import NamedTuple


class Done(NamedTuple):
    code: int
    out: str
    err: str
