"""Gumbel-softmax, or Concrete: the pathwise gradient of softmax((logits + Gumbel) / temperature).

C. J. Maddison, A. Mnih, Y. W. Teh, The Concrete distribution, 2016, arXiv:1611.00712; E. Jang, S. Gu, B. Poole,
Categorical reparameterization with Gumbel-softmax, 2016, arXiv:1611.01144. The straight-through form evaluates f at
the vertex that the relaxed draw is nearest to, and keeps the relaxed draw's gradient. Both are biased.
"""

from torch import Generator, Tensor
from torch.distributions import Distribution

from estimators.base import Estimate, Objective
from estimators.distributions import gumbel, live, one_hot_argmax, parameters, softmax, stopped
from estimators.registry import one_a_sample, register
from estimators.temperature import Relaxation

PAPER = "Maddison et al. 2016, arXiv:1611.00712; Jang et al. 2016, arXiv:1611.01144"


@register(
    "gumbel-softmax",
    families=("categorical",),
    unbiased=False,
    f_evals=one_a_sample,
    needs="relaxed f",
    variants=({"temperature": 0.1},),
    summary="Concrete relaxation; temperature fixed or annealed",
    paper=PAPER,
)
class GumbelSoftmax(Relaxation):
    """The Concrete relaxation."""

    def relaxed(self, q: Distribution, generator: Generator | None) -> Tensor:
        """Relaxed draws [S, *B, L, C] on the simplex, differentiable in q's logits."""
        scores = parameters(q)[0] + gumbel(q, self.samples, generator)
        temperature: Tensor = self.temperature()
        return softmax(scores / temperature.to(scores))

    def forward(
        self,
        q: Distribution,
        f: Objective,
        *,
        generator: Generator | None = None,
        context: Tensor | None = None,
    ) -> Estimate:
        """See `Estimator.forward`."""
        surrogate = f(self.relaxed(q, generator), live(q)).mean(0)
        return Estimate(surrogate, surrogate.detach())


@register(
    "straight-through-gumbel-softmax",
    families=("categorical",),
    unbiased=False,
    f_evals=one_a_sample,
    needs="gradient of f",
    variants=({"temperature": 0.1},),
    summary="f at the vertex, gradient of the Concrete relaxation",
    paper="Jang et al. 2016, arXiv:1611.01144",
)
class StraightThroughGumbelSoftmax(GumbelSoftmax):
    """The straight-through form."""

    def forward(
        self,
        q: Distribution,
        f: Objective,
        *,
        generator: Generator | None = None,
        context: Tensor | None = None,
    ) -> Estimate:
        """See `Estimator.forward`."""
        relaxed = self.relaxed(q, generator)
        vertex = one_hot_argmax(relaxed.detach()) + (relaxed - relaxed.detach())
        surrogate = f(vertex, stopped(q)).mean(0)
        return Estimate(surrogate, surrogate.detach())
