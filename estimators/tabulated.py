"""Tables that are made once, from a few constants."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch

Constants = ParamSpec("Constants")
Table = TypeVar("Table")


def tabulated(make: Callable[Constants, Table]) -> Callable[Constants, Table]:
    """As functools.cache, which torch.compile passes by with a warning: what is compiled makes its tables itself."""
    cached = functools.cache(make)

    @functools.wraps(make)
    def look_up(*args: Constants.args, **kwargs: Constants.kwargs) -> Table:
        return make(*args, **kwargs) if torch.compiler.is_compiling() else cached(*args, **kwargs)  # type: ignore[arg-type]

    return look_up
