"""Sticking the landing: the pathwise gradient without the score term, by stopping q's parameters inside f.

G. Roeder, Y. Wu, D. Duvenaud, Sticking the landing, 2017, arXiv:1703.09194. Its noise vanishes where q is the exact
posterior. Unbiased for the ELBO; for an importance-weighted bound of more than one sample the dropped term has a mean.
"""

from torch.distributions import Distribution

from estimators.base import Estimate, Estimator, Objective
from estimators.distributions import rsample, stopped
from estimators.entry import one_a_sample
from estimators.noise import Noise
from estimators.registry import register


@register(
    "sticking-the-landing",
    capability="rsample",
    method="pathwise",
    unbiased=True,
    f_evals=one_a_sample,
    needs="gradient of f",
    summary="pathwise gradient with the score of log q dropped",
    paper="Roeder, Wu and Duvenaud 2017, arXiv:1703.09194",
)
class StickingTheLanding(Estimator):
    """The pathwise gradient with stopped parameters in f."""

    def estimate(self, q: Distribution, f: Objective, noise: Noise) -> Estimate:
        z = rsample(q, self.samples, noise)
        surrogate = f(z, stopped(q)).mean(0)
        return Estimate(surrogate, surrogate.detach())
