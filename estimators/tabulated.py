"""Tables that are made once, from a few constants."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import torch
from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack

Constants = ParamSpec("Constants")
Table = TypeVar("Table")


def tabulated(make: Callable[Constants, Table]) -> Callable[Constants, Table]:
    """As functools.cache, for tensors.

    torch.compile passes by a cache with a warning: what is compiled makes its tables itself. A tensor made inside a
    transform of torch.func belongs to it, so that a table is made outside.
    """
    cached = cast(Callable[Constants, Table], functools.cache(make))

    @functools.wraps(make)
    def look_up(*args: Constants.args, **kwargs: Constants.kwargs) -> Table:
        if torch.compiler.is_compiling():
            return make(*args, **kwargs)
        if torch._C._are_functorch_transforms_active():
            with temporarily_clear_interpreter_stack():
                return cached(*args, **kwargs)
        return cached(*args, **kwargs)

    return look_up
