"""`CategoricalQuadratic`: a random quadratic of one categorical, its bias and variance free of the estimate's scale."""

import math
from functools import cache

import torch
from torch import Tensor
from torch.distributions import Distribution, OneHotCategorical

from bench.measure.draws import gradients
from bench.measure.exact import exact_moments
from bench.published.judge import Number
from bench.published.protocols import CategoricalQuadratic
from bench.studies.published.measure import BUDGET, Numbers, measure, scatter
from estimators.base import Objective
from estimators.exact import expectation
from estimators.objective import checked
from estimators.registry import create

REPETITIONS = 200
"""Of a sampled number, for its distance from the truth: known to a twentieth."""


def problem(classes: int, seed: int) -> tuple[OneHotCategorical, Objective, Tensor]:
    """q of one row, f and the true gradient [d]; drawn in single precision, as the authors do, and kept in double."""
    generator = torch.Generator().manual_seed(seed)  # the numbers of torch.manual_seed
    root, b, eta = (torch.randn(*size, generator=generator) for size in ((classes, classes), (classes,), (classes,)))
    a, b, logits = (root.T @ root).double(), b.double(), eta.double().view(1, 1, classes).requires_grad_()

    def f(z: Tensor, q: Distribution) -> Tensor:
        return ((z @ a * z).sum(-1) + z @ b).sum(-1)

    (true,) = torch.autograd.grad(expectation(OneHotCategorical(logits=logits), f).sum(), logits)
    return OneHotCategorical(logits=logits.detach()), f, true.flatten()


def rescaled(mean: Tensor, variance: Tensor, true: Tensor) -> tuple[Tensor, Tensor]:
    """Squared bias and total variance [...] of means and variances [..., d] once the mean is as long as the truth."""
    factor = true.norm() / mean.norm(dim=-1, keepdim=True)
    return (factor * mean - true).square().sum(-1), (factor.square() * variance).sum(-1)


@measure.register
@cache
def _(protocol: CategoricalQuadratic, label: str) -> Numbers:
    q, f, true = problem(protocol.classes, protocol.seed)
    found = exact_moments(create(label), q, f, budget=BUDGET)
    squared_bias, variance = (float(x) for x in rescaled(found.mean.flatten(), found.variance.flatten(), true))
    # The mean is known to this share of the root mean square length; its square moves by twice that times the bias.
    error = found.tolerance * math.sqrt(float(true.square().sum()) + variance)
    of_bias = 2 * math.sqrt(squared_bias) * error + error**2
    return {"squared bias": Number(squared_bias, of_bias), "variance": Number(variance, 3 * found.tolerance * variance)}


@scatter.register
def _(protocol: CategoricalQuadratic, label: str, draws: int) -> dict[str, float]:
    q, f, true = problem(protocol.classes, protocol.seed)
    estimator = create(label)
    objective = checked(f, q, estimator)
    blocks = gradients(estimator, objective.given.q, objective, draws=draws * REPETITIONS, seed=0)
    drawn = torch.cat([block.flatten(1) for block in blocks]).unflatten(0, (REPETITIONS, draws))  # R x n x d
    made = dict(zip(protocol.quantities, rescaled(drawn.mean(1), drawn.var(1), true), strict=True))
    truth = measure(protocol, label)
    return {name: float((values - truth[name].value).square().mean().sqrt()) for name, values in made.items()}
