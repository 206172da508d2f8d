"""ReinMax: straight-through of second order, by Heun's method between the mean of q and the draw.

L. Liu, C. Dong, X. Liu, B. Yu, J. Gao, Bridging discrete and backpropagation: straight-through and beyond, 2023,
arXiv:2304.08612. With J(p) the Jacobian of the softmax where it equals p, z the draw and f' the gradient of f there,
the gradient is 2 J((p_t + z) / 2) f' - J(p) f' / 2, latent by latent, where p_t = softmax(logits / temperature) and p
the same at temperature 1. A bit is a latent of two classes. At temperature 1 it is exact for quadratic f, also
coupled over latents: the trapezoid rule. The authors advise a higher temperature, which gives that up.
"""

from torch import Generator, Tensor
from torch.distributions import Bernoulli, Distribution

from estimators.base import Estimate, Estimator, Objective
from estimators.distributions import parameters, sample, softmax
from estimators.registry import one_a_sample, register
from estimators.straight_through import passed_through


def softmax_change(p: Tensor, change: Tensor) -> Tensor:
    """J(p) times a change of the logits: p * (change - p . change), over the last dim."""
    return p * (change - (p * change).sum(-1, keepdim=True))


@register(
    "reinmax",
    families=("bernoulli", "categorical"),
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

    def forward(
        self,
        q: Distribution,
        f: Objective,
        *,
        generator: Generator | None = None,
        context: Tensor | None = None,
    ) -> Estimate:
        """See `Estimator.forward`."""
        (logits,) = parameters(q)
        z = sample(q, self.samples, generator)
        fixed = logits.detach()
        change = logits - fixed  # zero, with the gradient of the logits
        if isinstance(q, Bernoulli):
            tempered = fixed / self.temperature
            # both sides of the midpoint, because 1 - sigmoid is lost to rounding
            one, zero = (z + tempered.sigmoid()) / 2, (1 - z + (-tempered).sigmoid()) / 2
            soft = (2 * one * zero - 0.5 * fixed.sigmoid() * (-fixed).sigmoid()) * change
        else:
            middle = (z + softmax(fixed / self.temperature)) / 2
            soft = 2 * softmax_change(middle, change) - 0.5 * softmax_change(softmax(fixed), change)
        return passed_through(q, f, z, soft)
