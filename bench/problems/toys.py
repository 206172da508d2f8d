"""Toys: small closed-form objectives whose exact gradient is known, at a chosen sharpness of q.

Rankings of estimators reverse between |logit| = 0 (a fresh q) and 6 (a converged one), so a toy is measured over a
sweep.
"""

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import AfterValidator, Field, computed_field, model_validator
from torch import Tensor
from torch.distributions import Distribution

from bench.bounds import AtMost, Few, SeedNumber, Word
from bench.config import added_later
from bench.problems.base import PointProblem, register_problem, row
from bench.problems.toy_objectives import DEFAULT_TARGET, MAX_RANDOM, OBJECTIVES
from estimators.base import Objective
from estimators.distributions import parameters
from estimators.errors import unknown
from estimators.families.quadrature import MAX_STATES

Target = Annotated[float, Field(ge=-1e6), AtMost(1e6, "beyond it the differences between states are lost in rounding")]
Logit = Annotated[float, Field(ge=0), AtMost(50, "beyond it a probability is 0 or 1 in double precision")]
Scale = Annotated[float, Field(gt=0), AtMost(1e6, "beyond it the objective is lost in rounding")]
Swept = Few(100, "each is a cell of every estimator, and a point of a figure")


def _known(objective: str) -> str:
    """The name of an objective.

    Raises:
        ValueError: there is none of that name.
    """
    if objective not in OBJECTIVES:
        raise ValueError(unknown("toy objective", objective, list(OBJECTIVES)))
    return objective


@register_problem("toy")
class ToyConfig(PointProblem):
    """One toy in a suite, over a sweep of q."""

    kind: Literal["toy"]
    objective: Annotated[Word, AfterValidator(_known)]
    latents: Annotated[int, Field(ge=1), AtMost(16, "its exact gradient visits every joint state")] = 4
    categories: Annotated[int, Field(ge=2), AtMost(64, "its exact gradient visits every joint state")] | None = None
    target: Target = DEFAULT_TARGET
    table: SeedNumber = added_later(0)
    """Which random numbers a toy has that has some: what one table of them shows need not hold of another."""
    logits: Annotated[tuple[Logit, ...], Swept] = ()
    scales: Annotated[tuple[Scale, ...], Swept] = ()

    plural: ClassVar[str] = "toys"

    @model_validator(mode="after")
    def _complete(self) -> "ToyConfig":
        family, objective = self.kind_of_latents, OBJECTIVES[self.objective]
        swept = family.sweep
        other = "logits" if swept == "scales" else "scales"
        if not getattr(self, swept) or getattr(self, other):
            raise ValueError(f"a {self.family} toy is swept over {swept} = [...], not empty, and takes no {other}")
        if family.name not in objective.families:
            families = " and ".join(objective.families)
            raise ValueError(f"the {self.objective} toy is for {families} latents, not {self.family}")
        if self.objective == "random" and self.latents > MAX_RANDOM:
            raise ValueError(f"the random toy takes at most {MAX_RANDOM} latents, got {self.latents}")
        if self.table and not objective.tables:
            raise ValueError(f"the {self.objective} toy has no random numbers: leave table = {self.table} out")
        if self.objective == "exp" and self.target < 0:
            raise ValueError("the exp toy takes target >= 0: exp(-target y^2) has no mean otherwise")
        if twice := [value for value, count in Counter(getattr(self, swept)).items() if count > 1]:
            raise ValueError(f"{swept} holds {twice[0]:g} more than once: give each once")
        states = self.states()
        if states is not None and states > MAX_STATES:
            raise ValueError(
                f"its exact gradient would take {self.categories or 2}^{self.latents} joint states, "
                f"more than {MAX_STATES}"
            )
        return self

    def default_label(self) -> str:
        """Objective and latents, and the target and the table where they are not the usual ones."""
        departed = f"/target-{self.target:g}" if self.target != DEFAULT_TARGET else ""
        other = f"/table-{self.table}" if self.table else ""
        return f"{self.objective}/{self.size_words()}{departed}{other}"

    def points(self) -> list["ToyPoint"]:
        """The toys of the sweep, each at one sharpness."""
        shared = self.model_dump(exclude={"logits", "scales"})
        logits: list[float | None] = [*self.logits] or [None]
        scales: list[float | None] = [*self.scales] or [None]
        return [ToyPoint(**shared, logit=logit, scale=scale) for logit in logits for scale in scales]

    @classmethod
    def listed(cls, kind: str) -> list[dict[str, Any]]:
        """A row an objective."""
        return [row(name, kind, toy.summary, toy.families) for name, toy in OBJECTIVES.items()]


class ToyPoint(PointProblem):
    """One toy at one sharpness: |logit| of a discrete q, or scale of a continuous one."""

    objective: str
    target: float
    table: int = added_later(0)
    logit: float | None
    scale: float | None

    @computed_field  # type: ignore[prop-decorator]  # mypy allows no decorator on a property
    @property
    def bound(self) -> Literal["elbo"]:
        """Recorded with the point."""
        return "elbo"

    def q(self) -> Distribution:
        """q of one row, in double precision; see `Family.toy`."""
        sharpness = self.logit if self.scale is None else self.scale
        assert sharpness is not None
        return self.kind_of_latents.toy(sharpness, self.event)

    def rows(self) -> int:
        """One."""
        return 1

    def f(self) -> Objective:
        """The objective."""
        toy = OBJECTIVES[self.objective]
        function = partial(toy.f, table=self.table) if toy.tables else toy.f

        def objective(z: Tensor, q: Distribution, /) -> Tensor:
            if self.categories is not None:
                z = z @ torch.linspace(0, 1, self.categories, dtype=z.dtype, device=z.device)
            return function(z, self.target)

        return objective

    @property
    def _closed_form(self) -> Callable[..., Tensor] | None:
        return OBJECTIVES[self.objective].means.get(self.kind_of_latents.distribution)

    @property
    def exact_method(self) -> str | None:
        """Closed form where there is one."""
        return "closed form" if self._closed_form else super().exact_method

    def expectation(self, q: Distribution) -> Tensor:
        """E_q[f], [*B], exact: in closed form where there is one, else by enumeration or quadrature."""
        if self._closed_form:
            return self._closed_form(*parameters(q), self.target)
        return super().expectation(q)
