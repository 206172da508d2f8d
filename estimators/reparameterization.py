"""Reparameterization, or pathwise gradient: z = loc + scale * eps, differentiated through z and through q.

D. P. Kingma, M. Welling, Auto-encoding variational Bayes, 2013, arXiv:1312.6114; D. J. Rezende, S. Mohamed, D.
Wierstra, Stochastic backpropagation, 2014, arXiv:1401.4082. This is the total derivative: where f holds log q(z), its
direct dependence on q's parameters adds a term of zero mean, which `sticking-the-landing` leaves out. For the analytic
KL divergence choose the problem's `entropy = "analytic"`.
"""

from torch.distributions import Distribution

from estimators.base import Estimate, Estimator, Objective
from estimators.distributions import live, rsample
from estimators.entry import one_a_sample
from estimators.noise import Noise
from estimators.registry import register


@register(
    "reparameterization",
    capability="rsample",
    method="pathwise",
    unbiased=True,
    f_evals=one_a_sample,
    needs="gradient of f",
    summary="pathwise gradient, total derivative",
    paper="Kingma and Welling 2013, arXiv:1312.6114; Rezende et al. 2014, arXiv:1401.4082",
)
class Reparameterization(Estimator):
    """The pathwise gradient with q's own gradient kept in f."""

    def estimate(self, q: Distribution, f: Objective, noise: Noise) -> Estimate:
        z = rsample(q, self.samples, noise)
        surrogate = f(z, live(q)).mean(0)
        return Estimate(surrogate, surrogate.detach())
