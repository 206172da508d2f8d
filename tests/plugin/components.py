"""A problem of a third party that is trained, in one file: logistic principal components with amortised q."""

import torch
from torch import nn
from torch.distributions import Normal
from torch.nn import functional as F

from bench.problems.base import TrainedProblem, register_problem
from bench.problems.model import Model
from bench.seeds import stream
from estimators.distributions import log_prob


@register_problem("components")
class Components(TrainedProblem):
    """Logistic principal components: bits are Bernoulli of z times loadings, and q's mean is linear in x."""

    def model(self, data, seeds):
        return Loadings(self.event, data.train.shape[1], seeds)


class Loadings(Model):
    """E models: loadings [E, D, X], their transpose in the encoder."""

    def __init__(self, event, pixels, seeds):
        super().__init__()
        self.stack, self.event, self.context_size = len(seeds), event, pixels
        drawn = [torch.randn(*event, pixels, generator=stream("weights", seed)) / pixels for seed in seeds]
        self.loadings = nn.Parameter(torch.stack(drawn))
        self.log_scale = nn.Parameter(torch.zeros(len(seeds), 1, *event))

    def encode(self, x):
        loc = x @ self.loadings.mT
        return Normal(loc, self.log_scale.exp().expand_as(loc))

    def objective(self, x):
        def f(z, q):
            logits = z @ self.loadings
            likelihood = (x * logits - F.softplus(logits)).sum(-1)
            return log_prob(q, z) - Normal(torch.zeros_like(z), 1.0).log_prob(z).sum(-1) - likelihood

        return f
