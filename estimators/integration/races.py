"""Exponential clocks, as Gumbel noise is, in coordinates in which who wins is a cell.

Of C clocks with rates p_c the winner is c with chance p_c; the first arrival T is exponential, whoever wins, and the
others arrive T + Exp(p_j): they have no memory. Where the whole order matters, each next arrival is a race of those
that are left. All arrivals have a common scale, the sum of the exponential numbers, on which no comparison depends: it
is the first coordinate.
"""

import itertools
from dataclasses import dataclass, field

import torch
from torch import Tensor

from estimators.integration.blocks import Block, log_of, whole


@dataclass(frozen=True)
class Race(Block):
    """Exponential clocks."""

    rates: Tensor = field(default_factory=torch.Tensor)
    """[B, C], with sum 1."""
    orders: Tensor = field(default_factory=torch.Tensor)
    """[kinds, C], the classes in the order of their arrival; only the first place counts where `ordered` is not set."""
    ordered: bool = False
    flipped: bool = False
    """Whether the clocks are -log(1 - u) rather than -log(u)."""
    rounded: bool = False
    """Whether u is all that the estimator gets: the logarithm of one next to 1 has lost who is first."""

    @property
    def ends(self) -> tuple[float, ...]:
        return (1e-6, 1e-4, 1e-2) if self.rounded else super().ends

    @property
    def domains(self) -> tuple[str, ...]:
        return ("gamma", *["unit"] * (self.axes - 1))

    def numbers_at(self, kind: Tensor, x: Tensor, rest: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        count = len(self.numbers)
        order = self.orders[kind]  # N x B x C
        rates = self.rates[rows].expand(order.shape).gather(-1, order)
        # Stick-breaking of the scale into exponential numbers.
        shares, left = [], torch.ones_like(x[..., :1])
        for axis in range(1, count):
            log_kept = log_of(rest[..., axis : axis + 1], x[..., axis : axis + 1]) / (count - axis)
            shares.append(left * -log_kept.expm1())
            left = left * log_kept.exp()
        spacings = x[..., :1] * torch.cat([*shares, left], -1)  # N x B x C
        if self.ordered:
            total = rates.flip(-1).cumsum(-1).flip(-1)  # of those that are left
            arrivals = (spacings / total).cumsum(-1)
            clocks = arrivals * rates
        else:
            first = spacings[..., :1]  # the rates' sum is 1
            clocks = torch.cat((first * rates[..., :1], first * rates[..., 1:] + spacings[..., 1:]), -1)
        clocks = torch.zeros_like(clocks).scatter(-1, order, clocks)
        low, high = (-clocks).exp(), -(-clocks).expm1()
        return (high, low) if self.flipped else (low, high)

    @classmethod
    def of(
        cls,
        site: int,
        numbers: tuple[int, ...],
        logits: Tensor,
        ordered: bool = False,
        flipped: bool = False,
        rounded: bool = False,
    ) -> "Race":
        """The race of classes with these logits [B, C]."""
        rates, classes = logits.softmax(-1), logits.shape[-1]
        if ordered:
            orders = torch.tensor(list(itertools.permutations(range(classes))))
            placed = rates[:, orders]  # B x kinds x C
            total = placed.flip(-1).cumsum(-1).flip(-1)
            chances = (placed / total).prod(-1).T
        else:
            orders = torch.stack([torch.arange(classes).roll(-c) for c in range(classes)])
            chances = rates.T
        cells = whole(chances, classes)
        return cls(
            site, numbers, **cells, rates=rates, orders=orders, ordered=ordered, flipped=flipped, rounded=rounded
        )
