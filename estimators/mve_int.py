"""MVE_int: the minimum-variance straight-through estimator for f that reads the number of a latent's class.

J. Hooper, A. Shekhovtsov, Generalized and optimal straight-through estimators, AISTATS 2026; the formula is that of the
authors' code, and a test derives it anew. Where f reads each latent as the number y = sum_i i z_i alone (0 to C - 1,
for the classes in their order), a straight-through estimator is f'(y) sum_i S_y[i] J_i, with J_i the gradient of p_i.
Of those that are exact for affine f, where the mean of S_y[i] over y is i, MVE_int minimises sum_yi p_y S_y[i]^2 plus
2 * temperature * sum_i (E[y S_y[i]] - i^2 / 2)^2, the squares of the bias for f = y^2 / 2. With m the mean and var the
variance of y,

    S_y[i] = i (1 + temperature * (y - m) (i - 2 m) / (1 + 2 * temperature * var)),

so y moves by grad m + temperature * (y - m) grad var / (1 + 2 * temperature * var). At temperature zero this is
straight-through; in the limit of high temperatures y moves as a location-scale family does, and quadratic f has no
bias.

Here f takes one-hot draws, and z_i moves by (S_y[i] / i) J_i. That is the paper's estimator wherever f reads the
numbers alone; for any other f the paper has none, and this one is exact in the mean where f is affine.
"""

import torch
from torch import Tensor
from torch.distributions import Distribution

from estimators.base import Estimate, Objective
from estimators.distributions import mean_of, parameters, sample
from estimators.entry import one_a_sample
from estimators.mve import MVE
from estimators.noise import Noise
from estimators.registry import register
from estimators.straight_through import passed_through


@register(
    "mve-int",
    families=("categorical",),
    method="straight-through",
    unbiased=False,
    f_evals=one_a_sample,
    needs="gradient of f",
    variants=({"temperature": 1e6},),
    summary="straight-through of least variance, where f reads the number of the class",
    paper="Hooper and Shekhovtsov 2026, AISTATS",
)
class MVEInt(MVE):
    """MVE of the integer embedding."""

    def estimate(self, q: Distribution, f: Objective, noise: Noise) -> Estimate:
        z = sample(q, self.samples, noise)
        p = mean_of(q, parameters(q)[0])
        number = torch.arange(p.shape[-1], dtype=p.dtype, device=p.device)
        mean = (p.detach() @ number).unsqueeze(-1)  # *B x L x 1
        variance = (p.detach() * (number - mean).square()).sum(-1, keepdim=True)
        temperature: Tensor = self.temperature().to(p)
        strength = temperature / (1 + 2 * temperature * variance)
        drawn = (z @ number).unsqueeze(-1)  # S x *B x L x 1
        return passed_through(q, f, z, p * (1 + strength * (drawn - mean) * (number - 2 * mean)))
