"""Latents that are counts in problems: the shared VAE and toys of Poisson and negative binomial latents."""

import math
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch.distributions import Poisson, kl_divergence

import estimators
from bench.measure.toy import IntegratedMoments, ToyMoments, measure_toy
from bench.problems.toys import ToyConfig
from bench.problems.vae import VAEConfig
from bench.problems.vae_model import VAE
from estimators.distributions import parameters


def config(family: str = "poisson", **more: Any) -> VAEConfig:
    return VAEConfig(kind="vae", dataset="digits", family=family, latents=3, architecture=(5,), **more)


def model(**more: Any) -> tuple[VAE, torch.Tensor]:
    x = (torch.rand(2, 4, 64, generator=torch.Generator().manual_seed(0)) < 0.4).float()
    return VAE(config(**more), torch.full((64,), 0.4), seeds=(0, 1)), x


def zeroed(vae: VAE) -> VAE:
    for p in vae.encoder.parameters():
        p.data.zero_()
    return vae


def test_an_encoder_that_says_nothing_gives_the_prior() -> None:
    vae, x = model()
    q = zeroed(vae).encode(x)
    assert isinstance(q, Poisson)
    assert q.rate.shape == (2, 4, 3)
    assert bool((q.rate == 1).all()) and bool((parameters(vae.prior())[0] == 1).all())
    assert bool((vae.kl(q) == 0).all())
    assert model(prior="learned")[0].prior_parameters.requires_grad


def test_the_elbo_of_poisson_latents_has_the_closed_form_and_agrees_with_that_of_draws() -> None:
    vae, x = model(entropy="analytic")
    with torch.no_grad():
        q = vae.encode(x)
        wanted = kl_divergence(q, Poisson(torch.ones(2, 1, 3))).sum(-1)
        torch.testing.assert_close(vae.closed_form(q), wanted, rtol=1e-5, atol=1e-5)
        elbo, log_weights = vae.bounds(x, 4000, torch.Generator().manual_seed(1))
        error = log_weights.std(0) / math.sqrt(4000)
        assert bool(((elbo - log_weights.mean(0)).abs() < 5 * error).all())
        assert bool((log_weights.logsumexp(0) - math.log(4000) > elbo - 4 * error).all())


def test_without_a_closed_form_the_elbo_is_that_of_draws() -> None:
    vae, x = model(family="negative-binomial")
    with torch.no_grad():
        elbo, log_weights = vae.bounds(x, 10, torch.Generator().manual_seed(1))
        assert torch.equal(elbo, log_weights.mean(0))
        q = zeroed(vae).encode(x)
        assert [bool((p == value).all()) for p, value in zip(parameters(q), (1, 0), strict=True)] == [True, True]
        assert vae.closed_form(q) is None


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"signed_decoder_input": True}, "signed_decoder_input is for latents of 0 and 1"),
        ({"family": "negative-binomial", "entropy": "analytic"}, "negative-binomial latents have no analytic entropy"),
        ({"categories": 3}, "categories belongs to categorical latents"),
    ],
)
def test_what_counts_do_not_have_is_refused_in_a_line(more: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        config(**more)


def test_a_step_moves_the_encoder_of_each_estimator_that_is_for_counts() -> None:
    vae, x = model()
    for name in ("rloo", "measure-valued-counts", "fini", "exponential-arrivals"):
        estimate = estimators.get(name).create()(vae.encode(x), vae.objective(x), context=x)
        found = torch.autograd.grad(estimate.loss(), [*vae.encoder.parameters()])
        assert all(bool(g.isfinite().all()) and bool((g != 0).any()) for g in found), name


@pytest.mark.parametrize(("family", "method"), [("poisson", "quadrature"), ("negative-binomial", "quadrature")])
def test_toys_are_swept_over_the_mean_and_held_against_sums_over_counts(family: str, method: str) -> None:
    toy = ToyConfig(kind="toy", objective="quadratic", family=family, latents=2, scales=(0.1, 1.0))
    for point, mean in zip(toy.points(), toy.scales, strict=True):
        assert point.exact_method == method
        assert point.states() is None
        q = point.q()
        assert float(q.mean[0, 0]) == pytest.approx(mean)
        wanted = (q.mean - toy.target).square() + q.variance
        assert float(point.expectation(q)) == pytest.approx(float(wanted.sum()), rel=1e-12)


def test_a_toy_of_too_many_counts_has_no_exact_gradient() -> None:
    """A long run of an unbiased estimator takes its place."""
    toy = ToyConfig(kind="toy", objective="cubic", family="poisson", latents=3, scales=(1.0, 30.0))
    assert [point.exact_method for point in toy.points()] == ["quadrature", None]


def test_moments_at_a_toy_are_sampled_and_integrated_alike() -> None:
    toy = ToyConfig(kind="toy", objective="cubic", family="poisson", latents=2, scales=(1.0,)).points()[0]
    estimator = estimators.get("measure-valued-counts").create
    exact = measure_toy(toy, estimator(), IntegratedMoments(exact=True), seed=0).points[0]
    drawn = measure_toy(toy, estimator(), ToyMoments(draws=4000), seed=0).points[0]
    assert (exact.method, exact.f_evals) == ("exact", 3)
    assert exact.bias.relative == pytest.approx(0, abs=1e-9)
    assert drawn.q.variance.low < exact.q.variance.estimate < drawn.q.variance.high
