"""Estimators that are watched: gradients that are read from a table, and what `bind` is told."""

from typing import Any

import torch
from torch import Tensor

from estimators import Estimate, Estimator
from estimators.distributions import parameters, row_shape, sample


class Scripted(Estimator):
    """Draw i of the gradient is entry i of the table.

    Args:
        table: [n, *B, P].
        samples: that it claims to draw.
        evaluations: of f a call.
        value: of every row, from which the size of rounding is told: 2^-48 times it in double precision.
    """

    def __init__(self, table: Tensor, *, samples: int = 1, evaluations: int = 1, value: float = 0.0) -> None:
        super().__init__(samples)
        self.table, self.evaluations, self.value, self.taken = table, evaluations, value, 0
        self.calls: list[int] = []

    def forward(self, q, f, *, generator=None, context=None) -> Estimate:
        f(sample(q, self.evaluations, generator), q)
        rows = row_shape(q)
        flat = torch.cat([p.reshape(*rows, -1) for p in parameters(q)], -1)
        g = self.table[0]
        if flat.dim() == self.table.dim():  # many draws at a call, and not one look
            g = self.table[self.taken : self.taken + len(flat)]
            self.taken += len(flat)
            self.calls.append(len(flat))
        return Estimate((g * flat).sum(-1), torch.full(rows, self.value, dtype=flat.dtype))


def told_by_bind(estimator: Estimator) -> dict[str, Any]:
    """What `bind` will be told, empty until it is called."""
    told = dict[str, Any]()
    bind = estimator.bind
    estimator.bind = lambda **options: told.update(options) or bind(**options)
    return told
