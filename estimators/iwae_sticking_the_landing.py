"""Sticking the landing for the importance-weighted bound: its pathwise gradient with q's parameters stopped inside f.

G. Roeder, Y. Wu, D. Duvenaud, Sticking the landing, 2017, arXiv:1703.09194. Biased for more than one sample: the score
of log q that is dropped is multiplied by a normalised weight that depends on the same draw, and has a mean. Squaring
the weights mends it: see `dreg`. Theta's gradient is that of `iwae-reparameterization`.
"""

import math

from torch import Generator, Tensor
from torch.distributions import Distribution

from estimators.base import Estimate, Estimator, Objective
from estimators.distributions import normal, parameters, stopped
from estimators.registry import one_a_sample, register


@register(
    "iwae-sticking-the-landing",
    families=("gaussian",),
    unbiased=False,
    bound="iwae",
    samples=(1, 5),
    f_evals=one_a_sample,
    needs="gradient of f",
    summary="pathwise gradient of the importance-weighted bound with the score of log q dropped",
    paper="Roeder, Wu and Duvenaud 2017, arXiv:1703.09194",
)
class IWAEStickingTheLanding(Estimator):
    """The pathwise gradient of the K-sample bound with stopped parameters in f; exact in mean for K = 1."""

    def __init__(self, samples: int = 5) -> None:
        super().__init__(samples)

    def forward(
        self,
        q: Distribution,
        f: Objective,
        *,
        generator: Generator | None = None,
        context: Tensor | None = None,
    ) -> Estimate:
        """See `Estimator.forward`."""
        loc, scale = parameters(q)
        z = loc + scale * normal(q, self.samples, generator)
        surrogate = math.log(self.samples) - (-f(z, stopped(q))).logsumexp(0)
        return Estimate(surrogate, surrogate.detach())
