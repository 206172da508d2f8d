"""Identities between estimators, sample by sample or in variance, and formulas against slow, obvious ones."""

import math

import pytest
import torch
from torch import Tensor

import estimators
from bench.measure import gradient_moments
from estimators.distributions import from_parameters, log_prob, parameters, sample
from estimators.exact import expectation
from tests.estimators.cases import FAMILIES, build, gradients, leaves, objective

THETA = torch.tensor(0.7, dtype=torch.float64)


def _gradient(name: str, family: str, values: list[Tensor], seed: int = 3, **options) -> list[Tensor]:
    estimator = estimators.get(name).create(**options)
    estimate = estimator(build(family, values), objective(family, THETA), generator=torch.Generator().manual_seed(seed))
    return list(torch.autograd.grad(estimate.surrogate.sum(), values))


@pytest.mark.parametrize("family", FAMILIES)
def test_rloo_is_reinforce_with_leave_one_out(family: str) -> None:
    values = leaves(family, 1.0)
    named = _gradient("rloo", family, values, samples=5)
    spelt = _gradient("reinforce", family, values, samples=5, baseline="leave-one-out")
    assert all(torch.equal(a, b) for a, b in zip(named, spelt, strict=True))


@pytest.mark.parametrize(("name", "family"), [("gumbel-sigmoid", "bernoulli"), ("gumbel-softmax", "categorical")])
def test_relaxations_lose_their_bias_as_they_cool(name: str, family: str) -> None:
    values, f = leaves(family, 1.0, rows=1), objective(family, THETA)
    exact = gradients(lambda v: expectation(build(family, v), f), values)[0].flatten()
    bias = {}
    for temperature in (2.0, 0.1):
        estimator = estimators.get(name).create(temperature=temperature)
        moments = gradient_moments(estimator, build(family, values), f, draws=200_000, seed=1)
        bias[temperature] = (moments.mean.flatten() - exact).norm()
    assert bias[0.1] < 0.3 * bias[2.0]


def test_vimco_is_the_sum_written_out() -> None:
    logits = torch.tensor([[0.3, -2.0, 1.1]], dtype=torch.float64, requires_grad=True)
    f, count = objective("bernoulli", THETA), 3
    (got,) = _gradient("vimco", "bernoulli", [logits], samples=count)
    z = sample(build("bernoulli", [logits]), count, torch.Generator().manual_seed(3))
    live = build("bernoulli", [logits])
    log_w = [-f(z[k : k + 1], live)[0, 0] for k in range(count)]
    weights = [w.exp().item() for w in log_w]
    bound = math.log(sum(weights) / count)
    expected = torch.zeros_like(logits)
    for k in range(count):
        others = [weights[j] for j in range(count) if j != k]
        geometric = math.prod(others) ** (1 / len(others))
        without = math.log((sum(others) + geometric) / count)
        (score,) = torch.autograd.grad(log_prob(live, z)[k].sum(), logits, retain_graph=True)
        (direct,) = torch.autograd.grad(log_w[k], logits, retain_graph=True)
        expected -= (bound - without) * score + weights[k] / sum(weights) * direct
    torch.testing.assert_close(got, expected)


def test_log_prob_extends_affinely_to_relaxed_points() -> None:
    for family in ("bernoulli", "categorical"):
        q = build(family, leaves(family, 1.3))
        z = sample(q, 2, torch.Generator().manual_seed(0))
        middle = 0.25 * z[:1] + 0.75 * z[1:]
        ends = log_prob(q, z)
        torch.testing.assert_close(log_prob(q, middle)[0], 0.25 * ends[0] + 0.75 * ends[1])
        per_unit = q.log_prob(z)
        torch.testing.assert_close(ends, per_unit.sum(-1))
    normal = build("gaussian", leaves("gaussian", 1.0))
    z = sample(normal, 3, torch.Generator().manual_seed(0))
    torch.testing.assert_close(log_prob(normal, z), normal.log_prob(z).sum(-1))
    assert parameters(normal)[0].shape == (2, 3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("logit", [0.0, 15.0, 21.0, -21.0, 50.0, -50.0])
def test_the_score_of_a_bit_keeps_its_digits_where_q_is_nearly_certain(logit: float, dtype: torch.dtype) -> None:
    """Its mean is 0 to the relative precision of its own terms, which are of the size of the gradient there."""
    logits = torch.tensor([logit], dtype=dtype, requires_grad=True)
    q = from_parameters("bernoulli", logits)
    scores = [torch.autograd.grad(log_prob(q, torch.tensor([b], dtype=dtype)), logits)[0] for b in (0.0, 1.0)]
    expected = torch.tensor([-logit, logit], dtype=torch.float64).sigmoid()  # chances of 0 and of 1
    torch.testing.assert_close(scores[0].double(), -expected[1:], rtol=1e-6, atol=0)
    torch.testing.assert_close(scores[1].double(), expected[:1], rtol=1e-6, atol=0)
