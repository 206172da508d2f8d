"""An estimator of a third party, in one file: the local expectation of one unit at a time, all others drawn.

For Bernoulli unit i the gradient is theta_i (1 - theta_i) (f(b_i = 1) - f(b_i = 0)) with the other units drawn from q;
M. K. Titsias, M. Lazaro-Gredilla, Local expectation gradients for black box variational inference, 2015,
arXiv:1503.01494.
"""

import torch

from estimators import Estimate, Estimator, register
from estimators.distributions import parameters, sample, stopped


@register("halfway", families=("bernoulli",), unbiased=True)
class Halfway(Estimator):
    """Local expectation gradients; f is evaluated twice a unit and sample."""

    def estimate(self, q, f, noise):
        (logits,) = parameters(q)
        z = sample(q, self.samples, noise)
        theta, units = logits.detach().sigmoid(), logits.shape[-1]
        weight = []
        for unit in range(units):
            pair = z.repeat(2, *[1] * (z.dim() - 1))
            pair[: len(z), ..., unit], pair[len(z) :, ..., unit] = 1, 0
            on, off = f(pair, stopped(q)).detach().chunk(2)
            weight.append((on - off).mean(0))
        gradient = theta * (1 - theta) * torch.stack(weight, -1)
        cost = f(z, stopped(q)).mean(0)
        return Estimate((gradient * logits).sum(-1) + cost, cost.detach())
