"""`CategoricalQuadratic`: a random quadratic of one categorical, its bias and variance free of the estimate's scale."""

import math
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution, OneHotCategorical

from bench.measure.draws import probe
from bench.measure.exact import NotExact, exact_moments
from bench.published.judge import Number
from bench.published.protocols import CategoricalQuadratic
from bench.studies.published.measure import BUDGET, Numbers, measure, scatter
from estimators.base import Objective
from estimators.call import trusted
from estimators.exact import expectation
from estimators.objective import checked
from estimators.registry import create

LARGEST = 200
"""Numbers in the largest tensor of a call for one gradient, up to which an integral is tried: with more of them it
takes minutes to find out that there is none."""
DRAWS = 40_000
"""Of a gradient, where no integral over its noise is known."""
ROWS = 1000
"""Of them, by one call."""
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


class Sums(NamedTuple):
    """Of draws of a gradient, class by class of the draw behind each."""

    n: Tensor
    """[..., C, 1], how many."""
    total: Tensor
    """[..., C, d]."""
    squares: Tensor
    """[..., C, d]."""

    def moments(self, chances: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of the gradient [..., d], where a class has this chance [C, 1] and not its share of draws.

        They are those of the authors' `compute_bias_variance_gr`: the variance between the classes is lessened by what
        chance alone adds to it, so that it is right in the mean.
        """
        means = self.total / self.n
        within = (self.squares - self.n * means.square()) / (self.n - 1)
        mean = (chances * means).sum(-2)
        between = (chances * means.square()).sum(-2) - mean.square()
        added = ((chances - chances.square()) * within / self.n).sum(-2)
        return mean, (chances * within).sum(-2) + between - added


class Pool:
    """Draws of a gradient where it cannot be integrated, and the class that each was drawn at.

    Args:
        protocol: of what.
        label: our estimator.
    """

    def __init__(self, protocol: CategoricalQuadratic, label: str) -> None:
        q, f, self.true = problem(protocol.classes, protocol.seed)
        estimator, generator = create(label), torch.Generator().manual_seed(0)
        logits = q.logits.expand(ROWS, 1, protocol.classes)
        seen, drawn = list[Tensor](), list[Tensor]()

        def watched(z: Tensor, given: Distribution) -> Tensor:
            seen.append(z.detach().argmax(-1).flatten())
            return f(z, given)

        for _ in range(DRAWS // ROWS):
            rows = logits.clone().requires_grad_()
            with trusted():
                surrogate = estimator(OneHotCategorical(logits=rows), watched, generator=generator).surrogate
            (gradient,) = torch.autograd.grad(surrogate.sum(), rows)
            drawn.append(gradient.squeeze(1))
        assert len(seen) == len(drawn), "f was called more than once for a gradient"
        gradients, classes = torch.cat(drawn), torch.cat(seen)
        self.chances = q.probs.view(-1, 1)
        self.of_class = [gradients[classes == one] for one in range(protocol.classes)]

    def numbers(self, protocol: CategoricalQuadratic) -> Numbers:
        """Squared bias and variance, each with its standard error by the jackknife, class by class."""
        count = torch.tensor([[float(len(part))] for part in self.of_class])
        whole = Sums(count, *(torch.stack([part.pow(k).sum(0) for part in self.of_class]) for k in (1, 2)))
        spread = torch.zeros(2, dtype=torch.float64)
        for place, part in enumerate(self.of_class):
            away = torch.zeros(len(part), *whole.total.shape, dtype=torch.float64)
            away[:, place] = part  # n x C x d: of each draw, what is left out with it
            fewer = count - torch.eye(len(count))[:, place : place + 1]
            left = Sums(fewer.expand(len(part), -1, -1), whole.total - away, whole.squares - away.square())
            without = torch.stack(rescaled(*left.moments(self.chances), self.true))
            spread += (len(part) - 1) * without.var(-1, correction=0)
        found, n = rescaled(*whole.moments(self.chances), self.true), int(count.sum())
        named = zip(protocol.quantities, found, spread.sqrt().tolist(), strict=True)
        return {name: Number(float(value), 0.0, error, n) for name, value, error in named}

    def simulated(self, draws: int) -> tuple[Tensor, Tensor]:
        """Squared biases and variances [R] as the authors have them, of so many draws a class, drawn of this pool."""
        generator = torch.Generator().manual_seed(1)
        parts = []
        for of_class in self.of_class:
            drawn = of_class[torch.randint(len(of_class), (REPETITIONS, draws), generator=generator)]  # R x M x d
            parts.append(Sums(torch.full((REPETITIONS, 1), float(draws)), drawn.sum(1), drawn.square().sum(1)))
        sums = Sums(*(torch.stack(part, -2) for part in zip(*parts, strict=True)))
        return rescaled(*sums.moments(self.chances), self.true)


@cache
def pool(protocol: CategoricalQuadratic, label: str) -> Pool:
    """The draws behind our numbers, of which the published ones are simulated too."""
    return Pool(protocol, label)


def exact(protocol: CategoricalQuadratic, label: str) -> Numbers:
    """By integration.

    Raises:
        NotExact: of this estimator it is not possible, or would take long.
    """
    q, f, true = problem(protocol.classes, protocol.seed)
    estimator = create(label)
    if (largest := probe(estimator, q, checked(f, q, estimator)).largest) > LARGEST:
        raise NotExact(f"{label} makes {largest} numbers at once, and more than {LARGEST} are not integrated over")
    found = exact_moments(estimator, q, f, budget=BUDGET)
    squared_bias, variance = (float(x) for x in rescaled(found.mean.flatten(), found.variance.flatten(), true))
    # The mean is known to this share of the root mean square length; its square moves by twice that times the bias.
    error = found.tolerance * math.sqrt(float(true.square().sum()) + variance)
    of_bias = 2 * math.sqrt(squared_bias) * error + error**2
    return {"squared bias": Number(squared_bias, of_bias), "variance": Number(variance, 3 * found.tolerance * variance)}


@measure.register
@cache
def _(protocol: CategoricalQuadratic, label: str) -> Numbers:
    try:
        return exact(protocol, label)
    except NotExact:
        return pool(protocol, label).numbers(protocol)


@scatter.register
def _(protocol: CategoricalQuadratic, label: str, draws: int) -> dict[str, float]:
    made = dict(zip(protocol.quantities, pool(protocol, label).simulated(draws), strict=True))
    truth = measure(protocol, label)
    return {name: float((values - truth[name].value).square().mean().sqrt()) for name, values in made.items()}
