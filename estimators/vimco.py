"""VIMCO: the score function of the importance-weighted bound, each draw with a baseline made of the others.

A. Mnih, D. J. Rezende, Variational inference for Monte Carlo objectives, 2016, arXiv:1602.06725. With weights
log w_k = -f(z_k, q), the bound L = log mean_k w_k and L_{-k} the same with w_k replaced by the geometric or the
arithmetic mean of the other weights, the gradient is
sum_k (L - L_{-k}) grad log q(z_k) + sum_k w_k / sum_j w_j grad log w_k.
"""

import math

from torch import Tensor

from estimators.entry import one_a_sample
from estimators.errors import BadInput, unknown
from estimators.iwae_score import IWAEScore, log_sum_of_others, log_sum_with_geometric_mean
from estimators.registry import register

MEANS = ("geometric", "arithmetic")


@register(
    "vimco",
    capability="score",
    method="score function",
    unbiased=True,
    bound="iwae",
    samples=(2, 5),
    f_evals=one_a_sample,
    needs="neither",
    variants=({"mean": "arithmetic"},),
    summary="score function of the importance-weighted bound, leave-one-out baseline; mean = geometric | arithmetic",
    paper="Mnih and Rezende 2016, arXiv:1602.06725",
)
class VIMCO(IWAEScore):
    """VIMCO with the geometric or the arithmetic mean of the other weights."""

    def __init__(self, samples: int = 5, mean: str = "geometric") -> None:
        super().__init__(samples)
        if mean not in MEANS:
            raise BadInput(unknown("mean", mean, MEANS))
        self.mean = mean

    def signal(self, log_weights: Tensor, bound: Tensor) -> Tensor:
        """L - L_{-k}, [K, *B]."""
        if self.mean == "arithmetic":  # with w_k replaced by it, the mean of all is the mean of the others
            return bound - log_sum_of_others(log_weights) + math.log(self.samples - 1)
        return bound - log_sum_with_geometric_mean(log_weights) + math.log(self.samples)
