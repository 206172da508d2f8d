"""Gumbel-softmax and Gumbel-sigmoid, or Concrete: the pathwise gradient of tempered scores, logits plus noise.

C. J. Maddison, A. Mnih, Y. W. Teh, The Concrete distribution, 2016, arXiv:1611.00712; E. Jang, S. Gu, B. Poole,
Categorical reparameterization with Gumbel-softmax, 2016, arXiv:1611.01144. A relaxed draw is the softmax of
(log probabilities + Gumbel noise) / temperature, or for bits the sigmoid of (logits + logistic noise) / temperature.
Its gradient is the exact one of the relaxed objective (f at relaxed points, log q extended affinely), which is not that
of E_q[f]: biased, less so when cold, and noisier. The straight-through form evaluates f at the draw that the relaxed
one is nearest to, and keeps the relaxed draw's gradient.
"""

from typing import Any

from torch import Tensor
from torch.distributions import Distribution

from estimators.base import Estimate, Objective
from estimators.distributions import live, parameters
from estimators.entry import one_a_sample
from estimators.families import Relaxed, capable
from estimators.noise import Noise
from estimators.parts.temperature import Relaxation
from estimators.registry import register
from estimators.straight_through import passed_through

PAPER = "Maddison et al. 2016, arXiv:1611.00712; Jang et al. 2016, arXiv:1611.01144"
JANG = "Jang et al. 2016, arXiv:1611.01144"
TAGS: dict[str, Any] = {"unbiased": False, "f_evals": one_a_sample, "variants": ({"temperature": 0.1},)}
RELAXED: dict[str, Any] = TAGS | {
    "needs": "relaxed f",
    "summary": "Concrete relaxation; temperature fixed or annealed",
    "paper": PAPER,
}
STRAIGHT_THROUGH: dict[str, Any] = TAGS | {"needs": "gradient of f", "paper": JANG}


class Concrete(Relaxation):
    """The Concrete relaxation of any family that has one."""

    def relaxed(self, q: Distribution, noise: Noise) -> tuple[Tensor, Tensor]:
        """Scores, which decide for the hard draws, and relaxed draws, both [S, *B, *event] and functions of logits."""
        family = capable(q, Relaxed)
        (logits,) = parameters(q)
        scores = logits + family.score_noise(noise.odds(self.samples, logits))
        temperature: Tensor = self.temperature()
        return scores, family.mean_of(scores / temperature.to(scores))

    def estimate(self, q: Distribution, f: Objective, noise: Noise) -> Estimate:
        _, z = self.relaxed(q, noise)
        surrogate = f(z, live(q)).mean(0)
        return Estimate(surrogate, surrogate.detach())


class StraightThroughConcrete(Concrete):
    """f at the hard draws."""

    def estimate(self, q: Distribution, f: Objective, noise: Noise) -> Estimate:
        scores, soft = self.relaxed(q, noise)
        return passed_through(q, f, capable(q, Relaxed).hard(scores), soft)


@register("gumbel-sigmoid", families=("bernoulli",), method="relaxation", **RELAXED)
class GumbelSigmoid(Concrete):
    """The binary Concrete relaxation."""


@register("gumbel-softmax", families=("categorical",), method="relaxation", **RELAXED)
class GumbelSoftmax(Concrete):
    """The categorical Concrete relaxation."""


@register(
    "straight-through-gumbel-sigmoid",
    families=("bernoulli",),
    method="straight-through",
    summary="f at the bits, gradient of the Concrete relaxation",
    **STRAIGHT_THROUGH,
)
class StraightThroughGumbelSigmoid(StraightThroughConcrete):
    """The binary straight-through form."""


@register(
    "straight-through-gumbel-softmax",
    families=("categorical",),
    method="straight-through",
    summary="f at the vertex, gradient of the Concrete relaxation",
    **STRAIGHT_THROUGH,
)
class StraightThroughGumbelSoftmax(StraightThroughConcrete):
    """The categorical straight-through form."""
