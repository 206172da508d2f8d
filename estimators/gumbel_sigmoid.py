"""Gumbel-sigmoid, or binary Concrete: the pathwise gradient of sigmoid((logits + logistic) / temperature).

C. J. Maddison, A. Mnih, Y. W. Teh, The Concrete distribution, 2016, arXiv:1611.00712; E. Jang, S. Gu, B. Poole,
Categorical reparameterization with Gumbel-softmax, 2016, arXiv:1611.01144. It is the exact gradient of the relaxed
objective (f at relaxed points, log q extended affinely), which is not that of E_q[f]: biased, less so when cold, and
noisier. The straight-through form evaluates f at the bits that the relaxed draw is nearest to, and keeps the relaxed
draw's gradient.
"""

from torch import Generator, Tensor
from torch.distributions import Distribution

from estimators.base import Estimate, Objective
from estimators.distributions import live, odds, parameters
from estimators.registry import one_a_sample, register
from estimators.relaxed import hard, logistic_scores
from estimators.straight_through import passed_through
from estimators.temperature import Relaxation


@register(
    "gumbel-sigmoid",
    families=("bernoulli",),
    unbiased=False,
    f_evals=one_a_sample,
    needs="relaxed f",
    variants=({"temperature": 0.1},),
    summary="Concrete relaxation; temperature fixed or annealed",
    paper="Maddison et al. 2016, arXiv:1611.00712; Jang et al. 2016, arXiv:1611.01144",
)
class GumbelSigmoid(Relaxation):
    """The binary Concrete relaxation."""

    def relaxed(self, q: Distribution, generator: Generator | None) -> tuple[Tensor, Tensor]:
        """Scores, whose signs are the bits, and relaxed draws, both [S, *B, D] and differentiable in q's logits."""
        scores = logistic_scores(parameters(q)[0], odds(q, self.samples, generator))
        temperature: Tensor = self.temperature()
        return scores, (scores / temperature.to(scores)).sigmoid()

    def forward(
        self,
        q: Distribution,
        f: Objective,
        *,
        generator: Generator | None = None,
        context: Tensor | None = None,
    ) -> Estimate:
        """See `Estimator.forward`."""
        _, z = self.relaxed(q, generator)
        surrogate = f(z, live(q)).mean(0)
        return Estimate(surrogate, surrogate.detach())


@register(
    "straight-through-gumbel-sigmoid",
    families=("bernoulli",),
    unbiased=False,
    f_evals=one_a_sample,
    needs="gradient of f",
    variants=({"temperature": 0.1},),
    summary="f at the bits, gradient of the Concrete relaxation",
    paper="Jang et al. 2016, arXiv:1611.01144",
)
class StraightThroughGumbelSigmoid(GumbelSigmoid):
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
        scores, soft = self.relaxed(q, generator)
        return passed_through(q, f, hard(scores, categorical=False), soft)
