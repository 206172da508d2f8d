"""The pathwise gradient of the importance-weighted bound -log mean_k exp(-f(z_k, q)) over K = samples draws.

Y. Burda, R. Grosse, R. Salakhutdinov, Importance weighted autoencoders, 2015, arXiv:1509.00519.
"""

from torch.distributions import Distribution

from estimators.base import Estimate, Estimator, Objective
from estimators.bounds import log_mean_exp
from estimators.distributions import live, rsample
from estimators.entry import one_a_sample
from estimators.noise import Noise
from estimators.registry import register


@register(
    "iwae-reparameterization",
    capability="rsample",
    method="pathwise",
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
        surrogate = -log_mean_exp(-f(z, live(q)))
        return Estimate(surrogate, surrogate.detach())
