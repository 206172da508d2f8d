"""DisARM, also U2G: an antithetic pair of Bernoulli draws, with the uniform noise behind it integrated out.

Z. Dong, A. Mnih, G. Tucker, DisARM: an antithetic gradient estimator for binary latent variables, 2020,
arXiv:2006.10680; M. Yin, N. Ho, B. Yan, X. Qian, M. Zhou, 2020 (U2G). For a pair b, b' coupled by u and 1 - u:
(f(b) - f(b')) / 2 * (-1)^b' * 1[b != b'] * sigmoid(|logits|), unit by unit.
"""

import torch
from torch.distributions import Distribution

from estimators.base import Estimate, Estimator, Objective
from estimators.distributions import parameters, stopped
from estimators.entry import one_a_sample
from estimators.noise import Noise
from estimators.parts.pairs import pairs
from estimators.registry import register


@register(
    "disarm",
    families=("bernoulli",),
    method="coupled draws",
    unbiased=True,
    samples=(2, 2, True),
    f_evals=one_a_sample,
    needs="neither",
    summary="antithetic pairs, noise integrated out",
    paper="Dong, Mnih and Tucker 2020, arXiv:2006.10680",
)
class DisARM(Estimator):
    """samples / 2 antithetic pairs."""

    def estimate(self, q: Distribution, f: Objective, noise: Noise) -> Estimate:
        (logits,) = parameters(q)
        with torch.no_grad():
            _, b, antithetic = pairs(logits, self.samples // 2, noise)  # S/2 x *B x D
        cost = f(torch.cat((b, antithetic)), stopped(q))  # S x *B
        first, second = cost.detach().chunk(2)
        sign = b - antithetic  # (-1)^b' where the two differ, else 0
        weight = 0.5 * (first - second).unsqueeze(-1) * sign * logits.detach().abs().sigmoid()
        surrogate = (weight * logits).sum(-1).mean(0) + cost.mean(0)
        return Estimate(surrogate, cost.detach().mean(0))
