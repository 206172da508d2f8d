"""Estimators for Gaussian latents: identities draw by draw, where noise must vanish, and who has less of it."""

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Distribution

import estimators
from bench.measure import gradient_moments
from estimators import Estimator, Objective
from estimators.distributions import from_parameters, live, log_prob, parameters, stopped
from estimators.parts.taylor import taylor
from estimators.quasi_monte_carlo import rotated, sobol
from tests.estimators.cases import build, leaves, objective
from tests.estimators.drawing import normal, uniform

THETA = torch.tensor(0.7, dtype=torch.float64)


def _seeded(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _quadratic(z: Tensor, q: Distribution, /) -> Tensor:
    """Coupled, with a linear part."""
    weights = torch.tensor([[1.0, -0.4, 0.2], [0.3, 0.5, -1.0], [0.0, 0.8, -0.6]], dtype=z.dtype)
    return (z @ weights * z).sum(-1) + z @ weights[0] - 2


def _linear(z: Tensor, q: Distribution, /) -> Tensor:
    return z @ torch.tensor([1.0, -3.0, 0.5], dtype=z.dtype) + 2


def _gradient(estimator: Estimator | str, values: list[Tensor], f: Objective, seed: int = 3, **options) -> Tensor:
    """[*B, 2 D]."""
    estimator = estimators.get(estimator).create(**options) if isinstance(estimator, str) else estimator
    estimate = estimator(build("gaussian", values), f, generator=_seeded(seed))
    return torch.cat(torch.autograd.grad(estimate.surrogate.sum(), values), -1)


def _variance(estimator: Estimator | str, sharpness: float, f: Objective, draws: int = 20_000, **options) -> Tensor:
    """[*B, 2 D], of the estimator as it is."""
    estimator = estimators.get(estimator).create(**options) if isinstance(estimator, str) else estimator
    q = build("gaussian", leaves("gaussian", sharpness))
    return gradient_moments(estimator, q, f, draws=draws, warm_up=0).variance


# Antithetic pairs and quasi-Monte Carlo


def test_antithetic_pairs_are_the_pathwise_gradient_at_both_signs() -> None:
    values, f = leaves("gaussian", 1.0), objective("gaussian", THETA)
    q = build("gaussian", values)
    noise = normal(q, 2, _seeded())
    loc, scale = values
    written = f(loc + scale * torch.cat((noise, -noise)), live(q)).mean(0)
    expected = torch.cat(torch.autograd.grad(written.sum(), values), -1)
    torch.testing.assert_close(_gradient("antithetic-reparameterization", values, f, samples=4), expected)


def test_antithetic_pairs_have_no_noise_for_linear_f_and_none_in_loc_for_quadratic_f() -> None:
    assert float(_variance("antithetic-reparameterization", 1.0, _linear).max()) < 1e-24
    assert float(_variance("reparameterization", 1.0, _linear, samples=2).max()) > 0.1
    of_loc, of_scale = _variance("antithetic-reparameterization", 1.0, _quadratic).chunk(2, -1)
    assert float(of_loc.max()) < 1e-24
    assert float(of_scale.min()) > 0.01


def test_rotated_sobol_points_are_one_in_every_interval() -> None:
    """Of 2^k points on a circle, neighbours are 2^-k apart in every coordinate, wherever they are turned to."""
    shift = torch.rand(5, 3, generator=_seeded(), dtype=torch.float64)
    u = rotated(sobol(8, 3), shift).sort(0).values
    torch.testing.assert_close(u.diff(dim=0), torch.full((7, 5, 3), 1 / 8, dtype=torch.float64))
    torch.testing.assert_close(rotated(sobol(1, 3), shift)[0], shift)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rotated_points_are_never_0_or_1(dtype: torch.dtype) -> None:
    eps = torch.finfo(dtype).eps
    ends = torch.tensor([0.0, torch.finfo(dtype).tiny, 0.5, 0.5 - eps / 4, 1 - eps / 2], dtype=dtype)
    u = rotated(sobol(4, 1), ends[:, None])
    assert u.dtype == dtype
    assert bool(((u > 0) & (u < 1)).all())
    noise = torch.special.ndtri(u)
    assert bool(noise.isfinite().all())
    assert float(noise.abs().max()) < 9  # 0 stands for the least number that it may have been


@pytest.mark.parametrize("samples", [4, 8, 16])
def test_quasi_monte_carlo_has_less_variance_than_independent_draws(samples: int) -> None:
    """Buchholz et al. 2018: and the more so, the more samples."""
    f = objective("gaussian", THETA, entropy=False)
    plain, quasi = (
        _variance(name, 1.0, f, samples=samples, draws=4000).sum().item()
        for name in ("reparameterization", "quasi-monte-carlo")
    )
    assert quasi < {4: 0.7, 8: 0.55, 16: 0.4}[samples] * plain


# Measure-valued derivatives


def test_measure_valued_derivatives_are_their_printed_formula_latent_by_latent() -> None:
    values, f = leaves("gaussian", 1.0, rows=1), objective("gaussian", THETA)
    q = stopped(build("gaussian", values))
    generator = _seeded()
    plain = normal(q, 1, generator)
    weibull = (-2 * uniform(q, 1, generator).log()).sqrt()
    loc, scale = parameters(q)

    def cost_with(latent: int, noise: Tensor) -> Tensor:
        z = loc + scale * plain
        z[..., latent] = (loc + scale * noise)[..., latent]
        return f(z, q)[0]

    expected = torch.zeros(2, 1, 3, dtype=torch.float64)
    maxwell = plain.sign() * (plain.square() + weibull.square()).sqrt()
    for d in range(3):
        sigma = scale[..., d]
        expected[0, :, d] = (cost_with(d, weibull) - cost_with(d, -weibull)) / (sigma * math.sqrt(2 * math.pi))
        expected[1, :, d] = (cost_with(d, maxwell) - cost_with(d, plain)) / sigma
    torch.testing.assert_close(_gradient("measure-valued", values, f), torch.cat(list(expected), -1))


def test_the_shared_noise_of_measure_valued_derivatives_has_the_laws_that_it_needs() -> None:
    """N / M is uniform and independent of M, whose square is that of three normal numbers."""
    q = from_parameters("gaussian", torch.zeros(200_000, dtype=torch.float64), torch.ones(1))
    generator = _seeded()
    plain = normal(q, 1, generator)[0]
    maxwell = torch.copysign(torch.hypot(plain, (-2 * uniform(q, 1, generator)[0].log()).sqrt()), plain)
    share = plain / maxwell
    for power in (1, 2, 3):
        assert float(share.pow(power).mean()) == pytest.approx(1 / (power + 1), abs=0.004)
    assert float(maxwell.square().mean()) == pytest.approx(3, abs=0.03)
    assert float(maxwell.pow(4).mean()) == pytest.approx(15, abs=0.3)
    assert float(torch.corrcoef(torch.stack((share, maxwell.abs())))[0, 1]) == pytest.approx(0, abs=0.01)


def test_measure_valued_derivatives_are_unbiased_for_steps() -> None:
    """E of a product of steps is a product of normal distribution functions; the pathwise gradient is 0."""
    loc = torch.tensor([[0.3, -1.0]], dtype=torch.float64, requires_grad=True)
    scale = torch.tensor([[0.5, 2.0]], dtype=torch.float64, requires_grad=True)
    threshold = torch.tensor([0.1, 0.4], dtype=torch.float64)

    def f(z: Tensor, q: Distribution, /) -> Tensor:
        return (z > threshold).all(-1).to(z.dtype)

    exact = torch.special.ndtr((loc - threshold) / scale).prod(-1)
    truth = torch.cat(torch.autograd.grad(exact.sum(), (loc, scale)), -1)
    found = gradient_moments(
        estimators.get("measure-valued").create(), build("gaussian", [loc, scale]), f, draws=40_000
    )
    error = (found.variance / 40_000).sqrt()
    assert float(((found.mean - truth) / error).abs().max()) < 5
    assert bool((error < 0.05 * truth.abs()).all())
    score = gradient_moments(estimators.get("rloo").create(), build("gaussian", [loc, scale]), f, draws=40_000)
    assert found.total.estimate < 0.5 * score.total.estimate


# Taylor expansions


def test_the_expansion_is_that_of_torch() -> None:
    values, f = leaves("gaussian", 1.0), objective("gaussian", THETA.clone().requires_grad_())
    q = stopped(build("gaussian", values))
    found = taylor(q, f)
    assert not any(part.requires_grad for part in found)
    for row in range(2):

        def of_row(point: Tensor, row: int = row) -> Tensor:
            z = q.loc.clone()
            z[row] = point
            return f(z[None], q)[0, row]

        at = q.loc[row].clone()
        torch.testing.assert_close(found.value[row], of_row(at).detach())
        torch.testing.assert_close(found.gradient[row], torch.autograd.functional.jacobian(of_row, at))
        torch.testing.assert_close(found.curvature[row], torch.autograd.functional.hessian(of_row, at))


@pytest.mark.parametrize("theta", [THETA, THETA.clone().requires_grad_()], ids=["fixed", "learned"])
def test_expansions_of_linear_and_constant_f(theta: Tensor) -> None:
    q = stopped(build("gaussian", leaves("gaussian", 1.0)))
    for f in (lambda z, q: theta * _linear(z, q), lambda z, q: theta.expand(z.shape[:-1])):
        found = taylor(q, f)
        assert not found.curvature.any()
        torch.testing.assert_close(found.value, f(q.loc[None], q)[0].detach())
    assert not found.gradient.any()


def test_expansions_leave_no_noise_where_they_are_exact() -> None:
    for name, options, f, exact in (
        ("delta-method", {}, _quadratic, True),
        ("delta-method", {"order": 1}, _linear, True),
        ("delta-method", {"order": 1}, _quadratic, False),
        ("reduced-variance-reparameterization", {}, _quadratic, True),
    ):
        values = leaves("gaussian", 1.0)
        scale = values[1].detach()
        variance = _variance(name, 1.0, f, draws=100, **options)
        if not exact:
            assert float(variance.min()) > 0.01
            continue
        assert float(variance.max()) < 1e-24
        q = stopped(build("gaussian", values))
        expansion = taylor(q, f)
        truth = torch.cat((expansion.gradient, expansion.curvature.diagonal(dim1=-2, dim2=-1) * scale), -1)
        torch.testing.assert_close(_gradient(name, values, f, **options), truth, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("entropy", [False, True])
def test_expansions_help_where_q_is_narrow(entropy: bool) -> None:
    """There f is nearly quadratic: the gains of Miller et al. 2017 are orders of magnitude."""
    f, total = objective("gaussian", THETA, entropy=entropy), {}
    for label, name, options in (
        ("score", "reinforce", {}),
        ("first", "delta-method", {"order": 1}),
        ("second", "delta-method", {}),
        ("path", "sticking-the-landing", {}),
        ("reduced", "reduced-variance-reparameterization", {}),
    ):
        total[label] = _variance(name, 9.0, f, draws=4000, **options).sum().item()
    # Of log q's curvature, which grows as q narrows, the first order takes nothing.
    assert (total["first"] < 0.1 * total["score"]) != entropy
    assert total["second"] < 0.1 * total["first"]
    assert total["reduced"] < 0.1 * total["path"]


# LAX


def _lax(samples: int = 1) -> Estimator:
    return estimators.get("lax").create(samples=samples, hidden=16).bind(event=(3,), generator=_seeded()).double()


def test_the_loss_of_lax_is_the_square_of_its_estimate() -> None:
    values, f = leaves("gaussian", 1.0), objective("gaussian", THETA)
    for samples in (1, 3):
        lax = _lax(samples)
        loss = lax(build("gaussian", values), f, generator=_seeded()).auxiliary
        torch.testing.assert_close(loss.detach(), _gradient(lax, values, f).square().sum(-1))


def test_lax_learns_to_have_less_variance_than_the_score_function() -> None:
    values = [value.detach() for value in leaves("gaussian", 1.0)]
    f, lax = objective("gaussian", THETA), _lax()
    optimiser, generator = torch.optim.Adam(lax.parameters(), lr=0.01), _seeded()
    q = build("gaussian", [value.expand(20, *value.shape) for value in values])
    start = _variance(lax, 1.0, f).sum().item()
    for _ in range(300):
        optimiser.zero_grad()
        lax(q, f, generator=generator).auxiliary.mean().backward()
        optimiser.step()
    trained = _variance(lax, 1.0, f).sum().item()
    assert trained < 0.3 * _variance("reinforce", 1.0, f).sum().item()
    assert trained < 0.3 * start


def test_lax_sizes_itself_and_asks_for_the_context_it_was_bound_to() -> None:
    values, f = leaves("gaussian", 1.0), objective("gaussian", THETA)
    first, again = (_gradient(estimators.get("lax").create(), values, f) for _ in range(2))
    assert torch.equal(first, again)
    bound = estimators.get("lax").create().bind(event=(3,), context_size=4)
    with pytest.raises(ValueError, match="bound to a context"):
        bound(build("gaussian", values), f)
    unsized = estimators.get("lax").create().bind(context_size=4)
    context = torch.ones(2, 4)
    assert unsized(build("gaussian", values), f, context=context).auxiliary.shape == (2,)


# Bounds


@pytest.mark.parametrize("name", ["dreg", "iwae-sticking-the-landing"])
def test_bounds_of_one_sample_are_sticking_the_landing(name: str) -> None:
    values, f = leaves("gaussian", 1.0), objective("gaussian", THETA)
    torch.testing.assert_close(_gradient(name, values, f, samples=1), _gradient("sticking-the-landing", values, f))


def test_dreg_is_the_sum_written_out() -> None:
    values, theta = leaves("gaussian", 1.0), THETA.clone().requires_grad_()
    f, q = objective("gaussian", theta), build("gaussian", leaves("gaussian", 1.0))
    estimate = estimators.get("dreg").create(samples=4)(build("gaussian", values), f, generator=_seeded())
    *got, of_theta = torch.autograd.grad(estimate.surrogate.sum(), (*values, theta))
    noise = normal(q, 4, _seeded())
    z = (q.loc + q.scale * noise).detach().requires_grad_()
    cost = f(z, stopped(q))
    weight = torch.softmax(-cost.detach(), 0)
    slope, expected_theta = torch.autograd.grad((weight * cost).sum(), (z, theta))
    by_square = weight.unsqueeze(-1) * slope
    torch.testing.assert_close(got[0], by_square.sum(0))
    torch.testing.assert_close(got[1], (by_square * noise).sum(0))
    torch.testing.assert_close(of_theta, expected_theta)
    torch.testing.assert_close(estimate.value, math.log(4) - (-cost.detach()).logsumexp(0))


@pytest.mark.parametrize(
    ("noisy", "quiet", "least"),
    [
        ("reparameterization", "sticking-the-landing", 1.0),
        ("iwae-reparameterization", "iwae-sticking-the-landing", 0.1),
        ("iwae-reparameterization", "dreg", 0.1),
    ],
)
def test_paths_alone_have_no_noise_at_the_posterior(noisy: str, quiet: str, least: float) -> None:
    """Where q is the normalised exp(-cost), f is constant: Roeder et al. 2017."""
    posterior = stopped(build("gaussian", leaves("gaussian", 1.0)))

    def f(z: Tensor, q: Distribution, /) -> Tensor:
        return log_prob(q, z) - log_prob(posterior, z)

    total, path = (
        gradient_moments(estimators.get(name).create(), posterior, f, draws=1000).total.estimate
        for name in (noisy, quiet)
    )
    assert path < 1e-20
    assert total > least
