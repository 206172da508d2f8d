"""Two stochastic layers: identities by enumeration, and every estimator's gradient of every weight."""

import math

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

import estimators
from bench.config import EstimatorConfig
from bench.measure.moments import gradient_moments
from bench.problems.per_layer import PerLayer
from bench.problems.vae import VAE, VAEConfig
from bench.suite.schema import Suite
from bench.training.evaluation import evaluate
from estimators import Estimate, Estimator
from estimators.distributions import from_parameters, log_prob, parameters, sample
from estimators.entry import Entry
from estimators.exact import expectation, states
from tests.bench.by_hand import layers, weights_of
from tests.estimators.cases import families_of

PIXELS = 6


def _config(family: str = "bernoulli", **factors) -> VAEConfig:
    size = {"latents": 2, "categories": 3} if family == "categorical" else {"latents": 2}
    return VAEConfig(kind="vae", dataset="digits", family=family, stochastic_layers=2, **size, **factors)


def _vae(config: VAEConfig, size: float = 0.5, seeds: int = 1) -> VAE:
    vae = VAE(config, torch.linspace(0.1, 0.9, PIXELS), range(seeds)).double()
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


@pytest.mark.parametrize("family", ["gaussian", "bernoulli", "categorical"])
def test_both_layers_are_the_formulas(family: str) -> None:
    """log q(z1|x) + log q(z2|z1) - log p(z2) - log p(z1|z2) - log p(x|z1) at given draws, of two seeds."""
    more = {"embedding": "integer"} if family == "categorical" else {"decoder": (4, 3), "activation": "tanh"}
    signed = family != "gaussian"
    config = _config(family, prior="learned", signed_decoder_input=signed, architecture=(5,), **more)
    vae, generator = _vae(config, seeds=2), torch.Generator().manual_seed(3)
    x = (torch.rand(2, 4, PIXELS, generator=generator) > 0.5).double()
    q = vae.encode(x)
    z = sample(q, 3, generator).detach()
    upper = sample(vae.encode_upper(z), 1, generator).detach()
    cost = vae.objective(x)(z, q, lambda q2, inner, given: inner(upper, q2)[0])
    weights = weights_of(vae)
    expected = [layers(vae, weights, seed, x[seed], z[:, seed], upper[0, :, seed]) for seed in (0, 1)]
    by_hand = torch.stack([log_q - joint for joint, log_q in expected], 1)
    assert cost.shape == (3, 2, 4)
    torch.testing.assert_close(cost, by_hand)
    found = torch.autograd.grad(cost.sum(), list(vae.parameters()))
    wanted = torch.autograd.grad(by_hand.sum(), list(weights.values()))
    for name, a, b in zip(weights, found, wanted, strict=True):
        assert float(b.abs().amax()) > 0.01, name
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


class Given(Estimator):
    """f at the draws that it holds; its surrogate is a multiple of it, and its own loss knows its context."""

    def __init__(self, draws: Tensor, factor: float) -> None:
        super().__init__(len(draws))
        self.draws, self.factor, self.own = draws, factor, nn.Parameter(torch.tensor(factor).double())

    def forward(self, q, f, *, generator=None, context=None) -> Estimate:
        value = f(self.draws, q).mean(0)
        return Estimate(self.factor * value, value.detach(), self.own * context.detach().sum(-1))


def test_the_upper_estimate_is_a_part_of_the_lower_ones_f() -> None:
    """Its value enters f, its gradient is its surrogate's, and the two estimators' own losses add up."""
    config = _config(architecture=(5,))
    vae, generator = _vae(config, seeds=2), torch.Generator().manual_seed(3)
    x = (torch.rand(2, 4, PIXELS, generator=generator) > 0.5).double()
    q = vae.encode(x)
    z = sample(q, 3, generator).detach()
    upper = sample(vae.encode_upper(z), 1, generator).detach()
    estimator = PerLayer(Given(z, 5.0), Given(upper, 7.0))
    estimate = estimator(q, vae.objective(x), generator=generator, context=x)
    weights = weights_of(vae)
    terms = [layers(vae, weights, seed, x[seed], z[:, seed], upper[0, :, seed]) for seed in (0, 1)]
    loss = torch.stack([(log_q - joint).mean(0) for joint, log_q in terms])
    torch.testing.assert_close(estimate.value, loss.detach())
    assert not estimate.value.requires_grad
    # Of each row, its context: x, and the mean over three draws of z1.
    torch.testing.assert_close(estimate.auxiliary, 5 * x.sum(-1) + 7 * z.sum(-1).mean(0))
    names = [name for name in weights if name != "prior_parameters"]
    found = torch.autograd.grad(estimate.surrogate.sum(), [vae.get_parameter(name) for name in names])
    wanted = torch.autograd.grad(loss.sum(), [weights[name] for name in names])
    for name, a, b in zip(names, found, wanted, strict=True):
        torch.testing.assert_close(a, (35 if name.startswith("upper") else 5) * b, rtol=1e-9, atol=1e-12)


class Asked(Estimator):
    """Remembers how it is bound."""

    def bind(self, **sizes) -> "Asked":
        self.sizes = sizes
        return self


def test_the_upper_estimator_is_bound_to_the_draws_of_the_lower_layer_as_context() -> None:
    both, generator = PerLayer(Asked(4), Asked(6)), torch.Generator()
    assert both.bind(stack=(3,), context_size=64, event=(2, 5), generator=generator) is both
    assert both.lower.sizes == {"stack": (3,), "context_size": 64, "event": (2, 5), "generator": generator}
    assert both.upper.sizes == {"stack": (3,), "context_size": 10, "event": (2, 5), "generator": generator}
    assert both.samples == 4


def test_two_layers_have_two_estimators_with_the_same_options_and_one_layer_has_one() -> None:
    asked = EstimatorConfig(name="reinforce", samples=3, options={"baseline": "moving-average"})
    one = _config().model_copy(update={"stochastic_layers": 1}).estimator(asked)
    two = _config().estimator(asked)
    assert isinstance(two, PerLayer)
    assert two.lower is not two.upper
    for estimator in (one, two.lower, two.upper):
        assert (type(estimator), estimator.samples) == (type(one), 3)
        assert [*estimator.state_dict()] == [*one.state_dict()] != []
    assert not isinstance(one, PerLayer)


ENTRIES = [
    (entry, family)
    for entry in estimators.available(bound="elbo")
    for family in families_of(entry)
    if entry.unbiased and family != "gaussian"
]


@pytest.mark.parametrize(("entry", "family"), ENTRIES, ids=[f"{e.name}-{family}" for e, family in ENTRIES])
def test_each_layer_by_its_estimator_gives_the_exact_gradient_of_every_weight(entry: Entry, family: str) -> None:
    """Rows are copies of one, so that a batch's mean gradient is a mean of as many draws."""
    config, blocks, copies = _config(family), 24, 500
    vae, x = _vae(config), _x(1)
    expectation(vae.encode(x), vae.objective(x)).mean().backward()
    exact = torch.cat([p.grad.flatten() for p in vae.parameters() if p.grad is not None])
    estimator = config.estimator(EstimatorConfig(name=entry.name)).double()
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
            config.estimator(EstimatorConfig(name=name, samples=samples)).double(), q, vae.objective(x), draws=draws
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
    weights = vae.bounds(x, 20_000, torch.Generator().manual_seed(1))[1].detach()
    assert float(elbo) == pytest.approx(exact, abs=5 * float(weights.std()) / math.sqrt(20_000))
    lower = states(vae.encode(x))
    upper = states(vae.encode_upper(lower))
    z, above = lower.repeat(4, 1, 1, 1), upper[:, 0].repeat_interleave(4, 0)
    joint, _ = layers(vae, dict(vae.named_parameters()), 0, x[0], z[:, 0], above[:, 0])
    log_p = float(joint.detach().logsumexp(0))
    relative = float(weights.exp().std() / weights.exp().mean())
    assert float(bound) == pytest.approx(log_p, abs=5 * relative / math.sqrt(20_000))
    assert float(weights.logsumexp(0)) - math.log(20_000) == pytest.approx(log_p, abs=5 * relative / math.sqrt(20_000))
    assert exact < log_p - 0.01


def test_own_parameters_of_both_layers_learn() -> None:
    config, x = _config(), _x(4)
    vae, estimator = (
        _vae(config),
        config.estimator(EstimatorConfig(name="reinforce", options={"baseline": "input-dependent"})),
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
