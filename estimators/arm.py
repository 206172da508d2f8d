"""AR and ARM: REINFORCE on the uniform noise behind Bernoulli draws, for single draws and for antithetic pairs.

M. Yin, M. Zhou, ARM: augment-REINFORCE-merge gradient for stochastic binary networks, 2018, arXiv:1807.11143. AR is
f(1[u < sigmoid(logits)]) (1 - 2u). ARM is the mean of AR at u and at 1 - u:
(f(1[u > sigmoid(-logits)]) - f(1[u < sigmoid(logits)])) (u - 1/2). DisARM integrates out what is left of u in it.
"""

import torch
from torch.distributions import Distribution

from estimators.base import Estimate, Estimator, Objective
from estimators.distributions import parameters, stopped
from estimators.entry import one_a_sample
from estimators.families.logits import below
from estimators.noise import Noise
from estimators.parts.pairs import pairs
from estimators.registry import register


@register(
    "augment-reinforce",
    families=("bernoulli",),
    method="coupled draws",
    unbiased=True,
    f_evals=one_a_sample,
    needs="neither",
    summary="AR: score function of the uniform noise instead of the bits",
    paper="Yin and Zhou 2018, arXiv:1807.11143",
)
class AugmentReinforce(Estimator):
    """Independent draws, without a baseline."""

    def estimate(self, q: Distribution, f: Objective, noise: Noise) -> Estimate:
        (logits,) = parameters(q)
        with torch.no_grad():
            drawn = noise.odds(self.samples, logits)
            b = below(drawn, logits.exp())  # S x *B x D
            u = drawn / (1 + drawn)
        cost = f(b, stopped(q))  # S x *B
        weight = cost.detach().unsqueeze(-1) * (1 - 2 * u)
        surrogate = ((weight * logits).sum(-1) + cost).mean(0)
        return Estimate(surrogate, cost.detach().mean(0))


@register(
    "arm",
    families=("bernoulli",),
    method="coupled draws",
    unbiased=True,
    samples=(2, 2, True),
    f_evals=one_a_sample,
    needs="neither",
    summary="antithetic pairs, score function of the uniform noise",
    paper="Yin and Zhou 2018, arXiv:1807.11143",
)
class ARM(Estimator):
    """samples / 2 antithetic pairs."""

    def estimate(self, q: Distribution, f: Objective, noise: Noise) -> Estimate:
        (logits,) = parameters(q)
        with torch.no_grad():
            drawn, b, antithetic = pairs(logits, self.samples // 2, noise)  # S/2 x *B x D
            u = drawn / (1 + drawn)
        cost = f(torch.cat((antithetic, b)), stopped(q))  # S x *B
        first, second = cost.detach().chunk(2)
        weight = (first - second).unsqueeze(-1) * (u - 0.5)
        surrogate = (weight * logits).sum(-1).mean(0) + cost.mean(0)
        return Estimate(surrogate, cost.detach().mean(0))
