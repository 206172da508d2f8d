"""Normal latents with a full covariance."""

import math

import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.distributions import Distribution, Independent, LowRankMultivariateNormal, MultivariateNormal, Normal
from torch.distributions import kl_divergence as divergence

import estimators
from bench.measure import exact_moments, gradient_moments
from bench.measure.encoder import Encoder, Layer
from estimators import BadInput
from estimators.distributions import kl, log_prob, parameters, rsample, sample, scored, scores
from estimators.exact import expectation
from estimators.families import family_named

DOUBLE = torch.float64
KIND = family_named("multivariate-normal")


def triangle(*rows: int, size: int = 3, seed: int = 0) -> Tensor:
    """[*rows, D, D], with numbers above the diagonal too."""
    generator = torch.Generator().manual_seed(seed)
    full = torch.randn(*rows, size, size, generator=generator, dtype=DOUBLE)
    scales = 0.3 + 3 * torch.rand(*rows, size, generator=generator, dtype=DOUBLE)
    return full.triu(1) + full.tril(-1) + torch.diag_embed(scales)


def q_of(*rows: int, size: int = 3, seed: int = 0) -> tuple[Distribution, list[Tensor]]:
    loc = torch.linspace(-1, 1, math.prod(rows) * size, dtype=DOUBLE).reshape(*rows, size)
    leaves = [loc.requires_grad_(), triangle(*rows, size=size, seed=seed).requires_grad_()]
    return KIND.build(*leaves), leaves


def clean(q: Distribution) -> MultivariateNormal:
    """torch's own, without what is above the diagonal."""
    loc, lower = parameters(q)
    return MultivariateNormal(loc, scale_tril=lower.tril(), validate_args=False)


def smooth(z: Tensor, q: Distribution) -> Tensor:
    return torch.tanh(0.7 * z[..., 0] - z[..., 1] * z[..., -1]) + 0.2 * z.square().sum(-1)


def test_draws_have_the_law() -> None:
    q, _ = q_of(2)
    z = sample(q, 20_000, torch.Generator().manual_seed(0))
    loc, lower = (p.detach() for p in parameters(q))
    for row in range(2):
        standard = torch.linalg.solve_triangular(lower[row].tril(), (z[:, row] - loc[row]).T, upper=False)
        for numbers in standard:
            assert stats.kstest(numbers.numpy(), "norm").pvalue > 1e-3
        torch.testing.assert_close(standard.cov(), torch.eye(3, dtype=DOUBLE), atol=0.05, rtol=0)


def test_log_prob_and_scores_are_torchs() -> None:
    q, leaves = q_of(4, 5)
    z = sample(q, 2, torch.Generator().manual_seed(1))
    torch.testing.assert_close(log_prob(q, z), clean(q).log_prob(z))
    weight = torch.linspace(-1, 2, 2, dtype=DOUBLE)[:, None, None].expand(2, 4, 5)
    expected = torch.autograd.grad((weight * log_prob(q, z)).sum(), leaves)
    theirs = torch.autograd.grad((weight * clean(q).log_prob(z)).sum(), leaves)
    of_loc, of_scale = scores(q, z)
    found = (weight[..., None] * of_loc).sum(0), (weight[..., None, None] * of_scale).sum(0)
    torch.testing.assert_close(expected, theirs)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(torch.autograd.grad(scored(q, z, weight).sum(), leaves), expected)


def test_nothing_above_the_diagonal_has_a_gradient() -> None:
    for name in ("rloo", "reparameterization", "optimal-baseline"):
        q, leaves = q_of(4)
        surrogate = estimators.get(name).create()(q, smooth, generator=torch.Generator().manual_seed(0)).surrogate
        _, g = torch.autograd.grad(surrogate.sum(), leaves)
        assert not g.triu(1).any()
        assert bool((g.tril() != 0).any(0)[torch.ones(3, 3).tril().bool()].all())
    q, leaves = q_of(4)
    assert not torch.autograd.grad(kl(q, q_of(4, seed=1)[0]).sum(), leaves[1])[0].triu(1).any()


def test_kl_is_torchs() -> None:
    (q, _), (p, _) = q_of(4, 5), q_of(5, seed=1)
    loc, lower = parameters(p)
    wide = MultivariateNormal(loc.expand(4, 5, 3), scale_tril=lower.tril().expand(4, 5, 3, 3), validate_args=False)
    torch.testing.assert_close(kl(q, p), divergence(clean(q), wide))
    torch.testing.assert_close(kl(q, q), torch.zeros(4, 5, dtype=DOUBLE))


def test_without_correlations_it_is_normal() -> None:
    """The same draws, the same density, and the same gradients of what both have."""
    loc = torch.linspace(-1, 1, 12, dtype=DOUBLE).reshape(4, 3)
    scale = torch.linspace(0.5, 2, 12, dtype=DOUBLE).reshape(4, 3)
    found = []
    for dense in (False, True):
        leaves = [loc.clone().requires_grad_(), scale.clone().requires_grad_()]
        q = MultivariateNormal(leaves[0], scale_tril=torch.diag_embed(leaves[1])) if dense else Normal(*leaves)
        for name in ("rloo", "sticking-the-landing", "iwae-score"):
            f = lambda z, q: smooth(z, q) + log_prob(q, z)  # noqa: E731
            estimate = estimators.get(name).create(samples=3)(q, f, generator=torch.Generator().manual_seed(0))
            gradient = torch.autograd.grad(estimate.surrogate.sum(), leaves, retain_graph=True)
            found.append(torch.cat([*gradient, estimate.value[:, None]], -1))
    torch.testing.assert_close(found[:3], found[3:])


def test_quadrature_gives_moments_and_their_derivatives() -> None:
    q, leaves = q_of(2)
    value = expectation(q, lambda z, q: z.pow(4)[..., 1] + z[..., 0] * z[..., 2])
    loc, lower = leaves
    covariance = lower.tril() @ lower.tril().mT
    m, v = loc[:, 1], covariance[:, 1, 1]
    exact = m**4 + 6 * m**2 * v + 3 * v**2 + loc[:, 0] * loc[:, 2] + covariance[:, 0, 2]
    torch.testing.assert_close(value, exact, rtol=1e-10, atol=1e-10)
    found, expected = (torch.autograd.grad(x.sum(), leaves) for x in (value, exact))
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_a_covariance_is_taken_in_its_triangle() -> None:
    """The gradient in it is that of the triangle, which torch makes."""
    lower = triangle(2).tril()
    covariance = (lower @ lower.mT).requires_grad_()
    precision = torch.linalg.inv(covariance.detach()).requires_grad_()
    loc, q = torch.zeros(2, 3, dtype=DOUBLE), MultivariateNormal(torch.zeros(2, 3, dtype=DOUBLE), covariance)
    z = rsample(q, 2, torch.Generator().manual_seed(0))
    torch.testing.assert_close(z, rsample(KIND.build(loc, lower), 2, torch.Generator().manual_seed(0)))
    for own, given in ((covariance, q), (precision, MultivariateNormal(loc, precision_matrix=precision))):
        estimate = estimators.get("rloo").create()(given, smooth, generator=torch.Generator().manual_seed(0))
        (g,) = torch.autograd.grad(estimate.surrogate.sum(), own)
        assert bool((g != 0).any())
    moments = gradient_moments(estimators.get("rloo").create(), q, smooth, draws=10)
    assert moments.mean.shape == (2, 3 + 9)


def test_rows_and_forms() -> None:
    rloo = estimators.get("rloo").create()
    seen = []

    def f(z: Tensor, q: Distribution) -> Tensor:
        seen.append((z.dtype, q.log_prob(z.double() if z.dtype == torch.bfloat16 else z).shape))
        return z.sum(-1)

    for rows in ((), (4,), (2, 4)):
        q, leaves = q_of(*rows)
        assert rloo(q, f).surrogate.shape == rows
        assert rloo(Independent(q, 0, validate_args=False), f).surrogate.shape == rows
    shared = MultivariateNormal(leaves[0], scale_tril=leaves[1][0, 0].tril())  # one covariance for all rows
    (g,) = torch.autograd.grad(rloo(shared, f).surrogate.sum(), leaves[1])
    assert bool(g[0, 0].any()) and not g[1].any()
    with pytest.raises(BadInput, match="an Independent over 1 batch dims of a MultivariateNormal") as caught:
        rloo(Independent(q, 1, validate_args=False), f)
    assert "\n" not in str(caught.value)
    none = [p[:0].detach().clone().requires_grad_() for p in leaves]
    assert rloo(KIND.build(*none), f).surrogate.shape == (0, 4)
    half = [p.detach().to(torch.bfloat16).requires_grad_() for p in leaves]
    g = torch.autograd.grad(rloo(KIND.build(*half), lambda z, q: z.sum(-1)).surrogate.sum(), half)
    assert all(part.dtype == torch.bfloat16 and bool(part.isfinite().all()) for part in g)


def test_a_low_rank_covariance_is_refused_in_one_line() -> None:
    q = LowRankMultivariateNormal(torch.zeros(2, 3), torch.ones(2, 3, 1), torch.ones(2, 3))
    with pytest.raises(TypeError, match="write MultivariateNormal") as caught:
        estimators.get("rloo").create()(q, smooth)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["rloo", "reparameterization", "sticking-the-landing", "optimal-baseline"])
def test_moments_are_exact_and_their_mean_the_gradient(name: str) -> None:
    """The mean of the noise's integral is the gradient by quadrature, loc and triangle side by side."""
    q, leaves = q_of(1, size=2)
    f = lambda z, q: z[..., 0].square() * 0.5 + z[..., 0] * z[..., 1]  # noqa: E731
    estimator = estimators.get(name).create(samples=1 if name != "rloo" else 2)
    found = exact_moments(estimator.eval(), q, f)
    expected = torch.autograd.grad(expectation(q, f).sum(), leaves)
    side = torch.cat([part.reshape(1, -1) for part in expected], -1)
    torch.testing.assert_close(found.mean, side, rtol=1e-7, atol=1e-7)
    sampled = gradient_moments(estimator, q, f, draws=4000, seed=1, warm_up=0)
    assert sampled.total.low < found.total < sampled.total.high


def test_running_state_has_the_shape_of_each_parameter() -> None:
    """A baseline for every number of the triangle, in stacked seeds too, and a state that loads into a fresh one."""
    make = estimators.get("optimal-baseline").create
    one = make(like=q_of(2, 5)[0], stack=(2,)).train()
    for _ in range(3):
        one(q_of(2, 5)[0], smooth, generator=torch.Generator().manual_seed(0))
    assert one.second.products.total.shape == (2, 1, 3, 3)
    assert bool(one.second.products.total.any())
    other = make(like=q_of(2, 5)[0], stack=(2,))
    other.load_state_dict(one.state_dict())
    found = [
        e.eval()(q_of(2, 5)[0], smooth, generator=torch.Generator().manual_seed(1)).surrogate for e in (one, other)
    ]
    assert torch.equal(*found)


def test_an_encoders_gradient_is_that_of_its_weights() -> None:
    """The signals that lead from loc and triangle to the last layer, whatever their shapes."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 4, 5, generator=generator, dtype=DOUBLE)
    weight = (0.3 * torch.randn(5, 3 + 9, generator=generator, dtype=DOUBLE)).requires_grad_()
    output = x @ weight
    q = KIND.from_raw(output[..., :3], output[..., 3:].unflatten(-1, (3, 3)))
    gradient = torch.randn(2, 1, 4, 12, generator=generator, dtype=DOUBLE)
    found = Encoder(q, [Layer(x, output)]).squares(gradient)
    for one, square in zip(gradient, found, strict=True):
        cotangents = [one[..., :3], one[..., 3:].unflatten(-1, (3, 3))]
        (g,) = torch.autograd.grad(parameters(q), weight, cotangents, retain_graph=True)
        bias = torch.autograd.grad(parameters(q), output, cotangents, retain_graph=True)[0].sum((0, 1))
        torch.testing.assert_close(square, g.square().sum() + bias.square().sum())
