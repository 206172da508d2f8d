"""The score function of the importance-weighted bound, without any baseline, and what its relatives share.

Y. Burda, R. Grosse, R. Salakhutdinov, Importance weighted autoencoders, 2015, arXiv:1509.00519; A. Mnih, D. J. Rezende,
Variational inference for Monte Carlo objectives, 2016, arXiv:1602.06725. With weights log w_k = -f(z_k, q) and the
bound L = log mean_k w_k, the gradient is sum_k s_k grad log q(z_k) + sum_k w_k / sum_j w_j grad log w_k, where s_k = L.
Unbiased too is s_k = L - b_k for any b_k made of the other draws; VIMCO and OVIS differ in it.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import Distribution

from estimators.base import Estimate, Estimator, Objective
from estimators.bounds import log_mean_exp
from estimators.distributions import live, sample, scored
from estimators.entry import one_a_sample
from estimators.noise import Noise
from estimators.registry import register


@register(
    "iwae-score",
    capability="score",
    method="score function",
    unbiased=True,
    bound="iwae",
    samples=(1, 5),
    f_evals=one_a_sample,
    needs="neither",
    summary="score function of the importance-weighted bound, no baseline",
    paper="Burda et al. 2015, arXiv:1509.00519; Mnih and Rezende 2016, arXiv:1602.06725",
)
class IWAEScore(Estimator):
    """The plain score function of the K-sample bound; subclasses change what multiplies the score."""

    def signal(self, log_weights: Tensor, bound: Tensor) -> Tensor:
        """What multiplies the score of each draw.

        Args:
            log_weights: [K, *B], detached.
            bound: [*B], detached, log mean_k w_k.

        Returns:
            A tensor that broadcasts to [K, *B].
        """
        return bound

    def estimate(self, q: Distribution, f: Objective, noise: Noise) -> Estimate:
        """q keeps its graph inside f: under this bound the direct gradient of f has a mean."""
        z = sample(q, self.samples, noise)
        log_weights = -f(z, live(q))  # K x *B
        bound = log_mean_exp(log_weights)
        signal = self.signal(log_weights.detach(), bound.detach())
        surrogate = -scored(q, z, signal) - bound
        return Estimate(surrogate, -bound.detach())


# The sum of the others is what comes before and what comes after: as the sum of all less the one left out, it would be
# lost to rounding where that one dominates.


def _around(x: Tensor, cumulate: Callable[[Tensor, int], Tensor], nothing: float) -> tuple[Tensor, Tensor]:
    """What all that comes before each of x [K, ...] cumulates to, and all that comes after it."""
    none = torch.full_like(x[:1], nothing)
    return torch.cat((none, cumulate(x[:-1], 0))), torch.cat((none, cumulate(x[1:].flip(0), 0))).flip(0)


def log_sum_of_others(log_weights: Tensor) -> Tensor:
    """log sum_{l != k} w_l, [K, *B]."""
    return torch.logaddexp(*_around(log_weights, torch.logcumsumexp, -math.inf))


def log_sum_with_geometric_mean(log_weights: Tensor) -> Tensor:
    """log of the sum of all weights, w_k being replaced by the geometric mean of the others, [K, *B]."""
    before, after = _around(log_weights, torch.cumsum, 0.0)
    return torch.logaddexp(log_sum_of_others(log_weights), (before + after) / (len(log_weights) - 1))
