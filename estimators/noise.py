"""The one door of randomness: all that an estimator draws, it draws from the `Noise` of its call.

Noise is at least single precision, whatever the precision of what it is drawn for: in bfloat16 a uniform number is a
multiple of 1/256, and a rare bit of chance .001 comes three times too often or never. Single precision is itself too
coarse for outcomes rarer than 1e-7, and has no digits near 1. So a number is drawn with 53 bits, and what decides an
outcome is its odds u / (1 - u), which hold their digits at both ends: u < sigmoid(x) where the odds are below exp(x),
log(odds) is a logistic number, and log(1 + 1 / odds) an exponential one. An outcome keeps its chance within a tenth of
a percent down to 1e-13, a logit of 30, and its order of magnitude down to 1e-15, a logit of 34.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Generator, Tensor

LEAST = 2.0**-54
"""In the place of exactly 0, one number in 2^53, under a logarithm: half a step of the uniform number."""


class Noise:
    """Uniform, normal and other random numbers from a torch generator, and the context of the call.

    Whoever integrates over the noise, forces it or draws it ahead hands in an object with the same methods. `like` says
    shape, device and dtype: numbers are [count, *like.shape], on its device, in its dtype but in float32 at least.

    Args:
        generator: the only source of randomness, on the device of what is drawn for; None for torch's global one.
        context: what q was computed from, [*B, X], or without those leading dims of q that share it, as repeated draws
            do; input-dependent baselines read it.
    """

    def __init__(self, generator: Generator | None = None, context: Tensor | None = None) -> None:
        self.generator, self.context = generator, context

    def odds_to_compare(self, count: int, like: Tensor) -> Tensor:
        """u / (1 - u) of uniform u: finite, and 0 once in 2^53."""
        u = self._fine(count, like)
        return u.div_(1 - u).to(precision(like))

    def odds(self, count: int, like: Tensor) -> Tensor:
        """The same, never 0, so that a logarithm can be taken."""
        return self.odds_to_compare(count, like).clamp_min_(LEAST)

    def odds_among(self, count: int, like: Tensor, places: Callable[[Tensor], Tensor]) -> Tensor:
        """`odds` that are compared with several numbers each.

        Args:
            count: of draws.
            like: parameters that they are drawn for.
            places: gives, for rows of such parameters, the odds [K, *rows] that they are compared with; who integrates
                over the noise cuts there, and nobody else asks.
        """
        return self.odds(count, like)

    def uniform(self, count: int, like: Tensor) -> Tensor:
        """Uniform numbers in (0, 1), fine near 0; near 1 as fine as their precision.

        The same generator gives the numbers u of `odds`.
        """
        dtype = precision(like)
        u = self._fine(count, like).to(dtype)
        return u.clamp_(LEAST, 1 - torch.finfo(dtype).eps / 2)

    def normal(self, count: int, like: Tensor) -> Tensor:
        """Standard normal numbers."""
        shape = (count, *like.shape)
        return torch.randn(shape, **self._source(), dtype=precision(like), device=like.device)

    def gumbel(self, count: int, like: Tensor) -> Tensor:
        """Standard Gumbel numbers."""
        return gumbel_of(self.odds(count, like))

    def gamma(self, count: int, concentration: Tensor) -> Tensor:
        """Logarithms of Gamma(concentration, 1) numbers, in double precision, each finite however small its number.

        G. Marsaglia, W. W. Tsang, A simple method for generating gamma variables, 2000: a Gamma(a + 1) number times
        u^(1/a) is a Gamma(a) number, which at a concentration of a thousandth is less than any that is no logarithm.
        In single precision the logarithm of a large number would not keep the digits in which it differs from others.

        Args:
            count: of numbers for each concentration.
            concentration: says the law of its numbers beside their shape and device; outside any graph.
        """
        shape = (count, *concentration.shape)
        # Laid out in order, since rejection takes the generator's numbers in the order in which they lie.
        a = concentration.detach().double().expand(shape).contiguous()
        return torch._standard_gamma(a + 1, **self._source()).log() + self.uniform(1, a)[0].log() / a

    def choice(self, options: int, shape: Sequence[int], device: torch.device) -> Tensor:
        """Whole numbers from 0 to options - 1, each equally likely, of this shape."""
        return torch.randint(options, tuple(shape), **self._source(), device=device)

    def _source(self) -> dict[str, Any]:
        """The generator, or nothing: torch.compile takes no None for one beside sizes that vary from call to call."""
        return {} if self.generator is None else {"generator": self.generator}

    def _fine(self, count: int, like: Tensor) -> Tensor:
        """Multiples of 2^-53 in [0, 1), in double precision."""
        shape = (count, *like.shape)
        return torch.rand(shape, **self._source(), dtype=torch.float64, device=like.device)


def precision(like: Tensor) -> torch.dtype:
    """Of noise for what has the dtype of `like`: single at least."""
    return torch.promote_types(like.dtype, torch.float32)


def exponential_of(odds: Tensor) -> Tensor:
    """Standard exponential noise -log(u), with all digits near 0 and far from it."""
    return odds.reciprocal().log1p()


def gumbel_of(odds: Tensor) -> Tensor:
    """Standard Gumbel noise -log(-log(u))."""
    return -exponential_of(odds).log()
