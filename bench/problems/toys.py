"""Toys: small closed-form objectives whose exact gradient is known, at a chosen sharpness of q.

Rankings of estimators reverse between |logit| = 0 (a fresh q) and 6 (a converged one), so a toy is measured over a
sweep. Each objective is a function of y [S, *B, L]: the bits themselves, the Gaussian coordinates, or for categorical
latents the class index scaled to [0, 1].
"""

import math
from collections.abc import Callable
from typing import Annotated, Literal, NamedTuple

import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.distributions import Distribution

from bench.config import Config
from estimators.base import Objective
from estimators.distributions import from_parameters, parameters
from estimators.exact import expectation
from estimators.registry import MAX_STATES

Family = Literal["gaussian", "bernoulli", "categorical"]


def event_of(latents: int, categories: int | None) -> tuple[int, ...]:
    """Shape of an event, [D] or [L, C]."""
    return (latents, categories) if categories else (latents,)


def joint_states(family: Family, latents: int, categories: int | None) -> int | None:
    """Number of joint states of q, None for a continuous q."""
    return None if family == "gaussian" else int((categories or 2) ** latents)


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


def _network(y: Tensor, target: float) -> Tensor:
    generator = torch.Generator().manual_seed(y.shape[-1])
    first, second, shift = (
        torch.randn(shape, generator=generator, dtype=torch.float64).to(y) for shape in ((y.shape[-1], 8), (8,), (8,))
    )
    return torch.tanh(2 * (y - target) @ first / math.sqrt(y.shape[-1]) + shift) @ second


def _random(y: Tensor, target: float) -> Tensor:
    """Between the vertices the multilinear extension, which is the mean over independent bits."""
    generator = torch.Generator().manual_seed(y.shape[-1])
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
    spread = 1 + 2 * target * scale.square()
    return (torch.exp(-target * loc.square() / spread) / spread.sqrt()).sum(-1)


def _cos_mean(loc: Tensor, scale: Tensor, target: float) -> Tensor:
    return (torch.exp(-0.5 * (target * scale).square()) * torch.cos(target * loc)).sum(-1)


class ToyObjective(NamedTuple):
    """A toy's function, its mean under a Gaussian, and what to say of it."""

    f: Callable[[Tensor, float], Tensor]
    """y [S, *B, L] and the target to [S, *B]."""
    gaussian_mean: Callable[[Tensor, Tensor, float], Tensor] | None
    """loc and scale [*B, L] and the target to [*B]; None where it has no closed form."""
    summary: str
    families: tuple[Family, ...] = ("gaussian", "bernoulli", "categorical")


OBJECTIVES = {
    "quadratic": ToyObjective(
        _quadratic,
        _quadratic_mean,
        "sum_i (y_i - target)^2; Tucker et al. 2017, arXiv:1703.07370, with target .45 or .499",
    ),
    "cubic": ToyObjective(
        _cubic, _cubic_mean, "sum_i (y_i - target)^3: unlike on the quadratic, second-order rules are biased on it"
    ),
    "coupled": ToyObjective(
        _coupled,
        _coupled_mean,
        "(y - target)' A (y - target), A_ij = cos(1 + i + j) / sqrt(n): the latents interact",
    ),
    "exp": ToyObjective(_exp, _exp_mean, "sum_i exp(-target y_i^2); Mohamed et al. 2019, arXiv:1906.10652"),
    "cos": ToyObjective(_cos, _cos_mean, "sum_i cos(target y_i); Mohamed et al. 2019, arXiv:1906.10652"),
    "network": ToyObjective(
        _network, None, "a frozen random network of 8 tanh units over y - target", ("bernoulli", "categorical")
    ),
    "random": ToyObjective(
        _random, None, "a standard normal number for every joint state, minus the target", ("bernoulli",)
    ),
}
DEFAULT_TARGET = 0.45
MAX_RANDOM = 8
"""Latents of the random toy, whose table doubles with each."""


class ToyConfig(Config):
    """One toy in a suite, over a sweep of q."""

    kind: Literal["toy"]
    objective: Literal["quadratic", "cubic", "coupled", "exp", "cos", "network", "random"]
    family: Family
    latents: Annotated[int, Field(ge=1, le=16)] = 4
    categories: Annotated[int, Field(ge=2, le=64)] | None = None
    target: float = DEFAULT_TARGET
    logits: tuple[Annotated[float, Field(ge=0, le=50)], ...] = ()
    scales: tuple[Annotated[float, Field(gt=0)], ...] = ()
    label: str = ""

    @model_validator(mode="after")
    def _complete(self) -> "ToyConfig":
        swept, other = ("scales", "logits") if self.family == "gaussian" else ("logits", "scales")
        if not getattr(self, swept) or getattr(self, other):
            raise ValueError(f"a {self.family} toy is swept over {swept} = [...], not empty, and takes no {other}")
        if (self.family == "categorical") != (self.categories is not None):
            raise ValueError("categories belongs to categorical latents, and only to them")
        if self.family not in OBJECTIVES[self.objective].families:
            families = " and ".join(OBJECTIVES[self.objective].families)
            raise ValueError(f"the {self.objective} toy is for {families} latents, not {self.family}")
        if self.objective == "random" and self.latents > MAX_RANDOM:
            raise ValueError(f"the random toy takes at most {MAX_RANDOM} latents, got {self.latents}")
        if self.objective == "exp" and self.target < 0:
            raise ValueError("the exp toy takes target >= 0: exp(-target y^2) has no mean otherwise")
        if not self.label:
            size = f"{self.latents}x{self.categories}" if self.categories else f"{self.latents}"
            departed = f"/target-{self.target:g}" if self.target != DEFAULT_TARGET else ""
            object.__setattr__(self, "label", f"{self.objective}/{self.family}-{size}{departed}")
        states = self.states()
        if states is not None and states > MAX_STATES:
            raise ValueError(
                f"its exact gradient would take {self.categories or 2}^{self.latents} joint states, "
                f"more than {MAX_STATES}"
            )
        return self

    @property
    def bound(self) -> Literal["elbo"]:
        """A toy's cost is taken as it is."""
        return "elbo"

    @property
    def importance_samples(self) -> None:
        """A toy has no importance-weighted bound."""
        return None

    def states(self) -> int | None:
        """Number of joint states of q, None for a continuous q."""
        return joint_states(self.family, self.latents, self.categories)

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
        function = OBJECTIVES[self.objective].f

        def objective(z: Tensor, q: Distribution, /) -> Tensor:
            if self.categories is not None:
                z = z @ torch.linspace(0, 1, self.categories, dtype=z.dtype, device=z.device)
            return function(z, self.target)

        return objective

    def expectation(self, q: Distribution) -> Tensor:
        """E_q[f], [*B], exact: in closed form for a Gaussian q, else by enumeration."""
        closed = OBJECTIVES[self.objective].gaussian_mean
        if closed is not None and self.family == "gaussian":
            loc, scale = parameters(q)
            return closed(loc, scale, self.target)
        return expectation(q, self.f())
