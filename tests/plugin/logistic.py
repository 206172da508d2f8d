"""A problem of a third party, in one file: Bayesian logistic regression, at a q of a given width."""

import torch
from torch.distributions import Normal
from torch.nn import functional as F

from bench.problems.base import FamilyName, PointProblem, register_problem
from bench.seeds import stream
from estimators.distributions import log_prob


@register_problem("logistic")
class LogisticRegression(PointProblem):
    """The weights of a logistic regression on points made up here; q is Normal around 0."""

    family: FamilyName = "gaussian"
    latents: int = 2
    scales: tuple[float, ...] = ()
    scale: float | None = None

    def points(self):
        return [self.model_copy(update={"scales": (), "scale": scale}) for scale in self.scales]

    def q(self):
        loc = torch.zeros(1, self.latents, dtype=torch.float64)
        return Normal(loc, torch.full_like(loc, self.scale))

    def f(self):
        x = torch.randn(20, self.latents, generator=stream("logistic"), dtype=torch.float64)
        signs = x.sum(-1).sign()

        def objective(z, q):  # z [S, 1, D]: minus the integrand of the ELBO
            prior = Normal(torch.zeros_like(z), 1.0).log_prob(z).sum(-1)
            return log_prob(q, z) - prior - F.logsigmoid(signs * (z @ x.T)).sum(-1)

        return objective
