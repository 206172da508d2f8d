"""The shared VAE's model: encoder, decoder and prior for every latent family.

f(z, q) = log q(z) - log p(z) - log p(x|z) with the entropy sampled; with the entropy analytic f = -log p(x|z), and
KL(q || p) is added in closed form. A `kl_weight` multiplies log q(z) - log p(z), or KL(q || p), in what is trained;
`bounds`, which evaluation reports, are those of weight one.

With two stochastic layers q = q(z1|x) q(z2|z1) and p = p(z2) p(z1|z2) p(x|z1), as in the tables of REBAR and RELAX. The
second layer is then a VAE of z1: -log p(z1) in f gives way to an estimate of E_{q(z2|z1)}[log q(z2|z1) - log p(z2) -
log p(z1|z2)], whose gradient is an estimator's again. So each layer has an estimator of its own, and neither knows.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn import functional as F

from bench.problems.model import Model
from bench.problems.networks import ACTIVATIONS, StackedLinear, network
from bench.problems.per_layer import Expectation, LayeredObjective
from bench.seeds import stream
from estimators.base import Objective
from estimators.distributions import kl, log_prob, sample
from estimators.exact import expectation

if TYPE_CHECKING:
    from bench.problems.vae import VAEConfig


def _exactly(q: Distribution, f: Objective, z: Tensor) -> Tensor:
    return expectation(q, f)


def _one_draw(generator: torch.Generator) -> Expectation:
    """An expectation over z2 that is f at one draw of it."""

    def inner(upper: Distribution, f: Objective, z: Tensor) -> Tensor:
        return f(sample(upper, 1, generator), upper)[0]

    return inner


class VAE(Model):
    """E variational autoencoders with a Bernoulli likelihood.

    Args:
        config: its factors.
        pixel_mean: [X], mean of the train rows.
        seeds: one a stacked model, each the source of its own initial values.
    """

    pixel_mean: Tensor
    steps_taken: Tensor

    def __init__(self, config: "VAEConfig", pixel_mean: Tensor, seeds: Sequence[int]) -> None:
        super().__init__()
        self.config = config
        generators = [stream("weights", seed) for seed in seeds]
        self.stack = len(seeds)
        self.family, self.event = config.kind_of_latents, config.event
        pixels, latents = len(pixel_mean), config.seen
        self.context_size = pixels
        self.shapes = self.family.parameter_shapes(self.event)
        outputs = sum(map(math.prod, self.shapes))

        def between(*sizes: int) -> nn.Sequential:
            glorot = config.initialisation == "glorot"
            return network(sizes, generators, ACTIVATIONS[config.activation], config.slope, glorot=glorot)

        self.encoder = between(pixels, *config.hidden, outputs)
        self.decoder = between(latents, *config.of_decoder, pixels)
        self.register_buffer("pixel_mean", pixel_mean)
        if config.kl_warm_up:
            self.register_buffer("steps_taken", torch.zeros((), dtype=torch.long))
        last = self.decoder[-1]
        assert isinstance(last, StackedLinear)
        if config.bias_from_data:
            last.bias.data.copy_(torch.logit(pixel_mean.clamp(0.001, 0.999)))
        elif config.initialisation != "torch":
            last.bias.data.zero_()
        if config.stochastic_layers == 2:
            self.upper_encoder = between(latents, *config.hidden, outputs)
            self.upper_decoder = between(latents, *config.of_decoder, outputs)
        # Raw numbers of all parameters, [E, 1, P]: zeros are a standard normal, or uniform classes.
        self.prior_parameters = nn.Parameter(
            torch.zeros(self.stack, 1, outputs), requires_grad=config.prior == "learned"
        )

    def _latents(self, raw: Tensor) -> Distribution:
        """Latents of rows [..., E, B, *event] from what a network gives."""
        parts = zip(raw.split(list(map(math.prod, self.shapes)), -1), self.shapes, strict=True)
        return self.family.from_raw(*(part.unflatten(-1, shape) if shape[1:] else part for part, shape in parts))

    def _input(self, z: Tensor) -> Tensor:
        """Latents as a network sees them, [..., E, B, latents or L C].

        The integer of a class is linear in its one-hot z, so that relaxed latents between the classes, and gradients
        in z, pass through.
        """
        if self.config.embedding == "integer":
            classes = self.event[-1]
            z = z @ (torch.arange(classes, dtype=z.dtype, device=z.device) / (classes - 1))  # ... x L
        elif self.event[1:]:
            z = z.flatten(-len(self.event))
        return 2 * z - 1 if self.config.signed_decoder_input else z

    def at_step(self, step: Tensor) -> None:
        """During a warm-up, the weight of the KL divergence depends on it."""
        if self.config.kl_warm_up:
            self.steps_taken.copy_(step)

    def weighed(self, divergence: Tensor) -> Tensor:
        """log q(z) - log p(z), or a KL divergence, as it stands in the loss of the present step."""
        config = self.config
        if config.kl_warm_up:  # the step after so many
            share = ((self.steps_taken + 1).double() / config.kl_warm_up).clamp(max=1)
            return divergence * (config.kl_weight * share)
        return divergence if config.kl_weight == 1 else divergence * config.kl_weight

    def encode(self, x: Tensor) -> Distribution:
        """q(z|x) of rows [E, B, *event] for x [E, B, X]; with two layers, q(z1|x)."""
        return self._latents(self.encoder(x - self.pixel_mean if self.config.centre_input else x))

    def encode_upper(self, z: Tensor) -> Distribution:
        """q(z2|z1) of rows [..., E, B, *event] for z1 of that shape."""
        return self._latents(self.upper_encoder(self._input(z)))

    def prior(self) -> Distribution:
        """p(z), or p(z2), of rows [E, 1, *event]."""
        return self._latents(self.prior_parameters)

    def upper_objective(self, z: Tensor) -> Objective:
        """What E_{q(z2|z1)} is taken of, for z1 [..., E, B, *event]: minus the second layer's ELBO integrand."""

        def f(upper: Tensor, q: Distribution, /) -> Tensor:
            below = log_prob(self._latents(self.upper_decoder(self._input(upper))), z)
            return log_prob(q, upper) - log_prob(self.prior(), upper) - below

        return f

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x|z) in nats: x [E, B, X], z [S, ..., E, B, *event] to [S, ..., E, B]."""
        logits: Tensor = self.decoder(self._input(z))
        return (x * logits - F.softplus(logits)).sum(-1)

    def objective(self, x: Tensor) -> LayeredObjective:
        """f for the rows x [E, B, X]."""

        def f(z: Tensor, q: Distribution, inner: Expectation | None = None, /) -> Tensor:
            if self.config.entropy == "analytic":
                return -self.log_likelihood(x, z)
            return self.weighed(self._divergence(z, q, inner or _exactly)) - self.log_likelihood(x, z)

        return f

    def _divergence(self, z: Tensor, q: Distribution, inner: Expectation) -> Tensor:
        """What KL(q || p) is the mean of, [S, ..., E, B]; with two layers, of both."""
        return log_prob(q, z) + self._cost_of_prior(z, inner)

    def _cost_of_prior(self, z: Tensor, inner: Expectation) -> Tensor:
        """-log p(z), [S, ..., E, B]; with two layers, an upper bound on it, estimated over z2."""
        if self.config.stochastic_layers == 1:
            return -log_prob(self.prior(), z)
        return inner(self.encode_upper(z), self.upper_objective(z), z)

    def bounds(self, x: Tensor, samples: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """With one layer the ELBO is that of the closed-form KL, where there is one, and the mean of log p(x|z).

        Else it is the mean log weight, log p(x, z) - log q(z|x); with two layers of draws of both.
        """
        q = self.encode(x)
        z = sample(q, samples, generator)
        if self.config.stochastic_layers == 1:
            log_likelihood = self.log_likelihood(x, z)  # K x E x B
            log_weights = log_likelihood + log_prob(self.prior(), z) - log_prob(q, z)
            elbo = log_likelihood.mean(0) - self.kl(q) if self.family.kl_of_any_two else log_weights.mean(0)
            return elbo, log_weights
        log_weights = self.log_likelihood(x, z) - self._divergence(z, q, _one_draw(generator))
        return log_weights.mean(0), log_weights

    def costs(self, x: Tensor, q: Distribution, samples: int, generator: torch.Generator) -> Tensor:
        """f at draws of z, [S, E, B], as it is trained; with two layers each with one draw of z2."""
        return self.objective(x)(sample(q, samples, generator), q, _one_draw(generator))

    def closed_form(self, q: Distribution) -> Tensor | None:
        """What is added to the surrogate, [E, B]: KL(q || p), weighed, where the entropy is analytic, else None."""
        return self.weighed(self.kl(q)) if self.config.entropy == "analytic" else None

    def kl(self, q: Distribution) -> Tensor:
        """KL(q || p) in nats, [E, B]."""
        return kl(q, self.prior())

    def prior_weights(self) -> Sequence[nn.Parameter]:
        """Those of p(z), or of p(z2)."""
        return (self.prior_parameters,)

    def encoder_network(self) -> nn.Module:
        """The encoder."""
        return self.encoder

    def networks_of_f(self) -> Sequence[nn.Module]:
        """The decoder; with two layers that of z1 too."""
        return (self.decoder,) if self.config.stochastic_layers == 1 else (self.decoder, self.upper_decoder)
