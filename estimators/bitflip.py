"""Bitflip-1 and UGC: the exact difference of one random bit, which stays calm where q is nearly certain.

R. Z. Kunes, M. Yin, M. Land, D. Haviv, D. Pe'er, S. Tavare, Gradient estimation for binary latent variables via
gradient variance clipping, 2022, arXiv:2208.06124. With bit i taken with chance pi_i and the other bits drawn:
theta_i (1 - theta_i) / pi_i * (f(b_i = 1) - f(b_i = 0)). Where costs differ by at most R, the second moment of a bit
whose rarer value has chance m is at most R^2 (1 - m)^2 m^2 / pi, and DisARM's R^2 (1 - m)^2 m / 2: UGC takes bitflip-1
for the bits with m < 1 / (2 D), and DisARM for the others.
"""

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.nn import functional as F

from estimators.base import Estimate, Estimator, Objective
from estimators.distributions import parameters, sample, stopped
from estimators.entry import one_a_sample
from estimators.errors import BadInput, unknown
from estimators.families.logits import one_hot_argmax
from estimators.noise import Noise
from estimators.parts.pairs import pairs
from estimators.registry import register

PROPOSALS = ("uniform", "variance")


def choose(log_chances: Tensor, count: int, noise: Noise) -> Tensor:
    """One bit a draw, as one-hot [count, *B, D], from log chances [*B, D] up to a constant: a race of exponentials."""
    return one_hot_argmax(log_chances + noise.gumbel(count, log_chances))


@register(
    "bitflip",
    families=("bernoulli",),
    method="local differences",
    unbiased=True,
    samples=(2, 2, True),
    f_evals=one_a_sample,
    needs="neither",
    variants=({"proposal": "variance"},),
    summary="bitflip-1: one random bit both ways; proposal = uniform | variance",
    paper="Kunes et al. 2022, arXiv:2208.06124",
)
class Bitflip(Estimator):
    """samples / 2 draws, each with one of its bits both ways.

    Proposal uniform takes every bit equally often, variance in proportion to theta (1 - theta).
    """

    def __init__(self, samples: int = 2, proposal: str = "uniform") -> None:
        super().__init__(samples)
        if proposal not in PROPOSALS:
            raise BadInput(unknown("proposal", proposal, PROPOSALS))
        self.proposal = proposal

    def estimate(self, q: Distribution, f: Objective, noise: Noise) -> Estimate:
        (logits,) = parameters(q)
        with torch.no_grad():
            log_variances = F.logsigmoid(logits) + F.logsigmoid(-logits)
            proposal = log_variances if self.proposal == "variance" else torch.zeros_like(logits)
            chosen = choose(proposal, self.samples // 2, noise)  # S/2 x *B x D
            b = sample(q, self.samples // 2, noise)
            one, zero = torch.maximum(b, chosen), b * (1 - chosen)
            factor = chosen * torch.exp(log_variances - proposal.log_softmax(-1))  # theta (1 - theta) / pi
            drawn = torch.cat([(chosen * value).sum(-1) for value in (b, 1 - b)])  # S x *B, 1 where it is b itself
        cost = f(torch.cat((one, zero)), stopped(q))  # S x *B
        first, second = cost.detach().chunk(2)
        weight = (first - second).unsqueeze(-1) * factor
        value = 2 * (drawn * cost).mean(0)
        return Estimate((weight * logits).sum(-1).mean(0) + value, value.detach())


@register(
    "ugc",
    families=("bernoulli",),
    method="local differences",
    unbiased=True,
    samples=(2, 2, True),
    f_evals=lambda samples: 3 * samples // 2,
    needs="neither",
    summary="DisARM, but bitflip-1 for the bits of chance below 1 / (2 D) (unbiased gradient variance clipping)",
    paper="Kunes et al. 2022, arXiv:2208.06124",
)
class UGC(Estimator):
    """samples / 2 antithetic pairs, the first of each also with one bit flipped.

    Which bits are flipped depends on the logits alone, or the mean would be lost. Only those are proposed.
    """

    def estimate(self, q: Distribution, f: Objective, noise: Noise) -> Estimate:
        (logits,) = parameters(q)
        with torch.no_grad():
            _, b, antithetic = pairs(logits, self.samples // 2, noise)  # S/2 x *B x D
            certain = ((-logits.abs()).sigmoid() < 0.5 / logits.shape[-1]).to(logits.dtype)  # *B x D
            none = certain.amax(-1, keepdim=True) == 0  # then any bit is flipped, and the result has weight 0
            chosen = choose(torch.zeros_like(logits).masked_fill((certain == 0) & ~none, -torch.inf), len(b), noise)
            flipped = (b - chosen).abs()
            other = f(flipped, stopped(q))  # S/2 x *B
        cost = f(torch.cat((b, antithetic)), stopped(q))  # S x *B
        first, second = cost.detach().chunk(2)
        pair = 0.5 * (first - second).unsqueeze(-1) * (b - antithetic) * logits.detach().abs().sigmoid()
        variance = logits.detach().sigmoid() * (-logits.detach()).sigmoid()
        flip = (first - other).unsqueeze(-1) * (2 * b - 1) * chosen * variance * certain.sum(-1, keepdim=True)
        weight = certain * flip + (1 - certain) * pair
        surrogate = (weight * logits).sum(-1).mean(0) + cost.mean(0)
        return Estimate(surrogate, cost.detach().mean(0))
