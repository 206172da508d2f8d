"""MuProp: the score function, with the first-order Taylor expansion of f at q's mean as a control variate.

S. Gu, S. Levine, I. Sutskever, A. Mnih, MuProp: unbiased backpropagation for stochastic neural networks, 2015,
arXiv:1511.05176. With m the mean of q: (f(b) - f(m) - f'(m) (b - m)) grad log q(b) + f'(m) grad m. No noise is left
where f is affine.
"""

from torch.distributions import Distribution

from estimators.base import Estimate, Estimator, Objective
from estimators.distributions import event_dims, mean_of, parameters, sample, scored, stopped
from estimators.noise import Noise
from estimators.parts.controls import costs_and_derivatives
from estimators.registry import register


@register(
    "muprop",
    capability="relaxation",
    method="control variate",
    unbiased=True,
    f_evals=lambda samples: samples + 1,
    needs="relaxed f",
    summary="score function with f's Taylor expansion at the mean as control",
    paper="Gu, Levine, Sutskever and Mnih 2015, arXiv:1511.05176",
)
class MuProp(Estimator):
    """MuProp without a further baseline."""

    def estimate(self, q: Distribution, f: Objective, noise: Noise) -> Estimate:
        """F at the mean carries no gradient of theta."""
        mean = mean_of(q, parameters(q)[0])
        b = sample(q, self.samples, noise)
        cost = f(b, stopped(q))  # S x *B
        there, gradient = costs_and_derivatives(f, mean.unsqueeze(0), stopped(q))  # 1 x *B, 1 x *B x *event
        affine = there.detach() + (gradient * (b - mean.detach())).sum(event_dims(q))
        signal = cost.detach() - affine
        surrogate = scored(q, b, signal / self.samples) + cost.mean(0) + (gradient[0] * mean).sum(event_dims(q))
        return Estimate(surrogate, cost.detach().mean(0))
