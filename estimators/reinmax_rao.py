"""ReinMax-Rao: ReinMax, the softmax at its midpoint replaced by Gumbel-Rao's tempered softmaxes.

D. Wang, T. D. Bui, Beyond ReinMax: low-variance gradient estimators for discrete latent variables, 2026,
arXiv:2603.08257. With J(p) the Jacobian of the softmax where it equals p, p the mean of q, z the draw and f' the
gradient of f there, ReinMax is 2 J((p + z) / 2) f' - J(p) f' / 2. Here the first Jacobian becomes the mean over
`inner` Gumbel draws G of that of softmax((log((p + z) / 2) + G) / temperature), G drawn given that z wins. It is no
longer exact for quadratic f.
"""

from torch.distributions import Distribution

from estimators.base import Estimate, Objective
from estimators.distributions import mean_of, parameters, sample
from estimators.entry import one_a_sample
from estimators.families.logits import log_softmax
from estimators.gumbel_rao import GumbelRao, conditional_softmax
from estimators.noise import Noise
from estimators.registry import register
from estimators.straight_through import passed_through


@register(
    "reinmax-rao",
    families=("categorical",),
    method="straight-through",
    unbiased=False,
    f_evals=one_a_sample,
    needs="gradient of f",
    variants=({"inner": 2, "temperature": 0.5},),
    summary="ReinMax with Gumbel-Rao at its midpoint",
    paper="Wang and Bui 2026, arXiv:2603.08257",
)
class ReinMaxRao(GumbelRao):
    """`inner` conditional Gumbel draws a sample."""

    def __init__(
        self,
        samples: int = 1,
        inner: int = 10,
        temperature: float = 1.0,
        final_temperature: float | None = None,
        anneal_steps: int | None = None,
        anneal_every: int = 1,
    ) -> None:
        super().__init__(samples, inner, temperature, final_temperature, anneal_steps, anneal_every)

    def estimate(self, q: Distribution, f: Objective, noise: Noise) -> Estimate:
        z = sample(q, self.samples, noise)
        mean = mean_of(q, parameters(q)[0])
        # log((p + z) / 2) but for a constant: log p where z is zero, however small, and log(1 + p) where it is one
        midpoint = log_softmax(parameters(q)[0]) * (1 - z) + mean.log1p() * z
        soft = 2 * conditional_softmax(q, midpoint, z, self.temperature(), self.inner, noise) - 0.5 * mean
        return passed_through(q, f, z, soft)
