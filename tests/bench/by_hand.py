"""The shared VAE again, by torch.distributions and a seed at a time: what its formulas are held against."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Distribution, Independent, Normal, OneHotCategorical, kl_divergence

from bench.problems.vae import VAE, VAEConfig


class Terms(NamedTuple):
    """Of the rows of one seed, [S, B] at the draws z, or [B]."""

    log_q: Tensor
    log_prior: Tensor
    log_likelihood: Tensor
    kl: Tensor

    @property
    def loss(self) -> Tensor:
        """Minus the ELBO's integrand, the entropy sampled."""
        return self.log_q - self.log_prior - self.log_likelihood

    @property
    def analytic_loss(self) -> Tensor:
        """The same with the KL divergence in closed form."""
        return self.kl - self.log_likelihood


def distribution(config: VAEConfig, raw: Tensor) -> Distribution:
    """Of [..., L] logits, of [..., L, C] one after another, or of L means and then L log variances."""
    if config.family == "gaussian":
        mean, log_variance = raw[..., : config.latents], raw[..., config.latents :]
        return Independent(Normal(mean, torch.exp(log_variance).sqrt()), 1)
    if config.family == "bernoulli":
        return Independent(Bernoulli(logits=raw), 1)
    rows = [raw[..., i * config.categories : (i + 1) * config.categories] for i in range(config.latents)]
    return Independent(OneHotCategorical(logits=torch.stack(rows, -2)), 1)


def bent(config: VAEConfig, x: Tensor) -> Tensor:
    """A hidden layer's activation, from its definition."""
    if config.activation == "tanh":
        return 1 - 2 / (1 + torch.exp(2 * x))
    return torch.where(x > 0, x, (0 if config.activation == "relu" else config.slope) * x)


def network(config: VAEConfig, weights: Mapping[str, Tensor], name: str, seed: int, x: Tensor) -> Tensor:
    """Affine maps with the activation between them."""
    layers = sorted({int(key.split(".")[1]) for key in weights if key.startswith(f"{name}.")})
    for layer in layers:
        x = x @ weights[f"{name}.{layer}.weight"][seed] + weights[f"{name}.{layer}.bias"][seed]
        if layer != layers[-1]:
            x = bent(config, x)
    return x


def prior(config: VAEConfig, weights: Mapping[str, Tensor], seed: int) -> Distribution:
    """p(z) of one row; parameters lie as a network would give them."""
    return distribution(config, weights["prior_parameters"][seed])


def seen(config: VAEConfig, z: Tensor) -> Tensor:
    """Latents as a network sees them: a flat row, or its classes in [0, 1]; in [-1, 1] where the input is signed."""
    flat = z.flatten(-2) if config.family == "categorical" else z
    if config.embedding == "integer":
        flat = z.argmax(-1).to(z) / (config.categories - 1)
    return 2 * flat - 1 if config.signed_decoder_input else flat


def terms(vae: VAE, weights: Mapping[str, Tensor], seed: int, x: Tensor, z: Tensor) -> Terms:
    """Of one seed's rows x [B, X] at draws z [S, B, *event], as functions of the weights."""
    config = vae.config
    rows = x - vae.pixel_mean if config.centre_input else x
    q = distribution(config, network(config, weights, "encoder", seed, rows))
    p = prior(config, weights, seed)
    logits = network(config, weights, "decoder", seed, seen(config, z))
    pixels = Independent(Bernoulli(logits=logits), 1)
    return Terms(q.log_prob(z), p.log_prob(z), pixels.log_prob(x), kl_divergence(q, p.expand(q.batch_shape)))


def weights_of(vae: VAE) -> dict[str, Tensor]:
    """Copies of all weights that a gradient can be taken in, the prior's [count, E, 1, *event]."""
    return {name: p.detach().clone().requires_grad_() for name, p in vae.named_parameters()}


def by_seed(vae: VAE, weights: Mapping[str, Tensor], x: Tensor, z: Tensor) -> Iterator[Terms]:
    """`terms` of every seed, for x [E, B, X] and z [S, E, B, *event]."""
    for seed in range(vae.stack):
        yield terms(vae, weights, seed, x[seed], z[:, seed])


def layers(
    vae: VAE, weights: Mapping[str, Tensor], seed: int, x: Tensor, z: Tensor, upper: Tensor
) -> tuple[Tensor, ...]:
    """Of a model of two layers, [S, B] each: log p(x, z1, z2) and log q(z1, z2|x), at z1 and z2 [S, B, *event]."""
    config = vae.config
    first = terms(vae, weights, seed, x, z)
    above = distribution(config, network(config, weights, "upper_encoder", seed, seen(config, z)))
    below = distribution(config, network(config, weights, "upper_decoder", seed, seen(config, upper)))
    joint = prior(config, weights, seed).log_prob(upper) + below.log_prob(z) + first.log_likelihood
    return joint, first.log_q + above.log_prob(upper)
