"""Uniform, logistic, Gumbel and normal noise, from an explicit generator, with the digits of both tails.

Noise is at least single precision, whatever the precision of what it is drawn for: in bfloat16 a uniform number is a
multiple of 1/256, and a rare bit of chance .001 comes three times too often or never. Single precision is itself too
coarse for outcomes rarer than 1e-7, and has no digits near 1. So a number is drawn with 53 bits, and what decides an
outcome is its odds u / (1 - u), which hold their digits at both ends: u < sigmoid(x) where the odds are below exp(x),
log(odds) is a logistic number, and log(1 + 1 / odds) an exponential one. An outcome keeps its chance within a tenth of
a percent down to 1e-13, a logit of 30, and its order of magnitude down to 1e-15, a logit of 34.
"""

import torch
from torch import Generator, Tensor

LEAST = 2.0**-54
"""In the place of exactly 0, one number in 2^53, under a logarithm: half a step of the uniform number."""


def precision(like: Tensor) -> torch.dtype:
    """Of noise for what has the dtype of `like`: single at least."""
    return torch.promote_types(like.dtype, torch.float32)


def _fine(count: int, like: Tensor, generator: Generator | None) -> Tensor:
    """Multiples of 2^-53 in [0, 1), [count, *like.shape], in double precision."""
    shape = (count, *like.shape)
    return torch.rand(shape, generator=generator, dtype=torch.float64, device=like.device)


def odds_to_compare(count: int, like: Tensor, generator: Generator | None) -> Tensor:
    """u / (1 - u) of uniform u, finite, and 0 once in 2^53, [count, *like.shape], on the device of `like`."""
    u = _fine(count, like, generator)
    return u.div_(1 - u).to(precision(like))


def odds(count: int, like: Tensor, generator: Generator | None) -> Tensor:
    """The same, never 0, of which a logarithm can be taken."""
    return odds_to_compare(count, like, generator).clamp_min_(LEAST)


def uniform(count: int, like: Tensor, generator: Generator | None) -> Tensor:
    """Uniform noise [count, *like.shape] in (0, 1), fine near 0; near 1 as fine as its precision.

    The same generator gives the noise of `odds`.
    """
    dtype = precision(like)
    u = _fine(count, like, generator).to(dtype)
    return u.clamp_(LEAST, 1 - torch.finfo(dtype).eps / 2)


def exponential_of(odds: Tensor) -> Tensor:
    """Standard exponential noise -log(u), with all digits near 0 and far from it."""
    return odds.reciprocal().log1p()


def gumbel_of(odds: Tensor) -> Tensor:
    """Standard Gumbel noise -log(-log(u))."""
    return -exponential_of(odds).log()


def normal(count: int, like: Tensor, generator: Generator | None) -> Tensor:
    """Standard normal noise [count, *like.shape]."""
    shape = (count, *like.shape)
    return torch.randn(shape, generator=generator, dtype=precision(like), device=like.device)
