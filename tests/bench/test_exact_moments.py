"""Exact moments against what is sampled, and what they refuse."""

import copy
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Distribution, Independent, Normal

import estimators
from bench.measure import NotExact, exact, exact_moments, gradient_moments
from bench.measure.points import exact_reference, measure_point
from bench.problems.toys import ToyConfig
from bench.problems.vae import VAEConfig
from estimators import Estimate, Estimator
from estimators.distributions import row_shape, sample
from estimators.exact import expectation
from estimators.integration import groups, integrate
from tests.estimators.cases import build, leaves, objective

SAMPLED = [
    ("gaussian", "reparameterization", {}),
    ("gaussian", "sticking-the-landing", {}),
    ("gaussian", "reinforce", {}),
    ("bernoulli", "reinforce", {}),
    ("bernoulli", "rloo", {}),
    ("bernoulli", "arm", {}),
    ("bernoulli", "disarm", {}),
    ("bernoulli", "straight-through", {}),
    ("bernoulli", "augment-reinforce", {}),
    ("bernoulli", "local-expectation", {}),
    ("categorical", "exact", {}),
    ("categorical", "reinforce", {}),
    ("categorical", "rloo", {}),
    ("categorical", "zgr", {}),
    ("categorical", "straight-through", {}),
]


@pytest.mark.parametrize(("family", "name", "options"), SAMPLED)
def test_sampled_moments_agree(family: str, name: str, options: dict) -> None:
    """Means within 4.5 standard errors in each coordinate, the total within its interval."""
    q, f, draws = build(family, leaves(family, 1.0)), objective(family, torch.tensor(0.7)), 20_000
    estimator = estimators.get(name).create(**options)
    exact, sampled = exact_moments(estimator, q, f), gradient_moments(estimator, q, f, draws=draws, level=0.999)
    assert exact.mean.shape == exact.variance.shape == sampled.mean.shape
    assert exact.total == pytest.approx(float(exact.variance.sum()))
    assert exact.tolerance < 1e-8
    error = (exact.variance / draws).sqrt()
    assert ((exact.mean - sampled.mean).abs() <= 4.5 * error + 1e-12).all()
    assert sampled.total.low <= exact.total <= sampled.total.high


@pytest.mark.parametrize("name", ["disarm", "rloo", "augment-reinforce", "straight-through"])
def test_variances_of_a_small_vae_agree(name: str) -> None:
    """On four digits and three latents, with respect to the mean over rows, as records hold them."""
    problem = VAEConfig(kind="vae", dataset="digits", family="bernoulli", latents=3, architecture=(20,))
    data = problem.data()
    model = problem.model(data, [0]).double()
    x = (data.train[None, 3:7] > 0.5).double()
    with torch.no_grad():
        q = model.encode(x)
    f, context = model.objective(x), model.context(x)
    reference = exact_reference(lambda q: [expectation(q, f)], q, "enumeration")
    exact = exact_moments(estimators.get(name).create(), q, f, context=context)
    point = measure_point(estimators.get(name).create(), q, f, reference, draws=20_000, seed=0, context=context)
    assert exact.tolerance < 1e-8
    assert point.q.variance.low <= exact.total / 16 <= point.q.variance.high
    unbiased = estimators.get(name).unbiased
    assert torch.allclose(exact.mean, reference.gradient, atol=1e-10) == unbiased


def cost(z: Tensor, q: Distribution) -> Tensor:
    return (z - 0.3).square().sum(-1) + z.prod(-1)


LOGITS = torch.tensor([[0.3, -1.0], [2.0, -0.5], [0.1, 4.0]], dtype=torch.float64)


def test_rows_are_flattened_and_shaped_back() -> None:
    """f knows all rows, and those alone; a part of them is not asked for by itself."""
    targets = torch.linspace(0, 1, 6, dtype=torch.float64).reshape(2, 3)

    def f(z: Tensor, q: Distribution) -> Tensor:
        assert z.shape[-3:-1] == row_shape(q)[-2:] == (2, 3)
        return (z.sum(-1) - targets).square() * z[..., 0].exp()

    logits = torch.stack((LOGITS, -LOGITS)) / 4
    found = exact_moments(estimators.get("gumbel-sigmoid").create(), Bernoulli(logits=logits[:, :, :1]), f)
    assert found.mean.shape == (2, 3, 1)
    for i, j in ((0, 1), (1, 2)):
        alone = exact_moments(
            estimators.get("gumbel-sigmoid").create(),
            Bernoulli(logits=logits[i, j, :1]),
            lambda z, q, t=targets[i, j]: (z.sum(-1) - t).square() * z[..., 0].exp(),
        )
        torch.testing.assert_close(alone.mean, found.mean[i, j], rtol=1e-6, atol=1e-12)
        torch.testing.assert_close(alone.variance, found.variance[i, j], rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_q_in_lower_precision_is_computed_in_double(dtype: torch.dtype) -> None:
    estimator, logits = estimators.get("disarm").create(), LOGITS.to(dtype)
    found = exact_moments(estimator, Bernoulli(logits=logits), cost)
    other = exact_moments(estimator, Bernoulli(logits=logits.double()), cost)
    assert found.mean.dtype == torch.float64
    torch.testing.assert_close(found.variance, other.variance, rtol=1e-12, atol=0)


def test_an_f_of_single_precision_weights_is_computed_in_its_own_precision() -> None:
    network = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1))
    q, estimator = Bernoulli(logits=LOGITS.float()), estimators.get("disarm").create()
    found = exact_moments(estimator, q, lambda z, q: network(z).squeeze(-1))
    double = copy.deepcopy(network).double()
    wide = exact_moments(estimator, Bernoulli(logits=q.logits.double()), lambda z, q: double(z).squeeze(-1))
    torch.testing.assert_close(found.mean, wide.mean, rtol=1e-4, atol=1e-7)


def test_independent_and_a_row_of_no_dims() -> None:
    loc = torch.tensor([0.3, -0.4], dtype=torch.float64)
    q, estimator = Normal(loc, loc.abs()), estimators.get("reparameterization").create()
    found = exact_moments(estimator, Independent(q, 1), cost)
    assert found.mean.shape == (4,)  # loc and scale side by side
    assert found.mean.tolist() == exact_moments(estimator, q, cost).mean.tolist()


def test_own_state_is_used_as_it_stands_and_left() -> None:
    estimator = estimators.get("reinforce").create(baseline="moving-average").train()
    q = Bernoulli(logits=LOGITS)
    cold = exact_moments(estimator, q, cost)
    assert cold.total == pytest.approx(exact_moments(estimators.get("reinforce").create(), q, cost).total)
    for _ in range(50):
        estimator(q, cost, generator=torch.Generator().manual_seed(1))
    before = copy.deepcopy(estimator.state_dict())
    warm = exact_moments(estimator, q, cost)
    assert warm.total < 0.9 * cold.total
    assert estimator.training
    assert all(torch.equal(value, before[key]) for key, value in estimator.state_dict().items())
    sampled = gradient_moments(estimator, q, cost, draws=20_000, warm_up=0)
    assert sampled.total.low < warm.total < sampled.total.high


def test_a_context_reaches_its_rows() -> None:
    estimator = estimators.get("reinforce").create(baseline="input-dependent")
    estimator.bind(context_size=2, event=(2,), generator=torch.Generator().manual_seed(0)).double()
    q, context = Bernoulli(logits=LOGITS), LOGITS.flip(0)
    found = exact_moments(estimator, q, cost, context=context)
    alone = exact_moments(estimator, Bernoulli(logits=LOGITS[1:2]), cost, context=context[1:2])
    torch.testing.assert_close(alone.variance[0], found.variance[1], rtol=1e-10, atol=0)


class Shared(Estimator):
    """Its noise is of no row."""

    def forward(self, q, f, *, generator=None, context=None) -> Estimate:
        u = torch.rand(1, dtype=torch.float64, generator=generator)
        value = f(sample(q, 1, None), q)[0].detach()
        return Estimate(u * q.logits.sum(-1), value)


def test_a_product_too_large_for_a_float_is_only_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """As 24 nodes along each of 230 coordinates are; what does not interact is still found."""
    monkeypatch.setattr(groups, "USUAL", 10**200)
    q = Normal(torch.zeros(1, 3, dtype=torch.float64), torch.ones(1, 3, dtype=torch.float64))
    found = exact_moments(estimators.create("reparameterization"), q, lambda z, q: z.square().sum(-1))
    assert found.total == pytest.approx(3 * (4 + 8))


def test_refusals_name_the_row_the_reason_and_the_way_out() -> None:
    estimator = estimators.get("rebar").create(samples=3)
    with pytest.raises(NotExact, match=r"^rebar: no exact moments at row \[0\] of q: .*; sample them by gradient"):
        exact_moments(estimator, Bernoulli(logits=LOGITS), cost, budget=1e3)
    with pytest.raises(NotExact, match=r"whose rows cannot be told"):
        exact_moments(Shared(), Bernoulli(logits=LOGITS), cost)
    with pytest.raises(estimators.BadInput, match="f has noise of its own"):
        exact_moments(estimators.get("rloo").create(), Bernoulli(logits=LOGITS), lambda z, q: torch.rand(z.shape[:-1]))
    with pytest.raises(estimators.BadInput, match="q has no rows"):
        exact_moments(estimators.get("rloo").create(), Bernoulli(logits=LOGITS[:0]), cost)
    with pytest.raises(FloatingPointError, match="not finite"):
        exact_moments(estimators.get("rloo").create(), Bernoulli(logits=LOGITS), lambda z, q: z.sum(-1) * torch.nan)


@pytest.mark.parametrize("seed", [1, 9, 12, 13, 28])
def test_a_sharp_race_is_integrated_from_whatever_places_it_is_looked_at(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Arrivals later than noise of 53 bits can tell, once in e^37 draws, were taken for draws that jump."""
    monkeypatch.setattr(exact, "integrate", partial(integrate, seed=seed))
    (point,) = ToyConfig(
        kind="toy", objective="cubic", family="categorical", latents=3, categories=4, logits=(6.0,)
    ).points()
    q, f = point.q(), point.f()
    found = exact_moments(estimators.create("straight-through", samples=1), q, f)
    assert found.tolerance < 1e-8
