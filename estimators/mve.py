"""MVE: of all straight-through estimators that are exact for affine f, the one of least variance and quadratic bias.

J. Hooper, A. Shekhovtsov, Generalized and optimal straight-through estimators, AISTATS 2026; the formula is that of the
authors' code, and a test derives it anew. Latent by latent, with p the mean of q, J_i the gradient of p_i with respect
to the logits, and f' the gradient of f at the drawn class x, a generalized straight-through estimator is
sum_i f'_i S_x[i], where each S_x[i] is a vector over the logits. It is exact for affine f if the mean of S_x[i] over x
is J_i, and for quadratic f if p_x S_x[i] + p_i S_i[x] is J_x for i = x and zero for every other pair of classes. MVE
keeps the first, and minimises sum_xi p_x |S_x[i]|^2 plus temperature / 2 times the sum of squares of what is missing to
the second:

    S_x[i] = (v_i + temperature * (p_i (v_i - v_x) + [i = x] J_x)) / (1 + temperature * (p_i + p_x)),

with multipliers v that make the mean J. At temperature zero this is straight-through. The higher the temperature, the
less bias and the more variance for quadratic f, which has no bias in the limit; that limit is reached where
temperature * p is large, so late for rare classes. The authors let it rise from 1 to 1e6 in training.
"""

import torch
from torch import Tensor
from torch.distributions import Distribution

from estimators.base import Estimate, Objective
from estimators.distributions import mean_of, parameters, sample
from estimators.entry import one_a_sample
from estimators.noise import Noise
from estimators.parts.temperature import Relaxation
from estimators.registry import register
from estimators.straight_through import passed_through

HOTTEST = 1e12
"""Beyond it the equations are singular even in double precision, and quadratic f has no bias left."""


def multipliers(p: Tensor, temperature: Tensor) -> Tensor:
    """The multipliers v [*B, L, C]: they are linear in J, so p stands in its place, and only their gradient counts.

    The mean of S_x[i] is J_i if v_i sum_x p_x / d_ix + sum_x w_ix (v_i - v_x) is J_i times the ratio below, where
    d_ix = 1 + temperature * (p_i + p_x) and w_ix = temperature * p_i p_x / d_ix.
    """
    fixed = p.detach()
    other = fixed.unsqueeze(-2)  # *B x L x 1 x C: x along the last dim, i along the one before
    share = other / (1 + temperature * (fixed.unsqueeze(-1) + other))  # p_x / d_ix
    weight = temperature * fixed.unsqueeze(-1) * share
    ratio = (1 + temperature * fixed) / (1 + 2 * temperature * fixed)
    system = torch.diag_embed(share.sum(-1) + weight.sum(-1)) - weight
    # not solve, which looks whether the system is singular, and waits for a GPU to do so
    v: Tensor = torch.linalg.solve_ex(system, (ratio * p).unsqueeze(-1)).result
    return v.squeeze(-1)


@register(
    "mve",
    families=("categorical",),
    method="straight-through",
    unbiased=False,
    f_evals=one_a_sample,
    needs="gradient of f",
    variants=({"temperature": 1e6},),
    summary="straight-through of least variance; the hotter, the less bias for quadratic f",
    paper="Hooper and Shekhovtsov 2026, AISTATS",
)
class MVE(Relaxation):
    """The minimum-variance straight-through estimator; unlike that of a relaxation, its temperature takes bias away."""

    def __init__(
        self,
        samples: int = 1,
        temperature: float = 1.0,
        final_temperature: float | None = None,
        anneal_steps: int | None = None,
        anneal_every: int = 1,
    ) -> None:
        super().__init__(samples, temperature, final_temperature, anneal_steps, anneal_every)
        if max(self.temperature.initial, self.temperature.final) > HOTTEST:
            raise ValueError(f"temperatures must be at most {HOTTEST:g}, got {temperature=}, {final_temperature=}")

    def estimate(self, q: Distribution, f: Objective, noise: Noise) -> Estimate:
        z = sample(q, self.samples, noise)
        # In double precision: the system is 1 / temperature away from a singular one.
        p = mean_of(q, parameters(q)[0].double())
        temperature: Tensor = self.temperature().double()
        v = multipliers(p, temperature)
        fixed, drawn = p.detach(), z.double()  # S x *B x L x C
        p_drawn, v_drawn = ((drawn * x).sum(-1, keepdim=True) for x in (fixed, v))
        moved = v + temperature * (fixed * (v - v_drawn) + drawn * p)
        soft = moved / (1 + temperature * (fixed + p_drawn))
        return passed_through(q, f, z, soft.to(z))
