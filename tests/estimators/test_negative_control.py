"""The source note's printed formula is biased by eta * theta * (1 - theta) a unit, and is seen to be."""

import pytest
import torch

import estimators
from bench.measure import gradient_moments
from bench.problems.vae import VAE, VAEConfig
from estimators.distributions import from_parameters, log_prob, stopped
from estimators.exact import expectation, states
from tests.estimators.cases import build, leaves, objective


def _missing(logits: torch.Tensor) -> torch.Tensor:
    return logits * logits.sigmoid() * (1 - logits.sigmoid())


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 3.0])
def test_sampled_bias_is_the_entropy_gradient(sharpness: float) -> None:
    values, theta = leaves("bernoulli", sharpness), torch.tensor(0.2, dtype=torch.float64)
    f = objective("bernoulli", theta)
    exact = torch.autograd.grad(expectation(build("bernoulli", values), f).sum(), values)[0]
    estimator = estimators.get("score-no-entropy").create()
    moments = gradient_moments(estimator, build("bernoulli", values), f, draws=200_000, seed=5)
    bias, error = moments.mean - exact, (moments.variance / 200_000).sqrt()
    missing = _missing(values[0].detach())
    assert ((bias + missing) / error).abs().max() < 5
    assert (missing / error).abs().min() > 15, "the bias would not have been seen"


def test_bias_in_the_vae_by_enumeration() -> None:
    """Sum over z, of the estimator's own formula, in a real model: what is missing is eta theta (1 - theta)."""
    config = VAEConfig(kind="vae", dataset="digits", family="bernoulli", latents=4, architecture=(8,))
    vae = VAE(config, torch.full((16,), 0.3), [0]).double()
    x = (torch.rand(1, 5, 16, generator=torch.Generator().manual_seed(0)) > 0.5).double()
    logits = (2 * vae.encode(x).logits).detach().requires_grad_()
    q, f = from_parameters("bernoulli", logits), vae.objective(x)
    z = states(q).expand(-1, *logits.shape)
    log_q = log_prob(q, z)
    printed = ((f(z, stopped(q)) - log_q).detach() * log_q.detach().exp() * log_q).sum()
    (biased,) = torch.autograd.grad(printed, logits)
    (exact,) = torch.autograd.grad(expectation(q, f).sum(), logits)
    torch.testing.assert_close(exact - biased, _missing(logits.detach()))
    assert (exact - biased).abs().max() > 1e-3
