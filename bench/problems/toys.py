"""Toys: small closed-form objectives whose exact gradient is known, at a chosen sharpness of q.

Rankings of estimators reverse between |logit| = 0 (a fresh q) and 6 (a converged one), so a toy is measured over a
sweep. Each objective is a function of y [S, *B, L]: the bits themselves, the Gaussian coordinates, or for categorical
latents the class index scaled to [0, 1].
"""

import math
from collections.abc import Callable
from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.distributions import Distribution

from bench.config import Config
from estimators.base import Objective
from estimators.distributions import from_parameters

Family = Literal["gaussian", "bernoulli", "categorical"]


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


OBJECTIVES: dict[str, tuple[Callable[[Tensor, float], Tensor], str]] = {
    "quadratic": (
        _quadratic,
        "sum_i (y_i - target)^2; Tucker et al. 2017, arXiv:1703.07370, with target .45 or .499",
    ),
    "cubic": (_cubic, "sum_i (y_i - target)^3: unlike the quadratic, second-order rules are biased on it"),
    "coupled": (
        _coupled,
        "(y - target)' A (y - target), A_ij = cos(1 + i + j) / sqrt(n): the latents interact",
    ),
    "exp": (_exp, "sum_i exp(-target y_i^2); Mohamed et al. 2019, arXiv:1906.10652"),
    "cos": (_cos, "sum_i cos(target y_i); Mohamed et al. 2019, arXiv:1906.10652"),
}


class ToyConfig(Config):
    """One toy in a suite, over a sweep of q."""

    kind: Literal["toy"]
    objective: Literal["quadratic", "cubic", "coupled", "exp", "cos"]
    family: Family
    latents: Annotated[int, Field(ge=1, le=16)] = 4
    categories: Annotated[int, Field(ge=2, le=64)] | None = None
    target: float = 0.45
    logits: tuple[Annotated[float, Field(ge=0, le=50)], ...] = ()
    scales: tuple[Annotated[float, Field(gt=0)], ...] = ()
    label: str = ""

    @model_validator(mode="after")
    def _complete(self) -> "ToyConfig":
        swept, other = ("scales", "logits") if self.family == "gaussian" else ("logits", "scales")
        if not getattr(self, swept) or getattr(self, other):
            raise ValueError(f"a {self.family} toy is swept over {swept} = [...], and takes no {other}")
        if (self.family == "categorical") != (self.categories is not None):
            raise ValueError("categories belongs to categorical latents, and only to them")
        if not self.label:
            size = f"{self.latents}x{self.categories}" if self.categories else f"{self.latents}"
            object.__setattr__(self, "label", f"{self.objective}/{self.family}-{size}")
        return self

    def points(self) -> list["ToyPoint"]:
        """The toys of the sweep, each at one sharpness."""
        shared = self.model_dump(exclude={"logits", "scales"})
        logits: list[float | None] = [*self.logits] or [None]
        scales: list[float | None] = [*self.scales] or [None]
        return [ToyPoint(**shared, logit=logit, scale=scale) for logit in logits for scale in scales]


class ToyPoint(Config):
    """One toy at one sharpness: |logit| of a discrete q, or scale of a Gaussian one."""

    kind: Literal["toy"]
    objective: str
    family: Family
    latents: int
    categories: int | None
    target: float
    logit: float | None
    scale: float | None
    label: str
    bound: Literal["elbo"] = "elbo"

    def states(self) -> int | None:
        """Number of joint states of q, None for a continuous q."""
        if self.family == "gaussian":
            return None
        return int((self.categories or 2) ** self.latents)

    def q(self) -> Distribution:
        """q of one row, in double precision.

        Bernoulli logits alternate in sign; a categorical variable i favours class i mod C by `logit`; a Gaussian has
        locs .5, 1, .5, 1 ... and the scale.
        """
        index = torch.arange(self.latents)
        if self.scale is not None:
            loc = 0.5 + 0.5 * (index % 2).double()
            return from_parameters("gaussian", loc[None], torch.full_like(loc, self.scale)[None])
        assert self.logit is not None
        if self.categories is None:
            return from_parameters("bernoulli", self.logit * (1 - 2 * (index % 2).double())[None])
        favoured = torch.nn.functional.one_hot(index % self.categories, self.categories)
        return from_parameters("categorical", self.logit * favoured.double()[None])

    def f(self) -> Objective:
        """The objective."""
        function, _ = OBJECTIVES[self.objective]

        def objective(z: Tensor, q: Distribution, /) -> Tensor:
            if self.categories is not None:
                z = z @ torch.linspace(0, 1, self.categories, dtype=z.dtype, device=z.device)
            return function(z, self.target)

        return objective
