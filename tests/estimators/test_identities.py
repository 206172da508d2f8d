"""Identities between estimators, sample by sample or in variance, and formulas against slow, obvious ones."""

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Distribution

import estimators
from bench.measure import gradient_moments
from estimators.distributions import from_parameters, log_prob, parameters, sample
from estimators.exact import expectation
from tests.estimators.cases import FAMILIES, build, gradients, leaves, objective
from tests.estimators.drawing import uniform

THETA = torch.tensor(0.7, dtype=torch.float64)


def _gradient(name: str, family: str, values: list[Tensor], seed: int = 3, **options) -> list[Tensor]:
    estimator = estimators.get(name).create(**options)
    estimate = estimator(build(family, values), objective(family, THETA), generator=torch.Generator().manual_seed(seed))
    return list(torch.autograd.grad(estimate.surrogate.sum(), values))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("samples", [2, 5])
def test_rloo_is_reinforce_with_leave_one_out(family: str, samples: int) -> None:
    values = leaves(family, 1.0)
    named = _gradient("rloo", family, values, samples=samples)
    spelt = _gradient("reinforce", family, values, samples=samples, baseline="leave-one-out")
    assert all(torch.equal(a, b) for a, b in zip(named, spelt, strict=True))


@pytest.mark.parametrize("family", FAMILIES)
def test_rloo_of_two_is_half_the_product_of_differences(family: str) -> None:
    values = leaves(family, 1.0)
    q, f = build(family, values), objective(family, THETA)
    z = sample(q, 2, torch.Generator().manual_seed(3))
    cost = f(z, q).detach()
    scores = [torch.autograd.grad(log_prob(build(family, values), z)[k].sum(), values) for k in range(2)]
    for got, first, second in zip(_gradient("rloo", family, values, samples=2), *scores, strict=True):
        difference = (cost[0] - cost[1]).reshape(-1, *[1] * (got.dim() - 1))
        torch.testing.assert_close(got, difference * (first - second) / 2)


def test_disarm_is_its_printed_formula_unit_by_unit() -> None:
    logits = torch.tensor([[0.3, -2.0, 1.1]], dtype=torch.float64, requires_grad=True)
    f = objective("bernoulli", THETA)
    u = uniform(from_parameters("bernoulli", logits), 1, torch.Generator().manual_seed(3))[0, 0]
    theta = logits.detach()[0].sigmoid()
    b, antithetic = (u < theta).double(), (1 - u < theta).double()
    q = from_parameters("bernoulli", logits.detach())
    gap = f(b[None, None], q).item() - f(antithetic[None, None], q).item()
    expected = torch.zeros(3, dtype=torch.float64)
    for i in range(3):
        if b[i] != antithetic[i]:
            expected[i] = 0.5 * gap * (-1) ** int(antithetic[i]) / (1 + math.exp(-abs(logits[0, i].item())))
    (got,) = _gradient("disarm", "bernoulli", [logits], samples=2)
    torch.testing.assert_close(got[0], expected)


@pytest.mark.parametrize(("logit", "gain"), [(0.0, 1.3), (3.0, 0.97)])
def test_disarm_beats_rloo_at_zero_and_hardly_at_large_logits(logit: float, gain: float) -> None:
    """Dong et al. 2020: the gain over two independent draws vanishes as q sharpens."""
    values, f = leaves("bernoulli", logit, rows=1), objective("bernoulli", THETA, entropy=False)
    variances = {
        name: gradient_moments(estimators.get(name).create(samples=2), build("bernoulli", values), f, draws=100_000)
        for name in ("rloo", "disarm")
    }
    assert variances["rloo"].total.estimate > gain * variances["disarm"].total.estimate


def test_straight_through_is_its_printed_formula_and_exact_for_affine_f() -> None:
    logits = torch.tensor([[0.3, -2.0, 1.1]], dtype=torch.float64, requires_grad=True)
    weights = torch.tensor([1.0, -3.0, 0.5], dtype=torch.float64)
    theta = logits.detach().sigmoid()

    def affine(z: Tensor, q: Distribution, /) -> Tensor:
        return z @ weights + 2

    estimate = estimators.get("straight-through").create()(build("bernoulli", [logits]), affine)
    (got,) = torch.autograd.grad(estimate.surrogate.sum(), logits)
    torch.testing.assert_close(got, theta * (1 - theta) * weights)
    exact = gradients(lambda v: expectation(build("bernoulli", v), affine), [logits])
    torch.testing.assert_close(got, exact[0])


def test_straight_through_evaluates_f_at_vertices_exactly() -> None:
    """The vertex plus its soft copy minus its soft copy would be off by rounding."""
    for name, family in (
        ("straight-through", "bernoulli"),
        ("straight-through-gumbel-softmax", "categorical"),
    ):
        (logits,) = (v.detach().float().requires_grad_() for v in leaves(family, 1.0, rows=50))
        seen: list[Tensor] = []

        def f(z: Tensor, q: Distribution, /, seen: list[Tensor] = seen) -> Tensor:
            seen.append(z)
            return z.flatten(2).sum(-1)

        estimators.get(name).create(samples=4)(build(family, [logits]), f, generator=torch.Generator().manual_seed(0))
        assert set(seen[0].unique().tolist()) == {0.0, 1.0}


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


def test_sticking_the_landing_has_no_noise_at_the_posterior() -> None:
    """Where q is the normalised exp(-cost), f is constant: Roeder et al. 2017."""
    loc = torch.tensor([[0.5, -1.0]], dtype=torch.float64)
    scale = torch.full_like(loc, 0.7)
    posterior = from_parameters("gaussian", loc, scale)

    def f(z: Tensor, q: Distribution, /) -> Tensor:
        return log_prob(q, z) - log_prob(posterior, z)

    total, landing = (
        gradient_moments(estimators.get(name).create(), posterior, f, draws=1000).total.estimate
        for name in ("reparameterization", "sticking-the-landing")
    )
    assert landing < 1e-20
    assert total > 1.0


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


def test_vimco_keeps_its_baseline_where_one_weight_dominates() -> None:
    """Subtracting the largest weight from the sum would leave rounding, or the logarithm of a negative number."""
    logits = torch.zeros(1, 2, dtype=torch.float32, requires_grad=True)

    def f(z: Tensor, q: Distribution, /) -> Tensor:
        return -80.0 * z[..., 0]

    estimator = estimators.get("vimco").create(samples=4)
    for seed in range(20):
        estimate = estimator(build("bernoulli", [logits]), f, generator=torch.Generator().manual_seed(seed))
        (g,) = torch.autograd.grad(estimate.surrogate.sum(), logits)
        assert g.isfinite().all()


def test_noise_never_reaches_the_ends_of_the_unit_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch.rand can return 0: the Gumbel and logistic draws made of it must stay finite."""
    monkeypatch.setattr(torch, "rand", lambda shape, **kwargs: torch.zeros(shape, dtype=kwargs["dtype"]))
    for name, family in (("gumbel-sigmoid", "bernoulli"), ("gumbel-softmax", "categorical")):
        values = [v.detach().float().requires_grad_() for v in leaves(family, 1.0)]
        estimate = estimators.get(name).create()(build(family, values), lambda z, q: z.flatten(2).sum(-1))
        (g,) = torch.autograd.grad(estimate.surrogate.sum(), values)
        assert estimate.surrogate.isfinite().all()
        assert g.isfinite().all()


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
