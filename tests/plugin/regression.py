"""A problem of a third party with a data set of its own: Bayesian logistic regression, whose rows share the latents."""

import torch
from torch import nn
from torch.distributions import Normal
from torch.nn import functional as F

from bench.datasets import DatasetInfo, assemble, register_dataset
from bench.problems.base import FamilyName, TrainedProblem, register_problem
from bench.problems.model import Model
from estimators.distributions import kl, sample

FEATURES = 3


@register_dataset(
    DatasetInfo(
        name="separable",
        summary="points in three dimensions with a noisy sign",
        shape=(1, FEATURES + 1),
        rows=(80, 20, 40),
        dynamic=False,
        licence="none needed",
        citation="made here",
        files=(),
        images=False,
    )
)
def separable(info):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(sum(info.rows), FEATURES, generator=generator)
    noise = torch.randn(len(x), 1, generator=generator)
    sign = (x.sum(-1, keepdim=True) + noise).sign()
    return assemble(info, *torch.cat([x, sign], -1).split(info.rows))


@register_problem("regression")
class Regression(TrainedProblem):
    """The weights of a logistic regression: q is Normal and free, the prior standard, the KL in closed form."""

    family: FamilyName = "gaussian"
    latents: int = FEATURES
    dataset: str = "regression:separable"

    def model(self, data, seeds):
        return Posterior(len(seeds), len(data.train), self.latents)


class Posterior(Model):
    """E posteriors over the weights, of one row each."""

    def __init__(self, stack, rows, features):
        super().__init__()
        self.stack, self.rows, self.event, self.context_size = stack, rows, (features,), 0
        self.loc = nn.Parameter(torch.zeros(stack, 1, features))
        self.log_scale = nn.Parameter(torch.full((stack, 1, features), -1.0))

    def encode(self, x):
        return Normal(self.loc, self.log_scale.exp())

    def context(self, x):
        return None

    def objective(self, x):
        inputs, signs = x[..., :-1], x[..., -1]

        def f(z, q):  # z [S, E, 1, D]: the rows' costs, as many as there are in all
            return -F.logsigmoid(signs * (z @ inputs.mT).squeeze(-2)).mean(-1, keepdim=True) * self.rows

        return f

    def closed_form(self, q):
        prior = Normal(torch.zeros(self.event), torch.ones(self.event))
        return kl(q, prior)

    def bounds(self, x, samples, generator):
        q = self.encode(x)
        z = sample(q, samples, generator)
        likelihood = F.logsigmoid(x[..., -1] * (z @ x[..., :-1].mT).squeeze(-2))  # K x E x B
        return likelihood.mean(0) - self.closed_form(q) / self.rows, likelihood
