"""Straight-through: f at a discrete draw, its gradient passed through as if the draw were its mean.

Y. Bengio, N. Leonard, A. Courville, Estimating or propagating gradients through stochastic neurons, 2013,
arXiv:1308.3432. With p the mean of q, the gradient is p (1 - p) f'(b) for bits, and p * (f'(z) - p . f'(z)), latent by
latent, for one-hot draws: exact for affine f, biased otherwise.
"""

from torch import Tensor
from torch.distributions import Distribution

from estimators.base import Estimate, Estimator, Objective
from estimators.distributions import mean_of, parameters, sample, stopped
from estimators.entry import one_a_sample
from estimators.noise import Noise
from estimators.registry import register


def passed_through(q: Distribution, f: Objective, z: Tensor, soft: Tensor) -> Estimate:
    """The estimate with f at the vertices z [S, *B, *event] exactly, and the gradient of `soft` for that of z."""
    surrogate = f(z + (soft - soft.detach()), stopped(q)).mean(0)
    return Estimate(surrogate, surrogate.detach())


@register(
    "straight-through",
    capability="relaxation",
    method="straight-through",
    unbiased=False,
    f_evals=one_a_sample,
    needs="gradient of f",
    summary="gradient of f at the draw, passed to the mean",
    paper="Bengio, Leonard and Courville 2013, arXiv:1308.3432",
)
class StraightThrough(Estimator):
    """Straight-through of the mean."""

    def estimate(self, q: Distribution, f: Objective, noise: Noise) -> Estimate:
        return passed_through(q, f, sample(q, self.samples, noise), mean_of(q, parameters(q)[0]))
