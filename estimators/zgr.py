"""ZGR: the mean of straight-through and DARN, which is Gumbel-Rao in the limit of temperature zero.

A. Shekhovtsov, Cold analysis of Rao-Blackwellized straight-through Gumbel-softmax gradient estimator, ICML 2023; DARN
is of K. Gregor, I. Danihelka, A. Mnih, C. Blundell, D. Wierstra, Deep autoregressive networks, 2014, arXiv:1310.8499.
With p the mean of q, z the draw and f' the gradient of f there, latent by latent:

    straight-through   p * (f' - p . f')         the linearised f's mean, differentiated
    DARN               (f' . (z - p)) (z - p)    score function, its baseline f extrapolated from the draw to the mean

Their errors on quadratic f are opposite, so that the mean of the two is exact there; it equals ReinMax at temperature
1, draw by draw.
"""

from torch.distributions import Distribution

from estimators.base import Estimate, Estimator, Objective
from estimators.distributions import parameters, sample
from estimators.entry import one_a_sample
from estimators.families import Relaxed, capable
from estimators.noise import Noise
from estimators.registry import register
from estimators.straight_through import passed_through


@register(
    "zgr",
    capability="relaxation",
    method="straight-through",
    unbiased=False,
    f_evals=one_a_sample,
    needs="gradient of f",
    summary="mean of straight-through and DARN, exact for quadratic f",
    paper="Shekhovtsov 2023, ICML",
)
class ZGR(Estimator):
    """The zero-temperature Gumbel-Rao estimator."""

    def estimate(self, q: Distribution, f: Objective, noise: Noise) -> Estimate:
        family = capable(q, Relaxed)
        (logits,) = parameters(q)
        z = sample(q, self.samples, noise)
        log_q = family.log_prob_of_latents(logits, z)
        mean = family.mean_of(logits)
        return passed_through(q, f, z, 0.5 * (mean + (z - mean.detach()) * log_q))
