"""Running state under torch.compile and torch.func: as it was read, and whether it can be updated."""

import torch
from torch import Tensor

from estimators.errors import BadInput


@torch.library.custom_op("gradest::reading", mutates_args=())
def _reading(value: Tensor) -> Tensor:
    return value.clone()


@_reading.register_fake
def _(value: Tensor) -> Tensor:
    return torch.empty_like(value)


def reading(value: Tensor) -> Tensor:
    """What was computed from running state that is updated later in the same step: itself, where nothing is compiled.

    torch.compile may save the state for the backward pass and compute again what followed from it. By then the state is
    the next step's, and the gradient wrong without a word: https://github.com/pytorch/pytorch/pull/197039 (open). An
    operation of our own is one that it does not repeat.
    """
    if not torch.compiler.is_compiling():
        return value
    read: Tensor = _reading(value)
    return read


def check_update() -> None:
    """Whether running state can be updated here.

    Raises:
        BadInput: under torch.func, where nothing outside of a function can be changed.
    """
    if not torch.compiler.is_compiling() and torch._C._are_functorch_transforms_active():
        raise BadInput(
            "running state cannot be updated under torch.func, whose functions change nothing outside of them: call "
            "eval() on the estimator before, or leave torch.func away, as q takes any leading dims"
        )
