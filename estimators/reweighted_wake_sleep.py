"""Reweighted wake-sleep, the wake update of phi: an objective of its own for q.

J. Bornschein, Y. Bengio, Reweighted wake-sleep, 2014, arXiv:1406.2751; T. A. Le, A. R. Kosiorek, N. Siddharth,
Y. W. Teh, F. Wood, Revisiting reweighted wake-sleep, 2018, arXiv:1805.10469. With weights log w_k = -f(z_k, q) and
v_k = w_k / sum_j w_j, theta follows the importance-weighted bound, sum_k v_k grad log w_k, but q's parameters follow
-sum_k v_k grad log q(z_k), the self-normalised estimate of the gradient of KL(p(z | x) || q(z)).

Hence the declared bias: in phi this is the gradient of another objective than the bound, and only asymptotically, in K,
of the inclusive divergence. Both vanish together where q is the posterior. The score carries no signal larger than 1.
"""

from torch.distributions import Distribution

from estimators.base import Estimate, Estimator, Objective
from estimators.bounds import log_mean_exp
from estimators.distributions import sample, scored, stopped
from estimators.entry import one_a_sample
from estimators.noise import Noise
from estimators.registry import register


@register(
    "reweighted-wake-sleep",
    capability="score",
    method="score function",
    unbiased=False,
    bound="iwae",
    samples=(2, 5),
    f_evals=one_a_sample,
    needs="neither",
    summary="wake update of q: weighted log-likelihood of its own draws, an objective other than the bound",
    paper="Bornschein and Bengio 2014, arXiv:1406.2751; Le et al. 2018, arXiv:1805.10469",
)
class ReweightedWakeSleep(Estimator):
    """Wake-theta and wake-phi from the same draws."""

    def estimate(self, q: Distribution, f: Objective, noise: Noise) -> Estimate:
        z = sample(q, self.samples, noise)
        log_weights = -f(z, stopped(q))  # K x *B
        bound = log_mean_exp(log_weights)
        share = log_weights.detach().softmax(0)
        surrogate = -scored(q, z, share) - bound
        return Estimate(surrogate, -bound.detach())
