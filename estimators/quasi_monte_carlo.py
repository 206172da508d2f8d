"""Quasi-Monte Carlo: the pathwise gradient at Sobol points, which fill the space more evenly than independent draws.

A. Buchholz, F. Wenzel, S. Mandt, Quasi-Monte Carlo variational inference, 2018, arXiv:1807.01604; the rotation is R.
Cranley and T. N. L. Patterson's, 1976. The first S points are shifted modulo 1 by a uniform vector, one a row, and
mapped by the inverse normal distribution function. Every shifted point is uniform, so that the mean is exact; they are
most even where S is a power of two. The total derivative is taken, as in `reparameterization`.
"""

from operator import index
from typing import cast

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.quasirandom import SobolEngine

from estimators.base import Estimate, Estimator, Objective
from estimators.distributions import live, parameters
from estimators.entry import one_a_sample
from estimators.noise import Noise
from estimators.registry import register
from estimators.tabulated import tabulated


@tabulated
def sobol(samples: int, size: int, dtype: torch.dtype = torch.float64, device: torch.device | None = None) -> Tensor:
    """The first `samples` Sobol points [S, D] in [0, 1), not scrambled."""
    if torch.compiler.is_compiling():
        return torch.tensor(_numbers(samples, size), dtype=torch.float64).to(device, dtype)
    return SobolEngine(size, scramble=False).draw(samples, dtype=torch.float64).to(device, dtype)


def _numbers(samples: int, size: int) -> list[list[float]]:
    """The same as numbers, which torch.compile takes as constants, since it cannot trace SobolEngine."""
    return cast(list[list[float]], SobolEngine(size, scramble=False).draw(samples, dtype=torch.float64).tolist())


# As torch.compiler.assume_constant_result does, without its import of the compiler, which takes a second.
_numbers._dynamo_marked_constant = True  # type: ignore[attr-defined]


def rotated(points: Tensor, shift: Tensor) -> Tensor:
    """Points [S, D] plus a shift [*B, D] modulo 1: [S, *B, D], neither 0 nor 1."""
    points = points.to(shift).reshape(len(points), *[1] * (shift.dim() - 1), -1)
    u = points + shift
    eps = torch.finfo(u.dtype).eps
    # 0 stands for what torch.rand rounds to it, half of its step; the other end is the largest number below 1.
    return torch.where(u >= 1, u - 1, u).clamp(eps / 4, 1 - eps / 2)


@register(
    "quasi-monte-carlo",
    families=("gaussian",),
    method="pathwise",
    unbiased=True,
    samples=(1, 4),
    f_evals=one_a_sample,
    needs="gradient of f",
    summary="pathwise gradient at randomly rotated Sobol points, total derivative",
    paper="Buchholz, Wenzel and Mandt 2018, arXiv:1807.01604",
)
class QuasiMonteCarlo(Estimator):
    """The first `samples` Sobol points, rotated anew in every row."""

    def estimate(self, q: Distribution, f: Objective, noise: Noise) -> Estimate:
        loc, scale = parameters(q)
        points = sobol(self.samples, index(loc.shape[-1]), loc.dtype, loc.device)  # S x D, of a constant's size
        u = rotated(points, noise.uniform(1, loc)[0])  # S x *B x D
        z = loc + scale * torch.special.ndtri(u)
        surrogate = f(z, live(q)).mean(0)
        return Estimate(surrogate, surrogate.detach())
