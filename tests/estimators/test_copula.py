"""Copulas: the chances of each number of events, and the joint law of the draws, against their definition."""

import itertools
import math
from decimal import Decimal, localcontext

import pytest
import torch
from scipy import stats
from torch import Tensor

import estimators
from estimators.distributions import from_parameters
from estimators.exact import expectation
from estimators.noise import Noise
from estimators.parts.copula import COPULAS, MOST_COUNTED, MOST_LISTED, _at_least, _subsets
from tests.estimators.tables import Table, estimate_with

DOUBLE = torch.float64
AWAY = torch.linspace(0, 50, 201, dtype=DOUBLE)
NEVER_DRAWN = 1e-20
"""Far below the least uniform number, 5e-17; digits of smaller chances decide nothing."""


def in_decimals(count: int, away: float) -> list[float]:
    """P(at least k happen), from the chances that exactly k do, in 120 digits."""
    with localcontext() as context:
        context.prec = 120
        gap = 1 - (-(1 + Decimal(away).exp()).ln() / (count - 1)).exp()
        exactly = []
        for k in range(count + 1):
            signed = [
                (-1) ** i * math.comb(count - k, i) * max(Decimal(0), 1 - (k + i) * gap) ** (count - 1)
                for i in range(count - k + 1)
            ]
            exactly.append(math.comb(count, k) * sum(signed))
        assert abs(sum(exactly) - 1) < Decimal("1e-100")
        return [float(sum(exactly[k:])) for k in range(1, count + 1)]


@pytest.mark.parametrize("count", range(2, MOST_COUNTED + 1))
def test_chances_of_each_number_of_events_are_exact(count: int) -> None:
    expected = torch.tensor([in_decimals(count, away) for away in AWAY.tolist()], dtype=DOUBLE).T
    torch.testing.assert_close(_at_least(count, AWAY), expected, rtol=1e-12, atol=NEVER_DRAWN)


@pytest.mark.parametrize("count", range(2, MOST_COUNTED + 1))
def test_chances_of_each_number_of_events_make_the_marginal_and_the_correlation(count: int) -> None:
    chances, rare = _at_least(count, AWAY), (-AWAY).sigmoid()
    torch.testing.assert_close(chances.sum(0) / count, rare, rtol=1e-12, atol=0)
    # Of k events, k (k - 1) / 2 pairs happen: k - 1 more than of k - 1 events.
    pairs = torch.arange(count, dtype=DOUBLE) @ chances
    both = pairs / math.comb(count, 2)
    found = (rare - both) / (rare * (1 - rare))
    torch.testing.assert_close(found, COPULAS["dirichlet"].decorrelation(count, AWAY), rtol=1e-12, atol=0)


def which_happened(events: Tensor) -> Tensor:
    """How often each subset of the n draws [n, N] is the one where the event happens, [2^n]."""
    place = 2 ** torch.arange(len(events))
    return (events.long() * place.unsqueeze(1)).sum(0).bincount(minlength=2 ** len(events))


def by_definition(copula: str, count: int, away: float, draws: int, generator: torch.Generator) -> Tensor:
    """Events [n, N] of a point of the simplex, or of normal numbers minus their mean."""
    rare = 1 / (1 + math.exp(away))
    if copula == "dirichlet":
        x = torch.empty(count, draws, dtype=DOUBLE).exponential_(generator=generator)
        return (1 - x / x.sum(0)) ** (count - 1) < rare
    x = torch.randn(count, draws, dtype=DOUBLE, generator=generator)
    return (x - x.mean(0)) * math.sqrt(count / (count - 1)) < stats.norm.ppf(rare)


@pytest.mark.parametrize(
    ("copula", "count"),
    [("dirichlet", n) for n in (2, 3, 4, 5, MOST_LISTED, MOST_LISTED + 1, MOST_COUNTED, MOST_COUNTED + 1)]
    + [("gaussian", n) for n in (2, 3, 4)],
)
@pytest.mark.parametrize("away", [0.0, 0.4, 1.5, 4.0])
def test_draws_have_the_joint_law_of_their_definition(copula: str, count: int, away: float) -> None:
    """Which of the first five draws it happens in, and in how many of all."""
    generator, draws = torch.Generator().manual_seed(count), 200_000
    found = COPULAS[copula].draw(count, torch.full((draws,), away, dtype=DOUBLE), Noise(generator))
    expected = by_definition(copula, count, away, draws, generator)
    tables = [torch.stack([which_happened(events[:5]) for events in (found, expected)])]
    tables.append(torch.stack([events.long().sum(0).bincount(minlength=count + 1) for events in (found, expected)]))
    for table in tables:
        often = table.sum(0) >= 20
        pooled = torch.cat((table[:, often], table[:, ~often].sum(1, keepdim=True)), 1)
        assert stats.chi2_contingency(pooled[:, pooled.sum(0) > 0].numpy()).pvalue > 1e-4


@pytest.mark.parametrize("count", range(2, MOST_LISTED + 1))
def test_all_choices_of_as_many_draws_are_listed_equally_often(count: int) -> None:
    for number, choices in enumerate(_subsets(count, torch.device("cpu")).movedim(1, 0)):  # n x L
        assert bool((choices.sum(0) == number).all())
        often = which_happened(choices)
        assert often[often > 0].unique().numel() == 1
        assert int((often > 0).sum()) == math.comb(count, number)


def cells(count: int, away: Tensor) -> tuple[list[list[tuple[float, int]]], list[list[float]]]:
    """For each bit, (a uniform number, a choice) for each outcome of its noise, and the outcomes' chances."""
    length = _subsets(count, away.device).shape[-1]
    points, chances = [], []
    for tail in _at_least(count, away).T.tolist():
        ends = [1.0, *tail, 0.0]
        between = [((a + b) / 2, a - b) for a, b in itertools.pairwise(ends) if a > b]
        points.append([(u, c) for u, _ in between for c in range(length)])
        chances.append([width / length for _, width in between for _ in range(length)])
    return points, chances


@pytest.mark.parametrize("samples", [2, 3, 4])
@pytest.mark.parametrize("values", [[0.0, 0.0], [0.7, -2.0], [-6.0, 15.0]])
def test_the_mean_of_arms_is_exact_over_all_its_outcomes(samples: int, values: list[float]) -> None:
    logits, costs = torch.tensor(values, dtype=DOUBLE), torch.tensor([[0.3, -1.1], [2.0, 0.9]], dtype=DOUBLE)

    def f(z: Tensor, q: torch.distributions.Distribution, /) -> Tensor:
        return costs[z[..., 0].long(), z[..., 1].long()]

    points, chances = cells(samples, logits.abs())
    grid = torch.tensor(list(itertools.product(*points)), dtype=DOUBLE)  # rows x D x 2
    weight = torch.tensor(list(itertools.product(*chances)), dtype=DOUBLE).prod(-1)
    noise = Table(grid[None, :, :, 0], grid[None, :, :, 1].long())
    leaf = logits.expand(len(grid), -1).clone().requires_grad_()
    estimator = estimators.get("arms").create(samples=samples)
    estimate = estimate_with(noise, estimator, from_parameters("bernoulli", leaf), f)
    (found,) = torch.autograd.grad(estimate.surrogate.sum(), leaf)
    one = logits.clone().requires_grad_()
    (expected,) = torch.autograd.grad(expectation(from_parameters("bernoulli", one), f).sum(), one)
    torch.testing.assert_close(weight @ found, expected, rtol=1e-9, atol=1e-13)
