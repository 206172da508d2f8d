"""Local DisARM and ARMS: the importance-weighted bound, one draw of it after another replaced by antithetic ones.

Z. Dong, A. Mnih, G. Tucker, DisARM, 2020, arXiv:2006.10680, section on multi-sample bounds; A. Dimitriev, M. Zhou,
ARMS, 2021, arXiv:2105.14141. With log w = -f(b, q) and L = log mean_k w_k of K independent draws, L(k, b') is L with
draw k replaced by b'. Given the others, L(k, .) is a function of one draw, of which DisARM takes the pair b_k and its
antithetic one, and ARMS K antithetic draws, the same for every k. The sum over k is the gradient: the ARMS authors'
code takes the mean instead, which is off by K. Antithetic draws inside the bound itself would change the bound.
"""

import math

import torch
from torch.distributions import Distribution

from estimators.arms import antithetic_bits
from estimators.base import Estimate, Estimator, Objective
from estimators.bounds import log_mean_exp
from estimators.distributions import live, parameters, sample, stopped
from estimators.errors import BadInput, unknown
from estimators.iwae_score import log_sum_of_others
from estimators.noise import Noise
from estimators.parts.copula import COPULAS
from estimators.parts.pairs import pairs
from estimators.registry import register


@register(
    "disarm-iwae",
    families=("bernoulli",),
    method="coupled draws",
    unbiased=True,
    bound="iwae",
    samples=(1, 5),
    f_evals=lambda samples: 2 * samples,
    needs="neither",
    summary="local DisARM: an antithetic copy of each draw of the importance-weighted bound",
    paper="Dong, Mnih and Tucker 2020, arXiv:2006.10680",
)
class LocalDisARM(Estimator):
    """K draws and an antithetic copy of each."""

    def estimate(self, q: Distribution, f: Objective, noise: Noise) -> Estimate:
        """q keeps its graph inside f: under this bound the direct gradient of f has a mean."""
        (logits,) = parameters(q)
        with torch.no_grad():
            _, b, antithetic = pairs(logits, self.samples, noise)  # K x *B x D
            replaced = -f(antithetic, stopped(q))  # K x *B
        log_weights = -f(b, live(q))
        total = log_weights.logsumexp(0)
        with torch.no_grad():
            gap = total - torch.logaddexp(log_sum_of_others(log_weights), replaced)  # L(k, b_k) - L(k, b'_k)
            weight = 0.5 * gap.unsqueeze(-1) * (b - antithetic) * logits.abs().sigmoid()
        bound = total - math.log(self.samples)
        return Estimate(-(weight.sum(0) * logits).sum(-1) - bound, -bound.detach())


@register(
    "arms-iwae",
    families=("bernoulli",),
    method="coupled draws",
    unbiased=True,
    bound="iwae",
    samples=(2, 5),
    f_evals=lambda samples: 2 * samples,
    needs="neither",
    variants=({"copula": "gaussian"},),
    summary="local ARMS: antithetic draws in the place of each draw of the importance-weighted bound",
    paper="Dimitriev and Zhou 2021, arXiv:2105.14141",
)
class LocalARMS(Estimator):
    """K independent draws, which make the bound, and K antithetic ones that take the place of each."""

    def __init__(self, samples: int = 5, copula: str = "dirichlet") -> None:
        super().__init__(samples)
        if copula not in COPULAS:
            raise BadInput(unknown("copula", copula, list(COPULAS)))
        self.copula = copula

    def estimate(self, q: Distribution, f: Objective, noise: Noise) -> Estimate:
        """q keeps its graph inside f: under this bound the direct gradient of f has a mean."""
        (logits,) = parameters(q)
        count = self.samples
        with torch.no_grad():
            b = sample(q, count, noise)  # K x *B x D
            antithetic, factor = antithetic_bits(logits, count, self.copula, noise)
            replacing = -f(antithetic, stopped(q))  # K x *B
        log_weights = -f(b, live(q))
        with torch.no_grad():
            replaced = torch.logaddexp(log_sum_of_others(log_weights).unsqueeze(1), replacing)  # L(k, b'_i), k x i x *B
            signal = (replaced - replaced.mean(1, keepdim=True)).sum(0) / (count - 1)  # K x *B
            weight = (signal.unsqueeze(-1) * antithetic).sum(0) * factor
        bound = log_mean_exp(log_weights)
        return Estimate(-(weight * logits).sum(-1) - bound, -bound.detach())
