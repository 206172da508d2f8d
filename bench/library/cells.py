"""What `compare` writes its records with: the configuration of a person's own point, and of how it was measured."""

from typing import Any, ClassVar, Literal

from pydantic import PrivateAttr
from torch import Tensor
from torch.distributions import Distribution

from bench.library.point import Point
from bench.measure.base import Measurement
from bench.problems.base import PointProblem, Problem
from estimators.base import Objective
from estimators.errors import BadInput


class OwnPoint(PointProblem):
    """A point of a program of a person's own, which a suite cannot make again."""

    kind: Literal["point"]
    fingerprint: str
    """Of q's parameters and of f's values; that of the first where there are several."""
    minibatches: int = 1

    _point: Point | None = PrivateAttr(default=None)

    @classmethod
    def of(cls, point: Point, minibatches: int = 1) -> "OwnPoint":
        """The configuration of a point, which knows the point itself for as long as the program runs."""
        latents, *categories = point.event
        made = cls(
            kind="point",
            family=point.family.name,
            latents=latents,
            categories=categories[0] if categories else None,
            label=point.name,
            fingerprint=point.fingerprint(),
            minibatches=minibatches,
        )
        made._point = point
        return made

    @property
    def given(self) -> Point:
        """The point.

        Raises:
            BadInput: it was made in another process.
        """
        if self._point is None:
            raise BadInput(f"{self.label} is a point of a program: run that again")
        return self._point

    def q(self) -> Distribution:
        """In the form that methods take."""
        return self.given.at

    def f(self) -> Objective:
        """Held to its shape."""
        return self.given.objective

    def context(self) -> Tensor | None:
        """As it was given."""
        return self.given.context

    def closed_form(self, q: Distribution) -> Tensor | None:
        """At a q in the form that methods take."""
        return self.given.closed(q)


class OwnMoments(Measurement):
    """How gradient moments were measured."""

    asks: ClassVar[type[Problem]] = OwnPoint
    order: ClassVar[int] = 0

    kind: Literal["moments"] = "moments"
    draws: int
    warm_up: int | None
    """None for as long as the estimator needs by its kind."""
    seed: int
    against: str
    """What was asked for as the reference."""
    through: int
    """Numbers of the weights behind q whose gradient is measured too."""


class OwnTime(Measurement):
    """How a step was timed."""

    asks: ClassVar[type[Problem]] = OwnPoint
    order: ClassVar[int] = 2

    kind: Literal["time"] = "time"
    floor: Literal["plain step"] = "plain step"


def of_a_person(name: str) -> Any:
    """A measurement that a person registered, for the argument `measure`.

    Raises:
        BadInput: there is none of that name, or it is for something else than a point.
    """
    from bench.measure.base import MEASUREMENTS

    found = MEASUREMENTS.get(name)
    if not issubclass(found, Measurement) or not issubclass(OwnPoint, found.asks):
        raise BadInput(f"measure = {name!r} is a table of a suite; expected a measurement of your own, for points")
    return found.model_validate({"kind": name})
