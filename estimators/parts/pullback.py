"""Gradients that a method takes inside, such as f's in z: by autograd, or by torch.func where autograd is refused.

Inside what torch.compile traces, and under torch.func's own transforms, torch.autograd.grad is refused, but
torch.func.vjp is not. Elsewhere autograd takes a third of its time, and lets f do what torch.func does not, such as
writing the running statistics of a batch normalisation. Both give the same numbers.
"""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

Others = TypeVar("Others")


class Pull(Protocol):
    """Takes gradients at the point that a function was evaluated at, as often as it is called."""

    def __call__(self, weight: Tensor | None = None, *, create_graph: bool = False) -> Tensor:
        """Gradient of the output's sum, or of the sum of weight times output, zero where there is none.

        Args:
            weight: of the output's shape.
            create_graph: whether the gradient keeps the graph of what it depends on.
        """
        ...


def pullback(function: Callable[[Tensor], Tensor], point: Tensor) -> tuple[Tensor, Pull]:
    """A function's output at a point, in the graph of whatever else it depends on, and what takes its gradients there.

    Args:
        function: called once, with gradients enabled.
        point: taken as a constant, but where it requires grad, so that one pullback can be taken inside another.
    """
    output, _, pull = pullback_beside(lambda at: (function(at), ()), point)
    return output, pull


def pullback_beside(function: Callable[[Tensor], tuple[Tensor, Others]], point: Tensor) -> tuple[Tensor, Others, Pull]:
    """The same of a function that returns further tensors beside the output; those are not differentiated."""
    if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
        return _by_torch_func(function, point)
    with torch.enable_grad():
        leaf = point if point.requires_grad else point.detach().requires_grad_()
        output, others = function(leaf)

    def pull(weight: Tensor | None = None, *, create_graph: bool = False) -> Tensor:
        if not output.requires_grad:
            return torch.zeros_like(leaf)
        weight = torch.ones_like(output) if weight is None else weight
        (gradient,) = torch.autograd.grad(
            output, leaf, weight, create_graph=create_graph, retain_graph=True, materialize_grads=True
        )
        return gradient

    return output, others, pull


def _by_torch_func(function: Callable[[Tensor], tuple[Tensor, Others]], point: Tensor) -> tuple[Tensor, Others, Pull]:
    evaluated: Any = torch.func.vjp(function, point, has_aux=True)
    output, vjp, others = evaluated

    def pull(weight: Tensor | None = None, *, create_graph: bool = False) -> Tensor:
        gradient: Tensor = vjp(torch.ones_like(output) if weight is None else weight)[0]
        return gradient if create_graph else gradient.detach()

    return output, others, pull
