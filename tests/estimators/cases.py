"""Distributions and objectives that the estimator tests share, all in double precision."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import Distribution

from estimators.base import Objective
from estimators.distributions import from_parameters, log_prob
from estimators.entry import Entry
from estimators.families import family_named

FAMILIES = ("gaussian", "bernoulli", "categorical")
"""Those that problems are made of here, one of every kind of support; others have test files of their own."""


def families_of(entry: Entry) -> tuple[str, ...]:
    """Those of `FAMILIES` that an estimator is for."""
    return tuple(family for family in entry.families if family in FAMILIES)


def leaves(family: str, sharpness: float, rows: int = 2) -> list[Tensor]:
    """Parameters of a q of `rows` rows: |logits| of size `sharpness` and mixed sign, or a scale of 1 / (1 + it).

    Of families beyond the three those of a certificate at that level, three latents a row.
    """
    if family == "gaussian":
        loc = torch.linspace(-1, 1, rows * 3, dtype=torch.float64).reshape(rows, 3)
        return [loc.requires_grad_(), torch.full_like(loc, 1 / (1 + sharpness)).detach().requires_grad_()]
    if family not in FAMILIES:
        event = torch.arange(3).expand(rows, 3)
        values = family_named(family).sharpened(torch.full((rows,), sharpness, dtype=torch.float64), event, (3,))
        return [value.clone().requires_grad_() for value in values]
    if family == "bernoulli":
        signs = torch.tensor([1.0, -1.0, 1.0], dtype=torch.float64)
        tilt = torch.linspace(0.9, 1, rows, dtype=torch.float64)
        return [(sharpness * tilt[:, None] * signs).requires_grad_()]
    favoured = torch.eye(3, dtype=torch.float64)[:2]
    return [(sharpness * favoured).expand(rows, 2, 3).clone().requires_grad_()]


def uneven(family: str) -> list[Tensor]:
    """Parameters of a q of two rows whose latents have sharpness 0, 3 and 6 side by side, no two of a row the same."""
    of_latents = torch.tensor([[0.0, 3.0, 6.0], [6.0, 0.0, 3.0]], dtype=torch.float64)
    if family == "gaussian":
        return [leaves(family, 0.0)[0], (1 / (1 + of_latents)).requires_grad_()]
    if family == "bernoulli":
        return [(of_latents * torch.tensor([1.0, -1.0, 1.0], dtype=torch.float64)).requires_grad_()]
    favoured = torch.eye(3, dtype=torch.float64)[:2]
    return [(torch.tensor([[0.0, 6.0], [3.0, 0.0]], dtype=torch.float64)[..., None] * favoured).requires_grad_()]


def build(family: str, values: list[Tensor]) -> Distribution:
    return from_parameters(family, *values)


def flat(family: str, z: Tensor) -> Tensor:
    return z.flatten(-2) if family == "categorical" else z


def objective(family: str, theta: Tensor, *, entropy: bool = True) -> Objective:
    """A frozen random network, a cubic that couples the latents, and log q inside; theta scales the network."""
    generator = torch.Generator().manual_seed(3)
    size = 6 if family == "categorical" else 3
    first = torch.randn(size, 5, generator=generator, dtype=torch.float64)
    second = torch.randn(size, generator=generator, dtype=torch.float64)

    def f(z: Tensor, q: Distribution, /) -> Tensor:
        y = flat(family, z)
        cost = theta * torch.tanh(y @ first).sum(-1) + 0.3 * (y @ second).pow(3)
        return cost + log_prob(q, z) if entropy else cost

    return f


def gradients(
    surrogate: Callable[[list[Tensor]], Tensor], values: list[Tensor], extra: tuple[Tensor, ...] = ()
) -> tuple[Tensor, ...]:
    return torch.autograd.grad(surrogate(values).sum(), (*values, *extra))
