"""Two stochastic layers: identities by enumeration, and every estimator's gradient of every weight."""

import math

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

import estimators
from bench.config import EstimatorConfig
from bench.measure.moments import gradient_moments
from bench.problems.per_layer import PerLayer, build
from bench.problems.vae import VAE, VAEConfig
from bench.suite import Suite
from bench.training import evaluate
from estimators.distributions import from_parameters, log_prob, parameters
from estimators.exact import expectation, states
from estimators.registry import Entry

PIXELS = 6


def _config(family: str = "bernoulli", **factors) -> VAEConfig:
    size = {"latents": 2, "categories": 3} if family == "categorical" else {"latents": 2}
    return VAEConfig(kind="vae", dataset="digits", family=family, stochastic_layers=2, **size, **factors)


def _vae(config: VAEConfig, size: float = 0.5) -> VAE:
    vae = VAE(config, torch.linspace(0.1, 0.9, PIXELS), [0]).double()
    with torch.no_grad():  # away from the start, where all is near uniform
        for index, p in enumerate(vae.parameters()):
            p += size * torch.arange(p.numel()).reshape(p.shape).add(index).cos()
    return vae


def _x(rows: int = 2) -> Tensor:
    return (torch.rand(1, rows, PIXELS, generator=torch.Generator().manual_seed(0)) > 0.5).double()


@pytest.mark.parametrize("family", ["bernoulli", "categorical"])
def test_elbo_plus_kl_to_the_posterior_is_log_p(family: str) -> None:
    vae, x = _vae(_config(family, prior="learned")), _x()
    q = vae.encode(x)
    lower = states(q).expand(-1, *q.logits.shape)  # N x 1 x B x event
    upper = vae.encode_upper(lower)  # rows N x 1 x B
    z = states(upper).expand(-1, *upper.logits.shape)  # N x N x 1 x B x event
    log_q = log_prob(q, lower) + log_prob(upper, z)
    joint = log_prob(upper, z) - vae.upper_objective(lower)(z, upper) + vae.log_likelihood(x, lower)
    log_p = joint.flatten(0, 1).logsumexp(0)
    kl_to_posterior = (log_q.exp() * (log_q - (joint - log_p))).flatten(0, 1).sum(0)
    elbo = -expectation(q, vae.objective(x))
    torch.testing.assert_close(elbo + kl_to_posterior, log_p)
    assert kl_to_posterior.min() > 1e-3


ENTRIES = [
    (entry, family)
    for entry in estimators.available(bound="elbo")
    for family in entry.families
    if entry.unbiased and family != "gaussian"
]


@pytest.mark.parametrize(("entry", "family"), ENTRIES, ids=[f"{e.name}-{family}" for e, family in ENTRIES])
def test_each_layer_by_its_estimator_gives_the_exact_gradient_of_every_weight(entry: Entry, family: str) -> None:
    """Rows are copies of one, so that a batch's mean gradient is a mean of as many draws."""
    config, blocks, copies = _config(family), 24, 500
    vae, x = _vae(config), _x(1)
    expectation(vae.encode(x), vae.objective(x)).mean().backward()
    exact = torch.cat([p.grad.flatten() for p in vae.parameters() if p.grad is not None])
    estimator = build(config, EstimatorConfig(name=entry.name)).double()
    assert isinstance(estimator, PerLayer)
    estimator.bind(stack=(1,), context_size=PIXELS, event=vae.event, generator=torch.Generator().manual_seed(0)).eval()
    generator, many, found = torch.Generator().manual_seed(1), x.expand(1, copies, PIXELS), []
    for _ in range(1 if entry.enumerates else blocks):
        vae.zero_grad()
        estimate = estimator(vae.encode(many), vae.objective(many), generator=generator, context=many)
        estimate.surrogate.mean().backward()
        found.append(torch.cat([p.grad.flatten() for p in vae.parameters() if p.grad is not None]))
    draws = torch.stack(found)
    if entry.enumerates:
        torch.testing.assert_close(draws[0], exact)
        return
    error = draws.std(0) / math.sqrt(blocks)
    assert ((draws.mean(0) - exact) / error.clamp_min(1e-9)).abs().max() < 7  # Student, 23 degrees, some 60 weights
    assert error.norm() < exact.norm(), "too much noise to see a bias"


def test_the_gaussian_second_layer_is_differentiated_through_the_first() -> None:
    """The pathwise gradient of both layers has the mean of the score function's, which needs no path."""
    config, x = _config("gaussian"), _x(1)
    vae = _vae(config, size=0.0)
    with torch.no_grad():  # scales near 1: the exponential of a linear map of z2 has heavy tails
        for p in vae.parameters():
            p *= 0.3
    q = from_parameters("gaussian", *(p.detach() for p in parameters(vae.encode(x))))
    names = (("reparameterization", None, 20_000), ("rloo", 8, 100_000))
    found = [
        gradient_moments(
            build(config, EstimatorConfig(name=name, samples=samples)).double(), q, vae.objective(x), draws=draws
        )
        for name, samples, draws in names
    ]
    error = sum(m.variance / draws for m, (_, _, draws) in zip(found, names, strict=True)).sqrt()
    assert ((found[0].mean - found[1].mean) / error).abs().max() < 5
    assert (found[0].mean / error).abs().max() > 20


def test_evaluation_draws_both_layers() -> None:
    vae, x = _vae(_config()), _x(1)
    exact = -expectation(vae.encode(x), vae.objective(x)).item()
    elbo, bound = evaluate(vae, x[0], samples=20_000, seed=0)
    weights = vae.log_weights(x, 20_000, torch.Generator().manual_seed(1)).detach()
    assert float(elbo) == pytest.approx(exact, abs=5 * float(weights.std()) / math.sqrt(20_000))
    assert exact < float(bound) < 0


def test_own_parameters_of_both_layers_learn() -> None:
    config, x = _config(), _x(4)
    vae, estimator = (
        _vae(config),
        build(config, EstimatorConfig(name="reinforce", options={"baseline": "input-dependent"})),
    )
    estimator.bind(stack=(1,), context_size=PIXELS, event=vae.event, generator=torch.Generator().manual_seed(0)).train()
    estimate = estimator(vae.encode(x), vae.objective(x), generator=torch.Generator().manual_seed(0), context=x)
    assert estimate.auxiliary.shape == (1, 4)
    grads = torch.autograd.grad(estimate.auxiliary.sum(), list(estimator.parameters()))
    assert all(bool(g.abs().max() > 0) for g in grads)
    assert {name.partition(".")[0] for name, _ in estimator.named_parameters()} == {"lower", "upper"}


def test_a_suite_may_have_two_layers() -> None:
    suite = {
        "name": "two",
        "problems": [{"kind": "vae", "dataset": "digits", "family": "bernoulli", "latents": 3, "stochastic_layers": 2}],
        "estimators": ["rloo"],
        "elbo": {},
    }
    assert Suite.model_validate(suite).problems[0].label == "digits/bernoulli-3/linear/two-layers"
    with pytest.raises(ValidationError, match="stochastic_layers = 2 takes"):
        _config(entropy="analytic")
