"""A measurement of a third party, in one file: how often the sign of a gradient's coordinate is right."""

from typing import Annotated

import torch
from pydantic import Field

from bench.measure.base import Measurement, register_measurement
from bench.measure.draws import gradients
from bench.measure.points import exact_reference
from bench.problems.base import PointProblem


@register_measurement("signs")
class Signs(Measurement):
    """Share of draws whose gradient has the sign of the exact one, coordinate by coordinate."""

    asks = PointProblem

    draws: Annotated[int, Field(ge=1)] = 100

    def run(self, problem, estimator, *, seed, device):
        q = problem.q()
        estimator.bind(event=problem.event)
        exact = exact_reference(lambda q: [problem.expectation(q)], q, "exact").gradient
        drawn = torch.cat([*gradients(estimator, q, problem.f(), draws=self.draws, seed=seed)])
        return {"draws": self.draws, "right": float((drawn.sign() == exact.sign()).double().mean())}

    @staticmethod
    def figure(frame, axes):
        axes.barh(frame["estimator"], frame["right"])
        axes.set_xlabel("share of right signs")
