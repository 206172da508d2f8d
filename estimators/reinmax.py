"""ReinMax: straight-through of second order, by Heun's method between the mean of q and the draw.

L. Liu, C. Dong, X. Liu, B. Yu, J. Gao, Bridging discrete and backpropagation: straight-through and beyond, 2023,
arXiv:2304.08612. With J(p) the Jacobian of the softmax where it equals p, z the draw and f' the gradient of f there,
the gradient is 2 J((p_t + z) / 2) f' - J(p) f' / 2, latent by latent, where p_t = softmax(logits / temperature) and p
the same at temperature 1. A bit is a latent of two classes. At temperature 1 it is exact for quadratic f, also
coupled over latents: the trapezoid rule. The authors advise a higher temperature, which gives that up.
"""

from torch.distributions import Distribution

from estimators.base import Estimate, Estimator, Objective
from estimators.distributions import parameters, sample
from estimators.entry import one_a_sample
from estimators.families import Relaxed, capable
from estimators.noise import Noise
from estimators.registry import register
from estimators.straight_through import passed_through


@register(
    "reinmax",
    capability="relaxation",
    method="straight-through",
    unbiased=False,
    f_evals=one_a_sample,
    needs="gradient of f",
    variants=({"temperature": 1.3},),
    summary="straight-through of second order, exact for quadratic f at temperature 1",
    paper="Liu, Dong, Liu, Yu and Gao 2023, arXiv:2304.08612",
)
class ReinMax(Estimator):
    """ReinMax at a temperature of at least 1, where the paper has it."""

    def __init__(self, samples: int = 1, temperature: float = 1.0) -> None:
        super().__init__(samples)
        if not temperature >= 1:
            raise ValueError(f"ReinMax takes a temperature of at least 1, got temperature={temperature}")
        self.temperature = temperature

    def estimate(self, q: Distribution, f: Objective, noise: Noise) -> Estimate:
        family = capable(q, Relaxed)
        (logits,) = parameters(q)
        z = sample(q, self.samples, noise)
        fixed = logits.detach()
        change = logits - fixed  # zero, with the gradient of the logits
        midway = family.mean_change(fixed / self.temperature, change, towards=z)
        return passed_through(q, f, z, 2 * midway - 0.5 * family.mean_change(fixed, change))
