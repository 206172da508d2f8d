"""Sticking the landing for the importance-weighted bound: its pathwise gradient with q's parameters stopped inside f.

G. Roeder, Y. Wu, D. Duvenaud, Sticking the landing, 2017, arXiv:1703.09194. Biased for more than one sample: the score
of log q that is dropped is multiplied by a normalised weight that depends on the same draw, and has a mean. Squaring
the weights mends it: see `dreg`. Theta's gradient is that of `iwae-reparameterization`.
"""

from torch.distributions import Distribution

from estimators.base import Estimate, Estimator, Objective
from estimators.bounds import log_mean_exp
from estimators.distributions import rsample, stopped
from estimators.entry import one_a_sample
from estimators.noise import Noise
from estimators.registry import register


@register(
    "iwae-sticking-the-landing",
    capability="rsample",
    method="pathwise",
    unbiased=False,
    bound="iwae",
    samples=(1, 5),
    f_evals=one_a_sample,
    needs="gradient of f",
    summary="pathwise gradient of the importance-weighted bound with the score of log q dropped",
    paper="Roeder, Wu and Duvenaud 2017, arXiv:1703.09194",
)
class IWAEStickingTheLanding(Estimator):
    """The pathwise gradient of the K-sample bound with stopped parameters in f; exact in mean for K = 1."""

    def estimate(self, q: Distribution, f: Objective, noise: Noise) -> Estimate:
        z = rsample(q, self.samples, noise)
        surrogate = -log_mean_exp(-f(z, stopped(q)))
        return Estimate(surrogate, surrogate.detach())
