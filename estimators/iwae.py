"""The pathwise gradient of the importance-weighted bound -log mean_k exp(-f(z_k, q)) over K = samples draws.

Y. Burda, R. Grosse, R. Salakhutdinov, Importance weighted autoencoders, 2015, arXiv:1509.00519.
"""

import math

from torch.distributions import Distribution

from estimators.base import Estimate, Estimator, Objective
from estimators.distributions import live, rsample
from estimators.entry import one_a_sample
from estimators.noise import Noise
from estimators.registry import register


@register(
    "iwae-reparameterization",
    capability="rsample",
    unbiased=True,
    bound="iwae",
    samples=(1, 5),
    f_evals=one_a_sample,
    needs="gradient of f",
    summary="pathwise gradient of the importance-weighted bound, total derivative",
    paper="Burda, Grosse and Salakhutdinov 2015, arXiv:1509.00519",
)
class IWAEReparameterization(Estimator):
    """The total derivative of the K-sample bound."""

    def estimate(self, q: Distribution, f: Objective, noise: Noise) -> Estimate:
        z = rsample(q, self.samples, noise)
        surrogate = math.log(self.samples) - (-f(z, live(q))).logsumexp(0)
        return Estimate(surrogate, surrogate.detach())
