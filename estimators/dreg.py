"""DReG, doubly reparameterized gradients of the importance-weighted bound: the path weighted by squared weights.

G. Tucker, D. Lawson, S. Gu, C. J. Maddison, Doubly reparameterized gradient estimators for Monte Carlo objectives,
2018, arXiv:1810.04152. With weights log w_k = -f(z_k, q), normalised to sum to 1, the gradient of q's parameters is
sum_k w_k^2 df/dz dz_k/dphi with q's parameters stopped inside f, and theta's is sum_k w_k df/dtheta, as in
`iwae-reparameterization`. The score of log q is reparameterized a second time instead of dropped, which holds only
where f depends on q through + log q(z) and nothing else, as -log(p(x, z) / q(z)) does; other f are estimated wrongly.
"""

import torch
from torch import Tensor
from torch.distributions import Distribution

from estimators.base import Estimate, Estimator, Objective
from estimators.bounds import log_mean_exp
from estimators.distributions import event_dims, over_event, rsample, stopped
from estimators.entry import one_a_sample
from estimators.noise import Noise
from estimators.parts.controls import costs_and_derivatives
from estimators.registry import register


@register(
    "dreg",
    capability="rsample",
    method="pathwise",
    unbiased=True,
    bound="iwae",
    samples=(1, 5),
    f_evals=one_a_sample,
    needs="gradient of f",
    summary="doubly reparameterized gradient of the importance-weighted bound; f must hold log q",
    paper="Tucker, Lawson, Gu and Maddison 2018, arXiv:1810.04152",
)
class DReG(Estimator):
    """The K-sample bound's gradient by squared weights for q's parameters, by plain ones for theta."""

    def estimate(self, q: Distribution, f: Objective, noise: Noise) -> Estimate:
        z = rsample(q, self.samples, noise)
        if torch.compiler.is_compiling():
            return _without_a_hook(z, f, q)
        cost = f(z, stopped(q))  # K x *B
        weight = (-cost.detach()).softmax(0)
        if z.requires_grad:  # the bound has weighted this gradient once; here, between z and q's parameters, again
            z.register_hook(lambda gradient: gradient * over_event(weight, q))
        bound = -log_mean_exp(-cost)
        return Estimate(bound, bound.detach())


def _without_a_hook(z: Tensor, f: Objective, q: Distribution) -> Estimate:
    """The same, with f's gradient in z taken inside, which costs a backward pass more.

    torch.compile of 2.11 puts a hook before the first use of its tensor, and so before the weights that this one needs,
    and fails; that of 2.13 takes such hooks.
    """
    cost, gradient = costs_and_derivatives(f, z, stopped(q))
    weight = (-cost.detach()).softmax(0)
    bound = -log_mean_exp(-cost)
    path = (over_event(weight.square(), q) * gradient * z).sum((0, *event_dims(q)))
    return Estimate(bound + path - path.detach(), bound.detach())
