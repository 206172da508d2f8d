"""ARS and ARSM: swap two entries of the Dirichlet noise behind a categorical draw, and compare what f says.

M. Yin, Y. Yue, M. Zhou, ARSM: augment-REINFORCE-swap-merge estimator for gradient backpropagation through categorical
variables, 2019, arXiv:1905.01413. With pi ~ Dirichlet(1, ..., 1) the draw z = argmin_c pi_c exp(-logits_c) follows q,
and grad_c E[f(z)] = E[f(z) (1 - C pi_c)]. Swapping entries c and j of pi, in all latents of a row at once, leaves its
law as it is. With f_cj the value of f at the draw so made, for any reference class j

    ARS:   g_c = (f_cj - mean_m f_mj) (1 - C pi_j),        ARSM:   its mean over all j,

latent by latent with that latent's pi. The mean over m may be subtracted since a softmax's gradient sums to zero. ARSM
evaluates f at every pair of classes. Theta's gradient and the value come from the draw that was not swapped.
"""

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.nn import functional as F

from estimators.base import Estimate, Estimator, Objective
from estimators.distributions import event_shape, parameters, row_shape, stopped
from estimators.families.logits import one_hot_argmax
from estimators.noise import Noise
from estimators.registry import register

PAPER = "Yin, Yue and Zhou 2019, arXiv:1905.01413"


def _swaps(pairs: Tensor, classes: int) -> Tensor:
    """Orders [P, C] of the classes with those of each pair [P, 2] exchanged."""
    order = torch.arange(classes, device=pairs.device).repeat(len(pairs), 1)
    return order.scatter(1, pairs, pairs.flip(1))


@register(
    "arsm",
    families=("categorical",),
    method="coupled draws",
    unbiased=True,
    f_evals=lambda samples, event: samples * (event[1] * (event[1] - 1) // 2 + 1),
    needs="neither",
    summary="all swaps of two classes in the noise, merged over the reference class",
    paper=PAPER,
)
class ARSM(Estimator):
    """One draw and its C (C - 1) / 2 swapped ones a sample."""

    def estimate(self, q: Distribution, f: Objective, noise: Noise) -> Estimate:
        (logits,) = parameters(q)
        classes = logits.shape[-1]
        pairs = torch.triu_indices(classes, classes, 1, device=logits.device)
        with torch.no_grad():
            gumbel = noise.gumbel(self.samples, logits)
            orders = _swaps(F.pad(pairs, (1, 0)).T, classes)  # first class 0 with itself: no swap
            z = one_hot_argmax(logits + gumbel[..., orders].movedim(-2, 0))  # P x S x *B x L x C
        cost = f(z.flatten(0, 1), stopped(q)).unflatten(0, z.shape[:2])  # P x S x *B
        which = torch.zeros(classes, classes, dtype=torch.long, device=logits.device)
        which[pairs[0], pairs[1]] = which[pairs[1], pairs[0]] = torch.arange(1, len(orders), device=logits.device)
        swapped = cost.detach()[which]  # C x C x S x *B, class by reference
        advantage = (swapped - swapped.mean(0)).movedim((0, 1), (-2, -1))  # S x *B x C x C
        share = (-gumbel).softmax(-1)  # pi, S x *B x L x C
        weight = (1 / classes - share) @ advantage.mT
        surrogate = (weight * logits).sum((-2, -1)).mean(0) + cost[0].mean(0)
        return Estimate(surrogate, cost[0].detach().mean(0))


@register(
    "ars",
    families=("categorical",),
    method="coupled draws",
    unbiased=True,
    f_evals=lambda samples, event: samples * event[1],
    needs="neither",
    summary="swaps of each class with one random reference in the noise",
    paper=PAPER,
)
class ARS(Estimator):
    """One draw and its C - 1 swapped ones a sample; each sample of a row has a reference of its own."""

    def estimate(self, q: Distribution, f: Objective, noise: Noise) -> Estimate:
        (logits,) = parameters(q)
        classes = event_shape(q)[1]
        with torch.no_grad():
            gumbel = noise.gumbel(self.samples, logits)
            reference = noise.choice(classes, (self.samples, *row_shape(q)), logits.device)
            # Order [S, *B, C, C]: for each class c, all classes with c and the reference exchanged.
            pairs = torch.cartesian_prod(*[torch.arange(classes, device=logits.device)] * 2)
            order = _swaps(pairs, classes).unflatten(0, (classes, classes))[reference]
            swapped_noise = gumbel.unsqueeze(-2).take_along_dim(order.unsqueeze(-3), -1)  # S x *B x L x C x C
            z = one_hot_argmax(logits + swapped_noise.movedim(-2, 0))  # C x S x *B x L x C
        cost = f(z.flatten(0, 1), stopped(q)).unflatten(0, z.shape[:2])  # C x S x *B
        swapped = cost.detach()
        advantage = (swapped - swapped.mean(0)).movedim(0, -1).unsqueeze(-2)  # S x *B x 1 x C
        share = (-gumbel).softmax(-1).take_along_dim(reference[..., None, None], -1)  # pi_j, S x *B x L x 1
        surrogate = ((1 - classes * share) * advantage * logits).sum((-2, -1)).mean(0)
        honest = cost.gather(0, reference.unsqueeze(0))[0].mean(0)  # the reference exchanged with itself
        return Estimate(surrogate + honest, honest.detach())
