"""The losses whose gradient is estimated: E_q[f], called elbo, or a bound that is made of K draws of the same f.

    iwae    -log mean_k exp(-f(z_k, q)), with log w_k = -f(z_k, q) the log weights of the draws; Y. Burda, R. Grosse,
            R. Salakhutdinov, Importance weighted autoencoders, 2015, arXiv:1509.00519

A further bound is added here, with its exact value in `estimators.exact.expectation_of_bound`; docs/adding.md lists
what else it touches.
"""

import math
from typing import Literal

from torch import Tensor

Bound = Literal["elbo", "iwae"]


def log_mean_exp(log_weights: Tensor, dim: int = 0) -> Tensor:
    """log of the mean of the weights over one dim, that of the draws."""
    return log_weights.logsumexp(dim) - math.log(log_weights.shape[dim])
