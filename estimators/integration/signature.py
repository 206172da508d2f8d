"""Which hard draws a cost is asked about: a number that changes where a draw does, and how often an outcome is met."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from estimators.families import Enumerated, Family


class Signature:
    """A sum over evaluations of f at hard draws of the numbers in z, each with a weight of its own.

    Args:
        family: of q.
        logits: of q, [b, *event], or other parameters.
        relaxed: numbers of the evaluations that are at relaxed draws, which do not count; one is added where it is seen
            at moderate noise first, since far out a relaxed draw is rounded to a hard one.
    """

    def __init__(self, family: Family, logits: Tensor, relaxed: set[int]) -> None:
        self.family, self.logits, self.dims = family, logits, logits.dim() - 1
        self.relaxed, self.calls, self.draws = relaxed, 0, 0
        self.sum: Tensor | None = None
        self.outcomes: Tensor | None = None

    def watching(self, f: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """f, whose draws are noted.

        What f draws itself, from a seed of its own, is no noise of the estimator's; where the estimator hands it more
        than z and q, such as a generator, it may be.
        """

        def watched(z: Tensor, q: Distribution, /, *more: Any) -> Tensor:
            self.note(z)
            with nullcontext() if more else torch._C.DisableTorchFunction():
                return f(z, q, *more)

        return watched

    def note(self, z: Tensor) -> None:
        """Take in draws [S, *rows, *event]."""
        self.calls += 1
        if self.calls in self.relaxed:
            return
        if not self.family.discrete or self.family.off_support(z.detach()):
            self.relaxed.add(self.calls)
            return
        shape = (len(z), *z.shape[z.dim() - self.dims :])
        index = torch.arange(1, 1 + torch.Size(shape).numel(), dtype=torch.float64) + 1000 * self.calls
        weight = (
            (index * 12.9898).sin().mul(43758.5453).frac().reshape(len(z), *[1] * (z.dim() - 1 - self.dims), *shape[1:])
        )
        found = (z.detach().double() * weight).sum((0, *range(-self.dims, 0)))
        self.sum = found if self.sum is None else self.sum + found
        if isinstance(self.family, Enumerated):
            self.draws += len(z)
            met = self.family.is_outcome(self.logits, z.detach()).double().sum(0)
            self.outcomes = met if self.outcomes is None else self.outcomes + met

    def met(self, nodes: int, problems: int) -> Tensor:
        """[nodes, problems, M], share of the hard draws that have each of the family's outcomes; M is 0 without any."""
        if self.outcomes is None:
            return torch.zeros(nodes, problems, 0, dtype=torch.float64)
        return (self.outcomes / self.draws).expand(nodes, problems, -1)

    def total(self, nodes: int, problems: int) -> Tensor:
        """[nodes, problems]; sums in another order differ by rounding, which is taken away."""
        if self.sum is None:
            return torch.zeros(nodes, problems, dtype=torch.float64)
        return self.sum.expand(nodes, problems).mul(1e6).round()
