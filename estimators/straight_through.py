"""Straight-through: f at a Bernoulli draw, its gradient passed through as if the draw were its mean.

Y. Bengio, N. Leonard, A. Courville, Estimating or propagating gradients through stochastic neurons, 2013,
arXiv:1308.3432. The gradient is theta (1 - theta) f'(b): exact for affine f, biased otherwise.
"""

from torch import Generator, Tensor
from torch.distributions import Distribution

from estimators.base import Estimate, Estimator, Objective
from estimators.distributions import parameters, sample, stopped
from estimators.registry import one_a_sample, register


@register(
    "straight-through",
    families=("bernoulli",),
    unbiased=False,
    f_evals=one_a_sample,
    needs="gradient of f",
    summary="gradient of f at the draw, passed to the mean",
    paper="Bengio, Leonard and Courville 2013, arXiv:1308.3432",
)
class StraightThrough(Estimator):
    """Straight-through of the mean."""

    def forward(
        self,
        q: Distribution,
        f: Objective,
        *,
        generator: Generator | None = None,
        context: Tensor | None = None,
    ) -> Estimate:
        """See `Estimator.forward`."""
        mean = parameters(q)[0].sigmoid()
        z = sample(q, self.samples, generator) + (mean - mean.detach())  # exactly the draw, with the mean's gradient
        surrogate = f(z, stopped(q)).mean(0)
        return Estimate(surrogate, surrogate.detach())
