"""VIMCO: the score function of the importance-weighted bound, each draw with a baseline made of the others.

A. Mnih, D. J. Rezende, Variational inference for Monte Carlo objectives, 2016, arXiv:1602.06725. With weights
log w_k = -f(z_k, q), the bound L = log mean_k w_k and L_{-k} the same with w_k replaced by the geometric mean of the
other weights, the gradient is sum_k (L - L_{-k}) grad log q(z_k) + sum_k w_k / sum_j w_j grad log w_k.
"""

import math

import torch
from torch import Generator, Tensor
from torch.distributions import Distribution

from estimators.base import Estimate, Estimator, Objective
from estimators.distributions import live, log_prob, sample
from estimators.registry import one_a_sample, register


@register(
    "vimco",
    families=("gaussian", "bernoulli", "categorical"),
    unbiased=True,
    bound="iwae",
    samples=(2, 5),
    f_evals=one_a_sample,
    needs="neither",
    summary="score function of the importance-weighted bound, leave-one-out geometric baseline",
    paper="Mnih and Rezende 2016, arXiv:1602.06725",
)
class VIMCO(Estimator):
    """VIMCO with the geometric mean."""

    def __init__(self, samples: int = 5) -> None:
        super().__init__(samples)

    def forward(
        self,
        q: Distribution,
        f: Objective,
        *,
        generator: Generator | None = None,
        context: Tensor | None = None,
    ) -> Estimate:
        """See `Estimator.forward`; q stays live in f, whose direct gradient has a mean under this bound."""
        count = self.samples
        z = sample(q, count, generator)
        log_weights = -f(z, live(q))  # K x *B
        bound = log_weights.logsumexp(0) - math.log(count)
        with torch.no_grad():
            # Dim 0 is the draw left out, dim 1 runs over the weights. Masking, not subtracting: the sum of the others
            # is lost to rounding where the one left out dominates.
            own = torch.eye(count, dtype=torch.bool, device=log_weights.device)
            own = own.reshape(count, count, *[1] * (log_weights.dim() - 1))
            others = log_weights.expand(count, *log_weights.shape)
            geometric = others.masked_fill(own, 0.0).sum(1) / (count - 1)  # K x *B
            without = torch.where(own, geometric.unsqueeze(1), others).logsumexp(1) - math.log(count)
            signal = bound - without
        surrogate = -(signal * log_prob(live(q), z)).sum(0) - bound
        return Estimate(surrogate, -bound.detach())
