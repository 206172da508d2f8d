"""A weight of the KL divergence, and its warm-up: what is trained and measured has it, what is evaluated has not."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

import estimators
from bench.config import EstimatorConfig
from bench.measure.stops import stops_of
from bench.measure.trajectory import Checkpoint, Trajectories, travel
from bench.problems.vae import VAE, VAEConfig
from bench.training.evaluation import evaluate
from bench.training.settings import Optimisation
from bench.training.trainer import Trainer
from estimators.distributions import kl, log_prob, sample
from estimators.exact import expectation, states
from tests.bench.by_hand import by_seed, layers, weights_of

CPU = torch.device("cpu")
PIXELS = 6


def _config(family: str = "bernoulli", **factors: Any) -> VAEConfig:
    size = {"latents": 2, "categories": 3} if family == "categorical" else {"latents": 2}
    given = {"kind": "vae", "dataset": "digits", "family": family, "architecture": (5,), **size}
    return VAEConfig.model_validate(given | factors)


def _vae(config: VAEConfig) -> VAE:
    vae = VAE(config, torch.linspace(0.1, 0.9, PIXELS), [0, 1]).double()
    with torch.no_grad():  # away from the start, where q is near the prior
        for index, p in enumerate(vae.parameters()):
            p += 0.5 * torch.arange(p.numel()).reshape(p.shape).add(index).cos()
    return vae


def _x(rows: int = 4) -> Tensor:
    return (torch.rand(2, rows, PIXELS, generator=torch.Generator().manual_seed(0)) > 0.5).double()


def _at(vae: VAE, step: int) -> VAE:
    vae.at_step(torch.tensor(step))
    return vae


WARM = {"kl_weight": 0.5, "kl_warm_up": 4}
WEIGHTS = [0.125, 0.25, 0.375, 0.5, 0.5, 0.5]
"""Of the first steps."""


@pytest.mark.parametrize("entropy", ["sampled", "analytic"])
@pytest.mark.parametrize("family", ["gaussian", "bernoulli", "categorical"])
def test_the_loss_has_the_weight_of_its_step(family: str, entropy: str) -> None:
    warm = _vae(_config(family, entropy=entropy, prior="learned", **WARM))
    fixed = _vae(_config(family, entropy=entropy, prior="learned", kl_weight=0.375))
    x, weights = _x(), weights_of(warm)
    z = sample(warm.encode(x), 3, torch.Generator().manual_seed(1)).detach()
    terms = list(by_seed(warm, weights, x, z))
    losses = []
    for step, weight in enumerate([*WEIGHTS, 0.375]):
        vae = _at(warm, step) if step < len(WEIGHTS) else fixed
        q = vae.encode(x)
        loss, closed = vae.objective(x)(z, q), vae.closed_form(q)
        sampled = entropy == "sampled"
        by_hand = [weight * ((t.log_q - t.log_prior) if sampled else t.kl) - t.log_likelihood for t in terms]
        total = loss if closed is None else loss + closed
        torch.testing.assert_close(total, torch.stack(by_hand, 1))
        losses.append(total.sum().item())
    assert len(set(losses)) == 4  # three weights on the way and the last, which stays; the third is the fixed one


def test_both_layers_have_the_weight() -> None:
    vae, x = _at(_vae(_config(stochastic_layers=2, prior="learned", **WARM)), 1), _x()
    generator = torch.Generator().manual_seed(3)
    q = vae.encode(x)
    z = sample(q, 3, generator).detach()
    upper = sample(vae.encode_upper(z), 1, generator).detach()
    cost = vae.objective(x)(z, q, lambda q2, inner, given: inner(upper, q2)[0])
    for seed in (0, 1):
        joint, log_q = layers(vae, weights_of(vae), seed, x[seed], z[:, seed], upper[0, :, seed])
        likelihood = vae.log_likelihood(x, z)[:, seed]
        torch.testing.assert_close(cost[:, seed], 0.25 * (log_q - (joint - likelihood)) - likelihood)


@pytest.mark.parametrize("family", ["bernoulli", "categorical"])
def test_what_is_trained_is_the_elbo_less_what_the_weight_leaves_out(family: str) -> None:
    """ELBO + KL to the posterior is log p(x), all by enumeration, the ELBO from the loss of weight .3."""
    vae, x = _vae(_config(family, prior="learned", kl_weight=0.3)), _x()
    q = vae.encode(x)
    z = states(q).expand(-1, *q.logits.shape)
    joint, log_q = log_prob(vae.prior(), z) + vae.log_likelihood(x, z), log_prob(q, z)
    log_p = joint.logsumexp(0)
    to_posterior = (log_q.exp() * (log_q - (joint - log_p))).sum(0)
    elbo = -expectation(q, vae.objective(x)) - 0.7 * kl(q, vae.prior())
    torch.testing.assert_close(elbo + to_posterior, log_p)


@pytest.mark.parametrize("layers", [1, 2])
def test_evaluation_has_weight_one_at_any_step(layers: int) -> None:
    plain, rows = _vae(_config(stochastic_layers=layers)), _x()[0]
    expected = evaluate(plain, rows, samples=5, seed=0)
    for factors in ({"kl_weight": 3.0}, WARM):
        vae = _at(_vae(_config(stochastic_layers=layers, **factors)), 1)
        for found, wanted in zip(evaluate(vae, rows, samples=5, seed=0), expected, strict=True):
            assert torch.equal(found, wanted)
        x, z = _x(), sample(plain.encode(_x()), 2, torch.Generator().manual_seed(0))
        assert not torch.allclose(vae.objective(x)(z, vae.encode(x)), plain.objective(x)(z, plain.encode(x)))


def _loss(vae: VAE, x: Tensor, weight: float) -> Tensor:
    """-E[log p(x|z)] + weight KL(q || p) of each row, exactly."""
    q = vae.encode(x)
    return weight * vae.kl(q) - expectation(q, lambda z, _: vae.log_likelihood(x, z))


@pytest.mark.parametrize("entropy", ["sampled", "analytic"])
def test_training_steps_follow_the_warm_up(entropy: str) -> None:
    vae = _vae(_config(entropy=entropy, **WARM))
    alone = copy.deepcopy(vae)
    settings = Optimisation(optimiser="sgd", learning_rate=0.3)
    trainer = Trainer(vae, estimators.get("exact").create(), settings, noise_seed=0)
    for weight in WEIGHTS:
        x = _x()
        trainer.step(x)
        learned = [p for p in alone.parameters() if p.requires_grad]
        slopes = torch.autograd.grad(_loss(alone, x, weight).mean(1).sum(), learned)
        with torch.no_grad():
            for p, slope in zip(learned, slopes, strict=True):
                p -= 0.3 * slope
        for p, expected in zip(vae.parameters(), alone.parameters(), strict=True):
            torch.testing.assert_close(p, expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("trajectories", [1, 2])
@pytest.mark.parametrize("entropy", ["sampled", "analytic"])
def test_gradients_are_measured_of_what_the_next_step_trains_and_the_elbo_is_that_of_weight_one(
    entropy: str, trajectories: int
) -> None:
    """Where weights are kept too, of which a model is made anew."""
    problem = _config(entropy=entropy, **WARM)
    settings = Trajectories(
        rows=5, checkpoints=(0, 2, 5), reference=EstimatorConfig(name="rloo", samples=2), reference_draws=1000,
        trajectory_seed=4, trajectories=trajectories, optimisation=Optimisation(learning_rate=0.05, batch=9),
    )  # fmt: skip
    stops: list[Checkpoint] = list(travel(problem, settings, CPU))
    if trajectories > 1:
        stops = [stop for stop, _ in stops_of(problem, estimators.get("rloo").create(), settings, CPU, 1).places]
    assert [stop.step for stop in stops] == [0, 2, 5]
    for stop, weight in zip(stops, (0.125, 0.375, 0.5), strict=True):
        vae = stop.model
        assert isinstance(vae, VAE)
        q = vae.encode(stop.x)
        (expected,) = torch.autograd.grad(
            (weight * vae.kl(q) - expectation(q, lambda z, _, vae=vae, x=stop.x: vae.log_likelihood(x, z))).sum(),
            q.logits,
        )
        torch.testing.assert_close(stop.reference.gradient.float(), expected, rtol=1e-4, atol=1e-5)
        plain = VAE(_config(), vae.pixel_mean, [4])
        plain.load_state_dict({name: value for name, value in vae.state_dict().items() if name != "steps_taken"})
        assert stop.elbo == float(evaluate(plain, stop.x[0], samples=100, seed=0)[0])
