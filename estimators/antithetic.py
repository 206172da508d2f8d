"""Antithetic reparameterization: pathwise gradients at pairs loc + scale * eps and loc - scale * eps.

J. M. Hammersley, K. W. Morton, A new Monte Carlo technique: antithetic variates, 1956; for pathwise gradients S.
Mohamed, M. Rosca, M. Figurnov, A. Mnih, Monte Carlo gradient estimation in machine learning, 2019, arXiv:1906.10652.
Each draw of a pair has q's own law, so that the mean stays exact; what is odd in eps cancels: all noise of loc's
gradient where f is quadratic, all noise where f is linear. The total derivative is taken, as in `reparameterization`.
"""

import torch
from torch.distributions import Distribution

from estimators.base import Estimate, Estimator, Objective
from estimators.distributions import live, parameters
from estimators.entry import one_a_sample
from estimators.noise import Noise
from estimators.registry import register


@register(
    "antithetic-reparameterization",
    families=("gaussian",),
    method="pathwise",
    unbiased=True,
    samples=(2, 2, True),
    f_evals=one_a_sample,
    needs="gradient of f",
    summary="pathwise gradient at antithetic pairs, total derivative",
    paper="Hammersley and Morton 1956; Mohamed et al. 2019, arXiv:1906.10652",
)
class AntitheticReparameterization(Estimator):
    """samples / 2 antithetic pairs."""

    def estimate(self, q: Distribution, f: Objective, noise: Noise) -> Estimate:
        loc, scale = parameters(q)
        eps = noise.normal(self.samples // 2, loc)
        z = loc + scale * torch.cat((eps, -eps))
        surrogate = f(z, live(q)).mean(0)
        return Estimate(surrogate, surrogate.detach())
