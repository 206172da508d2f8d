"""Double control variates: leave-one-out, with linear terms from the gradient of f at the other draws.

M. K. Titsias, J. Shi, Double control variates for gradient estimation in discrete latent variable models, 2021,
arXiv:2111.05300. With g_k the mean of f' over the draws but the k-th, leave-one-out is taken of
f(b_k) + alpha g_k (b_k - theta) instead of f(b_k), and the mean of what this adds, alpha f'(b_k) theta (1 - theta)
averaged over the draws, is taken away. alpha, unbounded, learns by the square of the estimate from 0, which is
leave-one-out; near -1 the linear part of f is gone.
"""

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from estimators.base import Estimate, Estimator, Objective
from estimators.distributions import parameters, row_shape, sample, scores, stopped
from estimators.entry import one_a_sample
from estimators.noise import Noise
from estimators.parts.baselines import LeaveOneOut
from estimators.parts.controls import costs_and_derivatives, learns, rows_of, weighted
from estimators.parts.sizes import Resizable, Sizes
from estimators.registry import register


@register(
    "double-cv",
    families=("bernoulli",),
    method="control variate",
    unbiased=True,
    own_parameters=True,
    samples=(2, 2),
    f_evals=one_a_sample,
    needs="gradient of f",
    summary="leave-one-out with a linear control from the gradient of f at the other draws",
    paper="Titsias and Shi 2021, arXiv:2111.05300",
)
class DoubleCV(Resizable, Estimator):
    """Double control variates on leave-one-out; `scale` is where alpha starts."""

    def __init__(self, samples: int = 2, scale: float = 0.0) -> None:
        super().__init__(samples)
        self.scale, self.leave_one_out = float(scale), LeaveOneOut()
        self.alpha = nn.Parameter(torch.full((1,), self.scale))

    def set_sizes(self, sizes: Sizes) -> None:
        self.resize(self.alpha, torch.full((*sizes.stack, 1), self.scale))

    def estimate(self, q: Distribution, f: Objective, noise: Noise) -> Estimate:
        b = sample(q, self.samples, noise)
        cost, gradient = costs_and_derivatives(f, b, stopped(q))  # S x *B, S x *B x D
        logits = parameters(q)[0].detach()
        (score,), variance = scores(q, b), logits.sigmoid() * (-logits).sigmoid()
        others = (gradient.sum(0) - gradient) / (self.samples - 1)
        linear = (others * score).sum(-1)  # S x *B; a bit's score is b - theta

        def leave_one_out(signal: Tensor) -> Tensor:
            advantage: Tensor = self.leave_one_out(signal, None)[0]
            return (advantage.unsqueeze(-1) * score).mean(0)

        plain = leave_one_out(cost.detach())
        control = leave_one_out(linear) - gradient.mean(0) * variance  # *B x D, of mean zero
        learning = learns(self)
        with torch.set_grad_enabled(learning):
            alpha = rows_of(self.alpha, row_shape(q)).to(control).unsqueeze(-1)
            estimate = plain + alpha * control
            loss = estimate.square().sum(-1) if learning else None
        return Estimate(weighted(estimate, q) + cost.mean(0), cost.detach().mean(0), loss)
