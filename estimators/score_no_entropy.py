"""The negative control: the likelihood-ratio gradient without its entropy term, E_q[(f(z) - log q(z)) grad log q(z)].

N. Hallerfelt, Variational Auto Encoders, 2022, last formula. It drops E_q[grad log q * log q], claiming that
grad sum_z q log q = E[grad q / q] = 0; only the second of the two terms of that derivative vanishes. What is left
optimises E_q[log p(x, z)] and drives q to a point mass: per Bernoulli unit of logit eta the missing term is
eta * theta * (1 - theta), theta = sigmoid(eta). Kept to show that the certificate and the bias table expose it. A
baseline, which the formula has none of, leaves its bias as it is, and takes away the noise that hides it.
"""

from torch import Tensor
from torch.distributions import Distribution

from estimators.distributions import log_prob
from estimators.entry import one_a_sample
from estimators.registry import register
from estimators.reinforce import Reinforce


@register(
    "score-no-entropy",
    families=("bernoulli",),
    method="score function",
    unbiased=False,
    own_parameters=True,
    f_evals=one_a_sample,
    needs="neither",
    negative_control=True,
    variants=({"baseline": "leave-one-out", "samples": 2},),
    summary="negative control: a published formula that drops the entropy's gradient; baselines as reinforce",
    paper="Hallerfelt 2022",
)
class ScoreNoEntropy(Reinforce):
    """Score function of f - log q; biased by minus the gradient of E_q[log q]."""

    def signal(self, cost: Tensor, q: Distribution, z: Tensor) -> Tensor:
        """The cost without the entropy's part, which the formula forgets."""
        return cost - log_prob(q, z)
