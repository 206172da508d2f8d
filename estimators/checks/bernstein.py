"""Bernstein's inequality, the test of every mean.

P(|mean - expected| > d) is at most 2 exp(-n d^2 / (2 (variance + largest d / 3))) for n independent draws, with the
sample's own variance and largest deviation for those of the law. A t test would do for symmetric draws; score functions
are skewed, and at the levels of a family-wise test (1e-8) the normal tail accuses them wrongly.
"""

import math

import torch
from torch import Tensor

POWER = 2.33
"""The 99 % quantile of a standard normal: a deviation this many standard errors beyond the threshold is refuted in 99 %
of samples."""


def log_p(excess: Tensor, n: Tensor | float, variance: Tensor, largest: Tensor) -> Tensor:
    """Logarithm of a bound on the p-value of means that lie `excess` >= 0 from what is expected, element by element.

    Args:
        excess: distance of the means of n draws from what is expected.
        n: number of draws.
        variance: of one draw.
        largest: deviation of any draw.
    """
    exponent = torch.where(excess > 0, n * excess.square() / (2 * (variance + largest * excess / 3)), 0.0)
    return (math.log(2) - exponent).clamp_max(0)


def detectable(log_alpha: float, n: Tensor | float, variance: Tensor, largest: Tensor) -> Tensor:
    """The deviation of a mean that is refuted at this level with 99 % chance; see `log_p`."""
    level = math.log(2) - log_alpha
    half = level * largest / (3 * n)
    return half + (half.square() + 2 * level * variance / n).sqrt() + POWER * (variance / n).sqrt()
