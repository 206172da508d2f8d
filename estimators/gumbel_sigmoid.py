"""Gumbel-sigmoid, or binary Concrete: the pathwise gradient of sigmoid((logits + logistic) / temperature).

C. J. Maddison, A. Mnih, Y. W. Teh, The Concrete distribution, 2016, arXiv:1611.00712; E. Jang, S. Gu, B. Poole,
Categorical reparameterization with Gumbel-softmax, 2016, arXiv:1611.01144. It is the exact gradient of the relaxed
objective (f at relaxed points, log q extended affinely), which is not that of E_q[f]: biased, less so when cold, and
noisier.
"""

import torch
from torch import Generator, Tensor
from torch.distributions import Distribution

from estimators.base import Estimate, Objective
from estimators.distributions import live, parameters, uniform
from estimators.registry import one_a_sample, register
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

    def forward(
        self,
        q: Distribution,
        f: Objective,
        *,
        generator: Generator | None = None,
        context: Tensor | None = None,
    ) -> Estimate:
        """See `Estimator.forward`."""
        u = uniform(q, self.samples, generator)
        logistic = u.log() - torch.log1p(-u)
        z = torch.sigmoid((parameters(q)[0] + logistic) / self.temperature().to(logistic))
        surrogate = f(z, live(q)).mean(0)
        return Estimate(surrogate, surrogate.detach())
