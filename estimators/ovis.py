"""OVIS~: the score function of the importance-weighted bound with the asymptotically optimal control variate.

V. Lievin, A. Dittadi, A. Christensen, O. Winther, Optimal variance control of the score-function gradient estimator for
importance-weighted bounds, 2020, arXiv:2008.01998. With weights log w_k = -f(z_k, q), v_k = w_k / sum_j w_j and the
bound L = log mean_k w_k, the gradient is sum_k (L - c_k) grad log q(z_k) + sum_k v_k grad log w_k, where
c_k = log(mean_{l != k} w_l) - gamma v_k + (1 - gamma) log(1 - 1/K).

gamma = 1 is optimal where many weights share the sum, gamma = 0 where one has it all. Only gamma = 0 is unbiased: else
c_k holds the draw's own weight, and the mean is off by gamma times that of reweighted wake-sleep's gradient.
"""

import math

from torch import Tensor

from estimators.entry import one_a_sample
from estimators.iwae_score import IWAEScore, log_sum_of_others
from estimators.registry import register


@register(
    "ovis",
    capability="score",
    method="score function",
    unbiased=True,
    bound="iwae",
    samples=(2, 5),
    f_evals=one_a_sample,
    needs="neither",
    biased_options={"gamma": "puts the draw's own weight into its control variate"},
    variants=({"gamma": 1.0},),
    summary="score function of the importance-weighted bound, asymptotically optimal control variate; gamma in [0, 1]",
    paper="Lievin, Dittadi, Christensen and Winther 2020, arXiv:2008.01998",
)
class OVIS(IWAEScore):
    """OVIS~ at gamma in [0, 1]; the paper's experiments favour the biased gamma = 1."""

    def __init__(self, samples: int = 5, gamma: float = 0.0) -> None:
        super().__init__(samples)
        if not 0 <= gamma <= 1:
            raise ValueError(f"gamma must lie in [0, 1], got {gamma}")
        self.gamma = gamma

    def signal(self, log_weights: Tensor, bound: Tensor) -> Tensor:
        """L - c_k, [K, *B]; at gamma = 0 the weight of a draw is left out of the sum, and nothing takes its place."""
        others = log_sum_of_others(log_weights) - math.log(self.samples)
        left_out = math.log1p(-1 / self.samples)
        return bound - others + self.gamma * (log_weights.softmax(0) + left_out)
