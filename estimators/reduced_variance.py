"""Reduced-variance reparameterization: the pathwise gradient minus its linearisation in the noise, whose mean is known.

A. C. Miller, N. J. Foti, A. D'Amour, R. P. Adams, Reducing reparameterization gradient variance, 2017,
arXiv:1705.07880. With g and H the gradient and the Hessian of f at loc, f's gradient at z = loc + scale * eps is
g + H (scale eps) to first order, which contributes that to loc and eps times that to scale; the means of the two are g
and diag(H) scale, whatever g and H are. No noise is left for a quadratic f. Log q inside f is differentiated through z
alone, as in `sticking-the-landing`.
"""

from torch.distributions import Distribution

from estimators.base import Estimate, Estimator, Objective
from estimators.distributions import parameters, stopped
from estimators.noise import Noise
from estimators.parts.taylor import taylor
from estimators.registry import register


@register(
    "reduced-variance-reparameterization",
    families=("gaussian",),
    method="pathwise",
    unbiased=True,
    f_evals=lambda samples: samples + 1,
    needs="gradient of f",
    summary="pathwise gradient minus its linearisation at the mean; D Hessian-vector products",
    paper="Miller, Foti, D'Amour and Adams 2017, arXiv:1705.07880",
)
class ReducedVarianceReparameterization(Estimator):
    """The full-Hessian form: the exact diagonal takes D Hessian-vector products, which give all of it."""

    def estimate(self, q: Distribution, f: Objective, noise: Noise) -> Estimate:
        loc, scale = parameters(q)
        eps = noise.normal(self.samples, loc)
        cost = f(loc + scale * eps, stopped(q)).mean(0)  # carries the gradients along z and in theta
        at_mean = taylor(q, f)
        hessian_product = at_mean.hessian_product(scale.detach() * eps)  # S x *B x D
        diagonal = at_mean.curvature.diagonal(dim1=-2, dim2=-1)
        of_loc = -hessian_product.mean(0)
        of_scale = diagonal * scale.detach() - ((at_mean.gradient + hessian_product) * eps).mean(0)
        surrogate = cost + (of_loc * loc + of_scale * scale).sum(-1)
        return Estimate(surrogate, cost.detach())
