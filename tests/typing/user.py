"""A person's own program, checked by `mypy --strict`: what is right passes, and what is marked must be refused.

An `ignore` that nothing needs is an error, so that each of them is a test.
"""

from typing import assert_type

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Distribution

import gradest


def f(z: Tensor, q: Distribution) -> Tensor:
    """A cost."""
    return z.sum(-1)


def of_z_alone(z: Tensor) -> Tensor:
    """No cost: it takes no q."""
    return z.sum(-1)


def of_a_word(z: Tensor, q: Distribution) -> str:
    """No cost: it returns no tensor."""
    return "cost"


q = Bernoulli(logits=torch.zeros(3, 2))
estimator = gradest.create("rloo", samples=4)
assert_type(estimator, gradest.Estimator)
estimate = estimator(q, f)
assert_type(estimate, gradest.Estimate)
assert_type(estimate.loss(), Tensor)
assert_type(gradest.get("rloo"), gradest.Entry)
assert_type(gradest.check("rloo", draws=1024), gradest.Certificate)
assert_type(gradest.examine(q, f), gradest.Examination)
assert_type(gradest.gradient_moments(estimator, q, f), gradest.GradientMoments)
assert_type(gradest.exact_moments(estimator, q, f), gradest.ExactMoments)

point = gradest.Point(q, f, closed_form=lambda q: torch.zeros(3), through=[torch.zeros(1)])
comparison = gradest.compare(point, ["rloo", estimator], f_evals=4)
assert_type(comparison, gradest.Comparison)
assert_type(comparison.best("mse x seconds"), gradest.Best)
assert_type(comparison.skipped, dict[str, str])
gradest.compare((q, f), "rloo")
gradest.compare(lambda: point, draws=100)


@gradest.register("mine", families=("bernoulli",), unbiased=False)
class Mine(gradest.Estimator):
    """An estimator of one's own."""

    def estimate(self, q: Distribution, f: gradest.Objective, noise: gradest.Noise) -> gradest.Estimate:
        """The method."""
        cost = f(noise.uniform(self.samples, torch.zeros(3, 2)), q).mean(0)
        return gradest.Estimate(cost, cost.detach())


estimator(f, q)  # type: ignore[arg-type]
estimator(q, of_z_alone)  # type: ignore[arg-type]
estimator(q, of_a_word)  # type: ignore[arg-type]
estimator(q, f, seed=0)  # type: ignore[call-arg]
estimator(q, f, generator=0)  # type: ignore[arg-type]
gradest.create(gradest.get)  # type: ignore[arg-type]
gradest.create("rloo", samples="4")  # type: ignore[arg-type]
gradest.compare(point, draws="many")  # type: ignore[arg-type]
gradest.compare(3)  # type: ignore[arg-type]
gradest.compare(point, [3])  # type: ignore[list-item]
gradest.Point(q, of_z_alone)  # type: ignore[arg-type]
comparison.best("speed")  # type: ignore[arg-type]
comparison.plot("table")  # type: ignore[arg-type]
estimate.loss(3)  # type: ignore[call-arg]
gradest.comparee(point)  # type: ignore[attr-defined]
