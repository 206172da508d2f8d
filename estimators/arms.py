"""ARMS: leave-one-out on any number of mutually antithetic draws, divided by 1 - rho bit by bit.

A. Dimitriev, M. Zhou, ARMS: antithetic-REINFORCE-multi-sample gradient for binary variables, 2021, arXiv:2105.14141.
1/(n-1) sum_i (f_i - mean f) (b_i - theta) / (1 - rho), with rho the correlation of a bit's values in two draws. It is
DisARM for two draws and leave-one-out for independent ones.
"""

import torch
from torch import Tensor
from torch.distributions import Distribution

from estimators.base import Estimate, Estimator, Objective
from estimators.distributions import parameters, stopped
from estimators.entry import one_a_sample
from estimators.errors import BadInput, unknown
from estimators.noise import Noise
from estimators.parts.copula import COPULAS
from estimators.registry import register


@torch.no_grad()
def antithetic_bits(logits: Tensor, count: int, copula: str, noise: Noise) -> tuple[Tensor, Tensor]:
    """Bits [n, *B, D] coupled by the copula, and what RLOO's score must be multiplied by, 1 / (1 - rho) [*B, D]."""
    away = logits.abs()
    rare = COPULAS[copula].draw(count, away, noise)
    likely = (logits >= 0).to(logits.dtype)
    return (rare - likely).abs(), 1 / COPULAS[copula].decorrelation(count, away)


@register(
    "arms",
    families=("bernoulli",),
    method="coupled draws",
    unbiased=True,
    samples=(2, 4),
    f_evals=one_a_sample,
    needs="neither",
    variants=({"copula": "gaussian"}, {"copula": "independent"}),
    summary="leave-one-out on mutually antithetic draws; copula = dirichlet | gaussian | independent",
    paper="Dimitriev and Zhou 2021, arXiv:2105.14141",
)
class ARMS(Estimator):
    """Draws coupled by a Dirichlet or a Gaussian copula."""

    def __init__(self, samples: int = 4, copula: str = "dirichlet") -> None:
        super().__init__(samples)
        if copula not in COPULAS:
            raise BadInput(unknown("copula", copula, list(COPULAS)))
        self.copula = copula

    def estimate(self, q: Distribution, f: Objective, noise: Noise) -> Estimate:
        (logits,) = parameters(q)
        b, factor = antithetic_bits(logits, self.samples, self.copula, noise)
        cost = f(b, stopped(q))  # S x *B
        advantage = (cost - cost.mean(0)).detach() / (self.samples - 1)
        weight = (advantage.unsqueeze(-1) * b).sum(0) * factor  # theta drops out: the advantages sum to 0
        surrogate = (weight * logits).sum(-1) + cost.mean(0)
        return Estimate(surrogate, cost.detach().mean(0))
