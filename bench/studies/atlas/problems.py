"""The problems of the atlas: those of a certificate, but with the same q for all objectives."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from bench.atlas.table import SHARPNESS
from estimators.checks.grid import DOUBLE, Grid
from estimators.checks.ridges import Ridge
from estimators.distributions import parameters

EVENTS: dict[str, tuple[tuple[int, ...], ...]] = {
    "bernoulli": ((1,), (2,), (3,), (4,), (6,)),
    "categorical": ((1, 2), (1, 3), (2, 2), (2, 3), (3, 3)),
    "gaussian": ((1,), (2,), (3,)),
}
"""Shapes of an event, [D] or [L, C], by family."""
SHOWN = "mlp"
"""The objective of tables and figures: the one that is no polynomial, and has no log q of known gradient inside."""


@dataclass(frozen=True)
class Problems(Grid):
    """Objectives with a gradient, over sharpness.

    A certificate varies the signs of its logits from row to row, so that faults have no place to hide; curves over
    sharpness need them to stay. All latents of a discrete q are equally sharp here, as are those of the toys.
    """

    levels: tuple[float, ...] = SHARPNESS
    only: str | None = None
    """The one objective that it holds; None for all of them."""

    @cached_property
    def objectives(self) -> tuple[Ridge, ...]:
        """All but the constant, whose gradient of 0 nothing can be relative to."""
        return tuple(r for r in super().objectives if r.name != "constant" and self.only in (None, r.name))

    @cached_property
    def values(self) -> tuple[Tensor, ...]:
        """q's parameters, each [B, *event]."""
        kind = self.kind
        if kind.discrete:
            one = [parameters(kind.toy(level, self.event)) for level in self.levels]
            swept = tuple(torch.cat(parts) for parts in zip(*one, strict=True))
        else:
            level = torch.tensor(self.levels, dtype=DOUBLE)
            turn = torch.arange(self.event[0]).expand(len(level), -1)
            swept = kind.sharpened(level, turn, self.event)
        return tuple(part.repeat(len(self.objectives), *[1] * len(self.event)) for part in swept)

    @cached_property
    def theta(self) -> Tensor:
        """1 in all rows."""
        return torch.ones(len(self.rows), dtype=DOUBLE)

    def apart(self) -> Iterator["Problems"]:
        """The rows of `SHOWN`, each as problems of its own."""
        for level in self.levels:
            yield Problems(self.family, self.event, self.samples, self.bound, (level,), only=SHOWN)
