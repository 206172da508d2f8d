"""Antithetic pairs of bits: one made of uniform noise u, the other of 1 - u. ARM and DisARM use them."""

from typing import NamedTuple

from torch import Tensor

from estimators.families.logits import above, below
from estimators.noise import Noise


class Pairs(NamedTuple):
    """Antithetic pairs of draws of a Bernoulli q, made of uniform numbers u and 1 - u."""

    odds: Tensor
    """Of u, [S, *B, D]."""
    b: Tensor
    """1 where u is below sigmoid(logits), 0 elsewhere."""
    antithetic: Tensor
    """1 where 1 - u is."""


def pairs(logits: Tensor, samples: int, noise: Noise) -> Pairs:
    """Antithetic pairs of bits, outside any graph."""
    logits = logits.detach()
    odds = noise.odds_to_compare(samples, logits)
    return Pairs(odds, below(odds, logits.exp()), above(odds, (-logits).exp()))
