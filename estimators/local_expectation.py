"""Local expectation: every latent integrated out by itself, with the others at their draw.

M. K. Titsias, M. Lazaro-Gredilla, Local expectation gradients for black box variational inference, 2015,
arXiv:1503.01494; also RAM: S. Tokui, I. Sato, Evaluating the variance of likelihood-ratio gradient estimators,
2017. For a bit theta (1 - theta) (f(b_i = 1) - f(b_i = 0)); for a category p_c (f_c - sum_k p_k f_k). It costs an
evaluation for every other value of every latent, and leaves no noise where f is a sum over latents.
"""

import torch
from torch.distributions import Distribution

from estimators.base import Estimate, Estimator, Objective
from estimators.distributions import sample, stopped
from estimators.families import Enumerated, capable
from estimators.noise import Noise
from estimators.parts.controls import weighted
from estimators.registry import register


def evaluations(samples: int, event: tuple[int, ...]) -> int:
    """Evaluations of f: the draws, and every other value of every latent."""
    others = event[0] * (event[1] - 1) if len(event) == 2 else event[0]
    return samples * (1 + others)


@register(
    "local-expectation",
    capability="enumeration",
    method="local differences",
    unbiased=True,
    f_evals=evaluations,
    needs="neither",
    summary="every latent integrated out by itself, the others at their draw",
    paper="Titsias and Lazaro-Gredilla 2015, arXiv:1503.01494; Tokui and Sato 2017",
)
class LocalExpectation(Estimator):
    """Local expectation gradients, also RAM."""

    def estimate(self, q: Distribution, f: Objective, noise: Noise) -> Estimate:
        """Theta's gradient comes from the draws, and the other values carry no graph."""
        family = capable(q, Enumerated)
        z = sample(q, self.samples, noise)
        cost = f(z, stopped(q))  # S x *B
        with torch.no_grad():
            points = family.neighbours(z)  # N x S x *B x *event
            change = f(points.flatten(0, 1), stopped(q)).unflatten(0, points.shape[:2]) - cost
            gradient = family.local_gradient(q, z, points, change)
        return Estimate(weighted(gradient.mean(0), q) + cost.mean(0), cost.detach().mean(0))
