"""Gumbel-Rao: straight-through Gumbel-softmax, averaged over the Gumbel noise that leads to the same draw.

M. B. Paulus, C. J. Maddison, A. Krause, Rao-Blackwellizing the straight-through Gumbel-softmax gradient estimator,
2020, arXiv:2010.04838. f is evaluated at the hard draw; `inner` sets of Gumbel scores are drawn anew given that draw,
and the Jacobians of their tempered softmaxes averaged. The scores' dependence on the logits through the conditional law
is not differentiated: only so is it the conditional mean of straight-through Gumbel-softmax, with its bias and less
variance.
"""

from torch import Tensor
from torch.distributions import Distribution

from estimators.base import Estimate, Objective
from estimators.distributions import parameters, sample
from estimators.entry import one_a_sample
from estimators.families import Relaxed, capable
from estimators.families.logits import softmax
from estimators.noise import Noise
from estimators.parts.temperature import Relaxation
from estimators.registry import register
from estimators.straight_through import passed_through


def conditional_softmax(
    q: Distribution, log_probs: Tensor, z: Tensor, temperature: Tensor, inner: int, noise: Noise
) -> Tensor:
    """Mean of `inner` tempered softmaxes [S, *B, L, C] of scores drawn given that they decide for z.

    Args:
        q: what the draws are of; its logits' gradient is the softmaxes' gradient with respect to their scores.
        log_probs: log probabilities of the classes before z was known, [S, *B, L, C] or [*B, L, C].
        z: hard draws [S, *B, L, C].
        temperature: temperature of the softmax, a scalar.
        inner: number of conditional draws for each z.
        noise: of the call.
    """
    (logits,) = parameters(q)
    v = noise.odds(inner * len(z), logits).unflatten(0, (inner, len(z)))  # K x S x *B x L x C
    scores = capable(q, Relaxed).scores_given(log_probs.detach(), z, v)
    return softmax((scores + (logits - logits.detach())) / temperature.to(scores)).mean(0)


@register(
    "gumbel-rao",
    families=("categorical",),
    method="straight-through",
    unbiased=False,
    f_evals=one_a_sample,
    needs="gradient of f",
    variants=({"inner": 2, "temperature": 0.1},),
    summary="straight-through Gumbel-softmax, noise averaged given the draw",
    paper="Paulus, Maddison and Krause 2020, arXiv:2010.04838",
)
class GumbelRao(Relaxation):
    """`inner` conditional Gumbel draws a sample."""

    def __init__(
        self,
        samples: int = 1,
        inner: int = 10,
        temperature: float = 0.5,
        final_temperature: float | None = None,
        anneal_steps: int | None = None,
        anneal_every: int = 1,
    ) -> None:
        super().__init__(samples, temperature, final_temperature, anneal_steps, anneal_every)
        if inner < 1:
            raise ValueError(f"inner, the conditional draws a sample, must be at least 1, got inner={inner}")
        self.inner = inner

    def estimate(self, q: Distribution, f: Objective, noise: Noise) -> Estimate:
        z = sample(q, self.samples, noise)
        soft = conditional_softmax(q, parameters(q)[0], z, self.temperature(), self.inner, noise)
        return passed_through(q, f, z, soft)
