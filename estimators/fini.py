"""Fini-2: a pathwise gradient of Poisson draws that is exact for f of second degree in each latent.

He and Wu, Fini, 2026: finite-order exact pathwise gradients. In the logarithm of the rate, f'(z) is weighed by
(z + rate) / 2, of all weights that are affine in z the only one that is right for f = z and for f = z^2:

    d E[z] / dlog rate   = rate              = E[(z + rate) / 2]
    d E[z^2] / dlog rate = 2 rate^2 + rate   = E[2 z (z + rate) / 2]

f is asked at counts, where it must have a gradient. Biased for other f: of z^3 the answer is 3 rate^3 + 6 rate^2 + 3/2
rate, where rate^1 should have the factor 1. The draws need no relaxation, and there is no temperature.
"""

from torch.distributions import Distribution

from estimators.base import Estimate, Estimator, Objective
from estimators.distributions import parameters, sample
from estimators.entry import one_a_sample
from estimators.noise import Noise
from estimators.registry import register
from estimators.straight_through import passed_through


@register(
    "fini",
    families=("poisson",),
    method="straight-through",
    unbiased=False,
    f_evals=one_a_sample,
    needs="gradient of f",
    summary="gradient of f at the draw, weighed so that it is exact for quadratic f (Fini-2)",
    paper="He and Wu 2026, Fini-2",
)
class Fini(Estimator):
    """f's gradient at counts."""

    def estimate(self, q: Distribution, f: Objective, noise: Noise) -> Estimate:
        z = sample(q, self.samples, noise)  # S x *B x D
        (rate,) = parameters(q)
        fixed = rate.detach()
        return passed_through(q, f, z, (z + fixed) / (2 * fixed) * rate)
