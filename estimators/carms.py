"""CARMS: pairs of mutually antithetic categorical draws, each pair weighted back to independence.

A. Dimitriev, M. Zhou, CARMS: categorical-antithetic-REINFORCE multi-sample gradient estimator, 2021, arXiv:2110.14002.
1/(n(n-1)) sum_{i<j} (f_i - f_j) (z_i - z_j) q(z_i) q(z_j) / P(z_i, z_j), latent by latent, with P the joint law of a
latent in two draws. It is ARMS for two categories.

A category is drawn by breaking a stick, the least likely category first: bit c says whether it is c, given that it is
none before. The bits of the n draws are coupled by a copula, so P is a product over bits. In that order the k-th bit
from the end has a probability of at most 1 / (k + 1), so that q q / P of draws that differ is below 2: nothing to clip.
"""

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.nn import functional as F

from estimators.base import Estimate, Estimator, Objective
from estimators.distributions import parameters, stopped
from estimators.entry import one_a_sample
from estimators.errors import BadInput, unknown
from estimators.noise import Noise
from estimators.parts.copula import COPULAS
from estimators.registry import register


@register(
    "carms",
    families=("categorical",),
    method="coupled draws",
    unbiased=True,
    samples=(2, 4),
    f_evals=one_a_sample,
    needs="neither",
    variants=({"copula": "gaussian"}, {"copula": "independent"}),
    summary="mutually antithetic draws by stick-breaking; copula = dirichlet | gaussian | independent",
    paper="Dimitriev and Zhou 2021, arXiv:2110.14002",
)
class CARMS(Estimator):
    """Draws coupled stick by stick."""

    def __init__(self, samples: int = 4, copula: str = "dirichlet") -> None:
        super().__init__(samples)
        if copula not in COPULAS:
            raise BadInput(unknown("copula", copula, list(COPULAS)))
        self.copula = copula

    @torch.no_grad()
    def _draw(self, logits: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
        """One-hot draws [n, *B, L, C], and q q / P of every pair, [n, n, *B, L], 0 where the two agree."""
        count, classes = self.samples, logits.shape[-1]
        if classes == 1:  # all draws agree
            z = torch.ones_like(logits).expand(count, *logits.shape)
            return z, logits.new_zeros(count, count, *logits.shape[:-1])
        ascending, order = torch.sort(logits, dim=-1, stable=True)
        onwards = ascending.flip(-1).logcumsumexp(-1).flip(-1)  # log-sums from each category on
        away = (onwards[..., 1:] - ascending[..., :-1]).clamp_min(0)  # minus the logits of the C - 1 bits
        taken = COPULAS[self.copula].draw(count, away, noise)
        stop = F.pad(taken, (0, 1), value=1.0).argmax(-1)  # the first bit that is 1, n x *B x L
        drawn = order.expand(count, *order.shape).gather(-1, stop.unsqueeze(-1))
        z = torch.zeros_like(logits).expand(count, *order.shape).scatter(-1, drawn, 1.0)
        probability, decorrelation = (-away).sigmoid(), COPULAS[self.copula].decorrelation(count, away)
        neither = (1 - probability) / (1 - decorrelation * probability)  # q q / P where both bits are 0
        passed = F.pad(neither[..., :-1].cumprod(-1), (1, 0), value=1.0)[..., : classes - 1]
        ratio = passed / decorrelation  # where they part at this bit, *B x L x C-1
        first = torch.minimum(stop, stop.unsqueeze(1))  # n x n x *B x L
        shape = (*first.shape, classes - 1)
        pairs = ratio.expand(shape).gather(-1, first.clamp_max(classes - 2).unsqueeze(-1))[..., 0]
        return z, pairs.masked_fill(stop == stop.unsqueeze(1), 0.0)

    def estimate(self, q: Distribution, f: Objective, noise: Noise) -> Estimate:
        (logits,) = parameters(q)
        z, ratio = self._draw(logits.detach(), noise)
        cost = f(z, stopped(q))  # S x *B
        values = cost.detach()
        gaps = (values.unsqueeze(1) - values).unsqueeze(-1)  # S x S x *B x 1
        signal = (gaps * ratio).sum(1).unsqueeze(-1) / (self.samples * (self.samples - 1))  # S x *B x L x 1
        surrogate = ((signal * z).sum(0) * logits).sum((-2, -1)) + cost.mean(0)
        return Estimate(surrogate, values.mean(0))
