"""DisARM for categorical latents: a class is a sequence of binary decisions, each driven by antithetic noise.

Z. Dong, A. Mnih, G. Tucker, Coupled gradient estimators for discrete latent variables, 2021, arXiv:2106.08056. A binary
tree over the classes has C - 1 decisions b_i with logits a_i = log q(first branch) - log q(second branch); the class is
the leaf that they lead to. All decisions of a pair z, z' are driven by u and 1 - u. With d = (f(z) - f(z')) / 2, the
estimate for a_i depends on which draw came by decision i on its way:

    both draws     d (-1)^b'_i 1[b_i != b'_i] sigmoid(|a_i|), as DisARM
    the first      d (b_i - sigmoid(a_i)), the mean of that over b'_i, on which f(z') does not depend
    the second     -d (b'_i - sigmoid(a_i)), likewise
    neither        0, likewise

so that it is DisARM over all decisions with the noise of the idle ones integrated out: unbiased for any tree, and of
at most its variance. The a_i are differentiable functions of the logits, through which the estimate reaches them.
"""

import math

import torch
from torch import Tensor
from torch.distributions import Distribution

from estimators.base import Estimate, Estimator, Objective
from estimators.distributions import parameters, stopped
from estimators.entry import one_a_sample
from estimators.errors import BadInput, unknown
from estimators.noise import Noise
from estimators.registry import register
from estimators.tabulated import tabulated

PAPER = "Dong, Mnih and Tucker 2021, arXiv:2106.08056"
ORDERS = ("given", "descending", "ascending")


@tabulated
def _sides(branches: tuple[tuple[range, range], ...], classes: int, device: torch.device) -> Tensor:
    """Whether a class is in the first and in the second branch of a decision, [2, C - 1, C]."""
    sides = torch.zeros(2, classes - 1, classes, dtype=torch.bool)
    for decision, pair in enumerate(branches):
        for side, members in zip(sides, pair, strict=True):
            side[decision, list(members)] = True
    return sides.to(device)


class CoupledDecisions(Estimator):
    """samples / 2 antithetic pairs; subclasses say which tree."""

    def branches(self, classes: int) -> list[tuple[range, range]]:
        """The classes of the first and of the second branch of each of the C - 1 decisions."""
        raise NotImplementedError

    def ordered(self, logits: Tensor) -> Tensor | None:
        """Positions [*B, L, C] of the classes in the tree, None for as they come."""
        return None

    def estimate(self, q: Distribution, f: Objective, noise: Noise) -> Estimate:
        (logits,) = parameters(q)
        classes = logits.shape[-1]
        first, second = _sides(tuple(self.branches(classes)), classes, logits.device)  # C - 1 x C
        if (position := self.ordered(logits)) is not None:
            first, second = (side.T[position].mT for side in (first, second))  # *B x L x C - 1 x C
        one, other = (logits.unsqueeze(-2).masked_fill(~side, -math.inf).logsumexp(-1) for side in (first, second))
        decisions = one - other  # *B x L x C - 1
        with torch.no_grad():
            u = noise.odds(self.samples // 2, decisions)
            b = torch.stack((u < decisions.exp(), u > (-decisions).exp()))  # 2 x S/2 x *B x L x C - 1
            # A class is left where every decision that it is part of falls on its side.
            against = (first & ~b.unsqueeze(-1)) | (second & b.unsqueeze(-1))
            z = (~against.any(-2)).to(logits.dtype)  # 2 x S/2 x *B x L x C
            met = ((first | second) & (z > 0).unsqueeze(-2)).any(-1)
        cost = f(z.flatten(0, 1), stopped(q))  # S x *B
        with torch.no_grad():
            half = 0.5 * (cost[: len(u)] - cost[len(u) :])
            bits = b.to(logits.dtype)
            score = torch.where(met, bits - decisions.sigmoid(), 0.0)
            both = (bits[0] - bits[1]) * decisions.abs().sigmoid()
            weight = torch.where(met.all(0), both, score[0] - score[1]) * half[..., None, None]
        surrogate = (weight * decisions).sum((-2, -1)).mean(0) + cost.mean(0)
        return Estimate(surrogate, cost.detach().mean(0))


@register(
    "disarm-stick-breaking",
    families=("categorical",),
    method="coupled draws",
    unbiased=True,
    samples=(2, 2, True),
    f_evals=one_a_sample,
    needs="neither",
    variants=({"order": "descending"},),
    summary="antithetic pairs; a class is the first decision that says yes; order = given | descending | ascending",
    paper=PAPER,
)
class StickBreakingDisARM(CoupledDecisions):
    """Decision i asks whether the class is the i-th, given that it is none before; the order is that of the logits."""

    def __init__(self, samples: int = 2, order: str = "given") -> None:
        super().__init__(samples)
        if order not in ORDERS:
            raise BadInput(unknown("order", order, ORDERS))
        self.order = order

    def branches(self, classes: int) -> list[tuple[range, range]]:
        """One class against all those after it."""
        return [(range(i, i + 1), range(i + 1, classes)) for i in range(classes - 1)]

    def ordered(self, logits: Tensor) -> Tensor | None:
        """Ranks of the logits; the order is a constant wherever the gradient exists."""
        if self.order == "given":
            return None
        return logits.detach().argsort(-1, descending=self.order == "descending").argsort(-1)


@register(
    "disarm-tree",
    families=("categorical",),
    method="coupled draws",
    unbiased=True,
    samples=(2, 2, True),
    f_evals=one_a_sample,
    needs="neither",
    summary="antithetic pairs; a class is a leaf of a balanced tree of decisions",
    paper=PAPER,
)
class TreeDisARM(CoupledDecisions):
    """Decisions halve the classes; where their number is odd, the second half is the larger."""

    def branches(self, classes: int) -> list[tuple[range, range]]:
        """The halves of every range of more than one class, from the whole downwards."""
        ranges, halves = [range(classes)], []
        for whole in ranges:  # grows while it is read
            if len(whole) > 1:
                pair = whole[: len(whole) // 2], whole[len(whole) // 2 :]
                halves.append(pair)
                ranges.extend(pair)
        return halves
