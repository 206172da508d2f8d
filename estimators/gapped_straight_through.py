"""Gapped straight-through: the softmax of logits moved so that the draw wins by a gap, in place of Gumbel noise.

T.-H. Fan, T.-C. Chi, A. I. Rudnicky, P. J. Ramadge, Training discrete deep generative models via gapped
straight-through estimator, 2022, arXiv:2206.07235 (GST-1.0 is gap = 1). The drawn class's logit is raised to the
largest one, the others lowered to at most that minus the gap; the gradient is that of softmax(moved logits /
temperature) at the draw, the moves themselves not differentiated.
"""

from torch import Tensor
from torch.distributions import Distribution

from estimators.base import Estimate, Objective
from estimators.distributions import parameters, sample
from estimators.entry import one_a_sample
from estimators.families.logits import softmax
from estimators.noise import Noise
from estimators.parts.temperature import Relaxation
from estimators.registry import register
from estimators.straight_through import passed_through


@register(
    "gapped-straight-through",
    families=("categorical",),
    method="straight-through",
    unbiased=False,
    f_evals=one_a_sample,
    needs="gradient of f",
    variants=({"temperature": 0.5},),
    summary="softmax of logits moved to a gap; no noise but the draw",
    paper="Fan, Chi, Rudnicky and Ramadge 2022, arXiv:2206.07235",
)
class GappedStraightThrough(Relaxation):
    """The draw's logit ahead of all others by at least `gap`."""

    def __init__(
        self,
        samples: int = 1,
        gap: float = 1.0,
        temperature: float = 1.0,
        final_temperature: float | None = None,
        anneal_steps: int | None = None,
        anneal_every: int = 1,
    ) -> None:
        super().__init__(samples, temperature, final_temperature, anneal_steps, anneal_every)
        if not gap >= 0:
            raise ValueError(f"gap must be at least 0, got gap={gap}")
        self.gap = gap

    def estimate(self, q: Distribution, f: Objective, noise: Noise) -> Estimate:
        (logits,) = parameters(q)
        z = sample(q, self.samples, noise)
        fixed = logits.detach()
        top = fixed.amax(-1, keepdim=True)
        moved = fixed.minimum(top - self.gap) * (1 - z) + top * z  # S x *B x L x C
        temperature: Tensor = self.temperature()
        soft = softmax((moved + (logits - fixed)) / temperature.to(logits))
        return passed_through(q, f, z, soft)
