"""Toys: small closed-form objectives whose exact gradient is known, at a chosen sharpness of q.

Rankings of estimators reverse between |logit| = 0 (a fresh q) and 6 (a converged one), so a toy is measured over a
sweep. Each objective is a function of y [S, *B, L]: the bits themselves, the Gaussian coordinates, or for categorical
latents the class index scaled to [0, 1].
"""

import math
from collections.abc import Callable, Mapping
from typing import Annotated, Literal, NamedTuple

import torch
from pydantic import AfterValidator, Field, model_validator
from torch import Tensor
from torch.distributions import Distribution, Normal

from bench.config import Config
from estimators.base import Objective
from estimators.distributions import parameters
from estimators.entry import MAX_STATES
from estimators.exact import expectation
from estimators.families import FAMILIES, Family, family_named
from estimators.registry import load_all


def _known(name: str) -> str:
    """The name of a family, if it is known.

    Raises:
        BadInput: it is not.
    """
    load_all()
    family_named(name)
    return name


FamilyName = Annotated[str, AfterValidator(_known)]
"""A family's name, or module:Class."""


class OfFamily(Config):
    """What every problem says of its latents."""

    family: FamilyName
    latents: int
    categories: Annotated[int, Field(ge=2, le=1024)] | None = None

    @property
    def kind_of_latents(self) -> Family:
        """The family itself."""
        return family_named(self.family)

    @property
    def event(self) -> tuple[int, ...]:
        """Shape of an event, [D] or [L, C]."""
        return self.kind_of_latents.event(self.latents, self.categories)


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
    """A toy's function, its means in closed form, and what to say of it."""

    f: Callable[[Tensor, float], Tensor]
    """y [S, *B, L] and the target to [S, *B]."""
    means: Mapping[type[Distribution], Callable[..., Tensor]]
    """For a type of q: its parameters, each [*B, L], and the target to E f [*B]. Others are enumerated."""
    summary: str
    only: tuple[str, ...] | None = None
    """Families that it is for; None for all."""

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
        _network, {}, "a frozen random network of 8 tanh units over y - target", ("bernoulli", "categorical")
    ),
    "random": ToyObjective(
        _random, {}, "a standard normal number for every joint state, minus the target", ("bernoulli",)
    ),
}
DEFAULT_TARGET = 0.45
MAX_RANDOM = 8
"""Latents of the random toy, whose table doubles with each."""


class ToyConfig(OfFamily):
    """One toy in a suite, over a sweep of q."""

    kind: Literal["toy"]
    objective: Literal["quadratic", "cubic", "coupled", "exp", "cos", "network", "random"]
    latents: Annotated[int, Field(ge=1, le=16)] = 4
    categories: Annotated[int, Field(ge=2, le=64)] | None = None
    target: float = DEFAULT_TARGET
    logits: tuple[Annotated[float, Field(ge=0, le=50)], ...] = ()
    scales: tuple[Annotated[float, Field(gt=0)], ...] = ()
    label: str = ""

    @model_validator(mode="after")
    def _complete(self) -> "ToyConfig":
        family, objective = self.kind_of_latents, OBJECTIVES[self.objective]
        swept = family.sweep
        other = "logits" if swept == "scales" else "scales"
        if not getattr(self, swept) or getattr(self, other):
            raise ValueError(f"a {self.family} toy is swept over {swept} = [...], not empty, and takes no {other}")
        if bool(family.latent_dims) != (self.categories is not None):
            raise ValueError("categories belongs to categorical latents, and only to them")
        if family.name not in objective.families:
            families = " and ".join(objective.families)
            raise ValueError(f"the {self.objective} toy is for {families} latents, not {self.family}")
        if self.objective == "random" and self.latents > MAX_RANDOM:
            raise ValueError(f"the random toy takes at most {MAX_RANDOM} latents, got {self.latents}")
        if self.objective == "exp" and self.target < 0:
            raise ValueError("the exp toy takes target >= 0: exp(-target y^2) has no mean otherwise")
        if not self.label:
            size = f"{self.latents}x{self.categories}" if self.categories else f"{self.latents}"
            departed = f"/target-{self.target:g}" if self.target != DEFAULT_TARGET else ""
            object.__setattr__(self, "label", f"{self.objective}/{family.name}-{size}{departed}")
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
        return self.kind_of_latents.joint_states(self.event)

    def points(self) -> list["ToyPoint"]:
        """The toys of the sweep, each at one sharpness."""
        shared = self.model_dump(exclude={"logits", "scales"})
        logits: list[float | None] = [*self.logits] or [None]
        scales: list[float | None] = [*self.scales] or [None]
        return [ToyPoint(**shared, logit=logit, scale=scale) for logit in logits for scale in scales]


class ToyPoint(OfFamily):
    """One toy at one sharpness: |logit| of a discrete q, or scale of a continuous one."""

    kind: Literal["toy"]
    objective: str
    latents: int
    categories: int | None
    target: float
    logit: float | None
    scale: float | None
    label: str
    bound: Literal["elbo"] = "elbo"

    def q(self) -> Distribution:
        """q of one row, in double precision; see `Family.toy`."""
        sharpness = self.logit if self.scale is None else self.scale
        assert sharpness is not None
        return self.kind_of_latents.toy(sharpness, self.event)

    def f(self) -> Objective:
        """The objective."""
        function = OBJECTIVES[self.objective].f

        def objective(z: Tensor, q: Distribution, /) -> Tensor:
            if self.categories is not None:
                z = z @ torch.linspace(0, 1, self.categories, dtype=z.dtype, device=z.device)
            return function(z, self.target)

        return objective

    @property
    def _closed_form(self) -> Callable[..., Tensor] | None:
        return OBJECTIVES[self.objective].means.get(self.kind_of_latents.distribution)

    @property
    def exact_method(self) -> str:
        """How `expectation` is computed, in a word or two."""
        enumerated = self.kind_of_latents.joint_states(self.event) is not None
        return "closed form" if self._closed_form else "enumeration" if enumerated else "quadrature"

    def expectation(self, q: Distribution) -> Tensor:
        """E_q[f], [*B], exact: in closed form where there is one, else by enumeration or quadrature."""
        if self._closed_form:
            return self._closed_form(*parameters(q), self.target)
        return expectation(q, self.f())
