"""Local expectation: every latent integrated out by itself, with the others at their draw.

M. K. Titsias, M. Lazaro-Gredilla, Local expectation gradients for black box variational inference, 2015,
arXiv:1503.01494; also RAM: S. Tokui, I. Sato, Evaluating the variance of likelihood-ratio gradient estimators,
2017. For a bit theta (1 - theta) (f(b_i = 1) - f(b_i = 0)); for a category p_c (f_c - sum_k p_k f_k). It costs an
evaluation for every other value of every latent, and leaves no noise where f is a sum over latents.
"""

import torch
from torch import Generator, Tensor
from torch.distributions import Distribution, OneHotCategorical

from estimators.base import Estimate, Estimator, Objective
from estimators.controls import weighted
from estimators.distributions import parameters, sample, softmax, stopped
from estimators.registry import register


def evaluations(samples: int, event: tuple[int, ...]) -> int:
    """Evaluations of f: the draws, and every other value of every latent."""
    others = event[0] * (event[1] - 1) if len(event) == 2 else event[0]
    return samples * (1 + others)


def _flipped(b: Tensor) -> Tensor:
    """Every bit flipped in turn: b [S, *B, D] to [D, S, *B, D]."""
    flip = torch.eye(b.shape[-1], dtype=b.dtype, device=b.device).reshape(-1, *[1] * (b.dim() - 1), b.shape[-1])
    return (b - flip).abs()


def _others(b: Tensor) -> tuple[Tensor, Tensor]:
    """Every other category in turn: b [S, *B, L, C] to [L (C - 1), S, *B, L, C], and the latent's new category."""
    latents, categories = b.shape[-2:]
    others = [b.roll(k, -1) for k in range(1, categories)]
    rolled = torch.stack(others) if others else b.new_zeros(0, *b.shape)  # (C - 1) x S x *B x L x C
    mask = torch.eye(latents, dtype=b.dtype, device=b.device)
    mask = mask.reshape(latents, *[1] * (b.dim() - 1), latents, 1)  # L x 1 x S x *B x L x 1
    chosen = rolled * mask
    return (b * (1 - mask) + chosen).flatten(0, 1), chosen.flatten(0, 1)


@register(
    "local-expectation",
    families=("bernoulli", "categorical"),
    unbiased=True,
    f_evals=evaluations,
    needs="neither",
    summary="every latent integrated out by itself, the others at their draw",
    paper="Titsias and Lazaro-Gredilla 2015, arXiv:1503.01494; Tokui and Sato 2017",
)
class LocalExpectation(Estimator):
    """Local expectation gradients, also RAM."""

    def forward(
        self,
        q: Distribution,
        f: Objective,
        *,
        generator: Generator | None = None,
        context: Tensor | None = None,
    ) -> Estimate:
        """See `Estimator.forward`; theta's gradient comes from the draws, and the other values carry no graph."""
        logits = parameters(q)[0].detach()
        b = sample(q, self.samples, generator)
        cost = f(b, stopped(q))  # S x *B
        with torch.no_grad():
            if isinstance(q, OneHotCategorical):
                points, chosen = _others(b)
            else:
                points = _flipped(b)
            change = f(points.flatten(0, 1), stopped(q)).unflatten(0, points.shape[:2]) - cost  # N x S x *B
            if isinstance(q, OneHotCategorical):
                probs = softmax(logits)
                gain = (change[..., None, None] * chosen).sum(0)  # S x *B x L x C, over the cost of the draw
                gradient = probs * (gain - (probs * gain).sum(-1, keepdim=True))
            else:
                rise = change.movedim(0, -1) * (1 - 2 * b)  # S x *B x D, f(b_i = 1) - f(b_i = 0)
                gradient = logits.sigmoid() * (-logits).sigmoid() * rise
        return Estimate(weighted(gradient.mean(0), q) + cost.mean(0), cost.detach().mean(0))
