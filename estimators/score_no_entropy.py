"""The negative control: the likelihood-ratio gradient without its entropy term, E_q[(f(z) - log q(z)) grad log q(z)].

N. Hallerfelt, Variational Auto Encoders, 2022, last formula. It drops E_q[grad log q * log q], claiming that
grad sum_z q log q = E[grad q / q] = 0; only the second of the two terms of that derivative vanishes. What is left
optimises E_q[log p(x, z)] and drives q to a point mass: per Bernoulli unit of logit eta the missing term is
eta * theta * (1 - theta), theta = sigmoid(eta). Kept to show that the certificate and the bias table expose it.
"""

from torch import Generator, Tensor
from torch.distributions import Distribution

from estimators.base import Estimate, Estimator, Objective
from estimators.distributions import live, log_prob, sample, stopped
from estimators.registry import register


@register(
    "score-no-entropy",
    families=("bernoulli",),
    unbiased=False,
    summary="negative control: a published formula that drops the entropy's gradient",
    paper="Hallerfelt 2022",
)
class ScoreNoEntropy(Estimator):
    """Score function of f - log q; biased by minus the gradient of E_q[log q]."""

    def forward(
        self,
        q: Distribution,
        f: Objective,
        *,
        generator: Generator | None = None,
        context: Tensor | None = None,
    ) -> Estimate:
        """See `Estimator.forward`."""
        z = sample(q, self.samples, generator)
        cost = f(z, stopped(q))  # S x *B
        log_q = log_prob(live(q), z)
        surrogate = ((cost - log_q).detach() * log_q + cost).mean(0)
        return Estimate(surrogate, cost.detach().mean(0))
