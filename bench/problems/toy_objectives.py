"""The objectives of toys: functions of y [S, *B, L], each with its mean under a Normal q where that is known.

y is the bits themselves, the Gaussian coordinates, or for categorical latents the class index scaled to [0, 1].
"""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution, Normal

from estimators.families import FAMILIES


def _coupling(size: int, like: Tensor) -> Tensor:
    """A fixed symmetric matrix [size, size] of order one: entry (i, j) is cos(1 + i + j) / sqrt(size)."""
    index = torch.arange(size, dtype=torch.float64)
    return torch.cos(1 + index[:, None] + index).div(math.sqrt(size)).to(like)


def _quadratic(y: Tensor, target: float) -> Tensor:
    return (y - target).square().sum(-1)


def _cubic(y: Tensor, target: float) -> Tensor:
    return (y - target).pow(3).sum(-1)


def _coupled(y: Tensor, target: float) -> Tensor:
    centred = y - target
    return (centred @ _coupling(y.shape[-1], y) * centred).sum(-1)


def _exp(y: Tensor, target: float) -> Tensor:
    return torch.exp(-target * y.square()).sum(-1)


def _cos(y: Tensor, target: float) -> Tensor:
    return torch.cos(target * y).sum(-1)


def _numbers(latents: int, table: int) -> torch.Generator:
    """A source of the random numbers of a toy; each table has other ones."""
    return torch.Generator().manual_seed(latents + 1000 * table)


def _network(y: Tensor, target: float, table: int = 0) -> Tensor:
    generator = _numbers(y.shape[-1], table)
    first, second, shift = (
        torch.randn(shape, generator=generator, dtype=torch.float64).to(y) for shape in ((y.shape[-1], 8), (8,), (8,))
    )
    return torch.tanh(2 * (y - target) @ first / math.sqrt(y.shape[-1]) + shift) @ second


def _random(y: Tensor, target: float, table: int = 0) -> Tensor:
    """Between the vertices the multilinear extension, which is the mean over independent bits."""
    generator = _numbers(y.shape[-1], table)
    value = torch.randn(2 ** y.shape[-1], generator=generator, dtype=torch.float64).to(y)
    for bit in y.unbind(-1):  # each halves the table
        zero, one = value.unflatten(-1, (2, -1)).unbind(-2)
        value = torch.lerp(zero, one, bit[..., None])
    return value[..., 0] - target


# E f in closed form for y ~ Normal(loc, scale), coordinate by coordinate independent.


def _quadratic_mean(loc: Tensor, scale: Tensor, target: float) -> Tensor:
    return ((loc - target).square() + scale.square()).sum(-1)


def _cubic_mean(loc: Tensor, scale: Tensor, target: float) -> Tensor:
    return ((loc - target).pow(3) + 3 * (loc - target) * scale.square()).sum(-1)


def _coupled_mean(loc: Tensor, scale: Tensor, target: float) -> Tensor:
    return _coupled(loc, target) + (_coupling(loc.shape[-1], loc).diagonal() * scale.square()).sum(-1)


def _exp_mean(loc: Tensor, scale: Tensor, target: float) -> Tensor:
    width = 1 + 2 * target * scale.square()
    return (torch.exp(-target * loc.square() / width) / width.sqrt()).sum(-1)


def _cos_mean(loc: Tensor, scale: Tensor, target: float) -> Tensor:
    return (torch.exp(-0.5 * (target * scale).square()) * torch.cos(target * loc)).sum(-1)


class ToyObjective(NamedTuple):
    """A toy's function, its means in closed form, and what to say of it."""

    f: Callable[..., Tensor]
    """y [S, *B, L] and the target to [S, *B]; where the toy has random numbers, of the table of a number, too."""
    means: Mapping[type[Distribution], Callable[..., Tensor]]
    """For a type of q: its parameters, each [*B, L], and the target to E f [*B]. Others are enumerated."""
    summary: str
    only: tuple[str, ...] | None = None
    """Families that it is for; None for all."""
    tables: bool = False
    """Whether it has random numbers, so that there are many toys of its name."""

    @property
    def families(self) -> tuple[str, ...]:
        """Families that it is for."""
        return self.only or tuple(FAMILIES)


OBJECTIVES = {
    "quadratic": ToyObjective(
        _quadratic,
        {Normal: _quadratic_mean},
        "sum_i (y_i - target)^2; Tucker et al. 2017, arXiv:1703.07370, with target .45 or .499",
    ),
    "cubic": ToyObjective(
        _cubic,
        {Normal: _cubic_mean},
        "sum_i (y_i - target)^3: unlike on the quadratic, second-order rules are biased on it",
    ),
    "coupled": ToyObjective(
        _coupled,
        {Normal: _coupled_mean},
        "(y - target)' A (y - target), A_ij = cos(1 + i + j) / sqrt(n): the latents interact",
    ),
    "exp": ToyObjective(_exp, {Normal: _exp_mean}, "sum_i exp(-target y_i^2); Mohamed et al. 2019, arXiv:1906.10652"),
    "cos": ToyObjective(_cos, {Normal: _cos_mean}, "sum_i cos(target y_i); Mohamed et al. 2019, arXiv:1906.10652"),
    "network": ToyObjective(
        _network,
        {},
        "a frozen random network of 8 tanh units over y - target",
        ("bernoulli", "categorical"),
        tables=True,
    ),
    "random": ToyObjective(
        _random, {}, "a standard normal number for every joint state, minus the target", ("bernoulli",), tables=True
    ),
}
DEFAULT_TARGET = 0.45
MAX_RANDOM = 8
"""Latents of the random toy, whose table doubles with each."""
