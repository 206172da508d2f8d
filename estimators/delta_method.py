"""The delta method: the score function with f's Taylor expansion at q's mean as control variate.

S. Mohamed, M. Rosca, M. Figurnov, A. Mnih, Monte Carlo gradient estimation in machine learning, 2019,
arXiv:1906.10652; J. Paisley, D. Blei, M. Jordan, Variational Bayesian inference with stochastic search, 2012,
arXiv:1206.6430. Order 1 is MuProp for Normal latents: S. Gu, S. Levine, I. Sutskever, A. Mnih, 2015, arXiv:1511.05176.
With g and H the gradient and the Hessian of f at loc, and h(z) = f(loc) + g . (z - loc) + (z - loc) . H (z - loc) / 2:
(f(z) - h(z)) grad log q(z), plus the gradient of E_q[h] for fixed g and H, which is g for loc and diag(H) scale for
scale. H is the full one, so that nothing is left of any quadratic f; log q inside f is one, of which order 1 leaves the
noise however narrow q is.
"""

from torch.distributions import Distribution

from estimators.base import Estimate, Estimator, Objective
from estimators.distributions import parameters, sample, scored, stopped
from estimators.noise import Noise
from estimators.parts.taylor import taylor
from estimators.registry import register


@register(
    "delta-method",
    families=("gaussian",),
    method="control variate",
    unbiased=True,
    f_evals=lambda samples: samples + 1,
    needs="gradient of f",
    variants=({"order": 1},),
    summary="score function, Taylor control variate; order = 1 (MuProp) | 2 (and D Hessian-vector products)",
    paper="Mohamed et al. 2019, arXiv:1906.10652; Gu et al. 2015, arXiv:1511.05176",
)
class DeltaMethod(Estimator):
    """The expansion of order 1 or 2; f is evaluated once more than it is drawn, at the mean."""

    def __init__(self, samples: int = 1, order: int = 2) -> None:
        super().__init__(samples)
        if order not in (1, 2):
            raise ValueError(f"order must be 1 or 2, got {order}")
        self.order = order

    def estimate(self, q: Distribution, f: Objective, noise: Noise) -> Estimate:
        loc, scale = parameters(q)
        z = sample(q, self.samples, noise)
        cost = f(z, stopped(q))  # S x *B
        at_mean = taylor(q, f, order=self.order)
        step = z - loc.detach()
        expansion = at_mean.value + (step * (at_mean.gradient + 0.5 * at_mean.hessian_product(step))).sum(-1)
        diagonal = at_mean.curvature.diagonal(dim1=-2, dim2=-1)
        mean = (at_mean.gradient * loc + diagonal * scale.detach() * scale).sum(-1)  # its gradient is that of E_q[h]
        surrogate = scored(q, z, (cost - expansion) / self.samples) + cost.mean(0) + mean
        return Estimate(surrogate, cost.detach().mean(0))
