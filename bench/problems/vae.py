"""The shared VAE: one model for every latent family, with E seeds stacked in its parameters.

Every parameter starts with the dim E of the seeds trained side by side, and every tensor of rows is [..., E, B, *]; a
seed owns its initialisation, so that seed s starts from the same values alone or in any stack.

f(z, q) = log q(z) - log p(z) - log p(x|z) with the entropy sampled; with the entropy analytic f = -log p(x|z), and
KL(q || p) is added in closed form.

With two stochastic layers q = q(z1|x) q(z2|z1) and p = p(z2) p(z1|z2) p(x|z1), as in the tables of REBAR and RELAX. The
second layer is then a VAE of z1: -log p(z1) in f gives way to an estimate of E_{q(z2|z1)}[log q(z2|z1) - log p(z2) -
log p(z1|z2)], whose gradient is an estimator's again. So each layer has an estimator of its own, and neither knows.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Annotated, Literal, Protocol

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn import functional as F

from bench.problems.toys import OfFamily
from bench.seeds import stream
from estimators.base import Objective
from estimators.distributions import kl, log_prob, sample
from estimators.exact import expectation
from estimators.parts.network import affine

Size = Annotated[int, Field(ge=1, le=4096)]
NEGATIVE_SLOPE = 0.3
Expectation = Callable[[Distribution, Objective, Tensor], Tensor]
"""E_q[f], [*B], from q, f and what q was computed from."""


class LayeredObjective(Protocol):
    """An objective whose second layer's expectation is taken by what it is given."""

    def __call__(self, z: Tensor, q: Distribution, inner: Expectation | None = None, /) -> Tensor:
        """Evaluate f at z [S, *B, *event], for a model of two layers with this expectation over z2, or exactly."""
        ...


SHAPES: dict[str, tuple[int, ...]] = {"linear": (), "nonlinear": (200, 200)}


class VAEConfig(OfFamily):
    """One VAE in a suite: the factors that published comparisons vary, each explicit."""

    kind: Literal["vae"]
    dataset: str
    latents: Size
    architecture: Literal["linear", "nonlinear"] | tuple[Size, ...] = "linear"
    """linear (X-D-X), nonlinear (two hidden layers of 200, LeakyReLU .3), or the encoder's hidden sizes."""
    bound: Literal["elbo", "iwae"] = "elbo"
    importance_samples: Annotated[int, Field(ge=1, le=1000)] | None = None
    """K of the importance-weighted bound, which every estimator of it then draws."""
    entropy: Literal["sampled", "analytic"] = "sampled"
    stochastic_layers: Literal[1, 2] = 1
    """Layers of `latents` latents each, between networks of the same architecture."""
    prior: Literal["fixed", "learned"] = "fixed"
    centre_input: bool = True
    """Whether the encoder sees x minus the train mean."""
    signed_decoder_input: bool = False
    """Whether the decoder of discrete latents sees 2z - 1 rather than z."""
    bias_from_data: bool = True
    """Whether the decoder's bias starts at the logit of the train mean clipped to [.001, .999]; else at zero."""
    label: str = ""

    @model_validator(mode="after")
    def _complete(self) -> "VAEConfig":
        family = self.kind_of_latents
        if bool(family.latent_dims) != (self.categories is not None):
            raise ValueError("categories belongs to categorical latents, and only to them")
        if (self.bound == "iwae") != (self.importance_samples is not None):
            raise ValueError('importance_samples = K belongs to bound = "iwae", and only to it')
        if self.bound == "iwae" and self.entropy == "analytic":
            raise ValueError('bound = "iwae" has no analytic entropy; use entropy = "sampled"')
        if self.stochastic_layers == 2 and (self.bound == "iwae" or self.entropy == "analytic"):
            raise ValueError('stochastic_layers = 2 takes bound = "elbo" and entropy = "sampled"')
        if self.signed_decoder_input and not family.discrete:
            raise ValueError("signed_decoder_input is for discrete latents")
        if not self.label:
            size = f"{self.latents}x{self.categories}" if self.categories else f"{self.latents}"
            shape = self.architecture if isinstance(self.architecture, str) else "-".join(map(str, self.hidden))
            factors = [
                f"iwae-{self.importance_samples}" * (self.bound == "iwae"),
                "analytic" * (self.entropy == "analytic"),
                "two-layers" * (self.stochastic_layers == 2),
                "learned-prior" * (self.prior == "learned"),
                "raw-input" * (not self.centre_input),
                "signed" * self.signed_decoder_input,
                "zero-bias" * (not self.bias_from_data),
            ]
            parts = (self.dataset, f"{family.name}-{size}", shape or "linear", *filter(None, factors))
            object.__setattr__(self, "label", "/".join(parts))
        return self

    @property
    def hidden(self) -> tuple[int, ...]:
        """Hidden sizes of the encoder; the decoder mirrors them."""
        return SHAPES[self.architecture] if isinstance(self.architecture, str) else self.architecture

    def upper_states(self) -> int:
        """Number of states of a discrete second layer, 1 without one."""
        return self._states(self.stochastic_layers - 1) or 1

    def states(self) -> int | None:
        """Number of joint states of q, over all its layers, None for a continuous q."""
        return self._states(self.stochastic_layers)

    def _states(self, layers: int) -> int | None:
        return self.kind_of_latents.joint_states((layers * self.latents, *self.event[1:]))


class StackedLinear(nn.Module):
    """E affine maps side by side: weight [E, in, out], bias [E, 1, out]; starts as torch.nn.Linear does."""

    def __init__(self, inputs: int, outputs: int, generators: Sequence[torch.Generator]) -> None:
        super().__init__()
        bound = 1 / math.sqrt(inputs)

        def uniform(*shape: int) -> Tensor:
            return torch.stack([(2 * torch.rand(shape, generator=g) - 1) * bound for g in generators])

        self.weight = nn.Parameter(uniform(inputs, outputs))
        self.bias = nn.Parameter(uniform(1, outputs))

    def forward(self, x: Tensor) -> Tensor:
        """x [..., E, B, in] to [..., E, B, out]."""
        return affine(x, self.weight, self.bias)


def _network(sizes: Sequence[int], generators: Sequence[torch.Generator]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [StackedLinear(inputs, outputs, generators), nn.LeakyReLU(NEGATIVE_SLOPE)]
    return nn.Sequential(*layers[:-1])


def _exactly(q: Distribution, f: Objective, z: Tensor) -> Tensor:
    return expectation(q, f)


class VAE(nn.Module):
    """E variational autoencoders with a Bernoulli likelihood.

    Args:
        config: its factors.
        pixel_mean: [X], mean of the train rows.
        seeds: one a stacked model, each the source of its own initial values.
    """

    pixel_mean: Tensor

    def __init__(self, config: VAEConfig, pixel_mean: Tensor, seeds: Sequence[int]) -> None:
        super().__init__()
        self.config = config
        generators = [stream("weights", seed) for seed in seeds]
        self.stack = len(seeds)
        self.family, self.event = config.kind_of_latents, config.event
        pixels, latents = len(pixel_mean), math.prod(self.event)
        count = len(self.family.parameter_names)
        outputs = count * latents
        self.encoder = _network((pixels, *config.hidden, outputs), generators)
        self.decoder = _network((latents, *config.hidden[::-1], pixels), generators)
        self.register_buffer("pixel_mean", pixel_mean)
        last = self.decoder[-1]
        assert isinstance(last, StackedLinear)
        if config.bias_from_data:
            last.bias.data.copy_(torch.logit(pixel_mean.clamp(0.001, 0.999)))
        else:
            last.bias.data.zero_()
        if config.stochastic_layers == 2:
            self.upper_encoder = _network((latents, *config.hidden, outputs), generators)
            self.upper_decoder = _network((latents, *config.hidden[::-1], outputs), generators)
        # Raw numbers [E, 1, *event] for each parameter: zeros are a standard normal, or uniform classes.
        self.prior_parameters = nn.Parameter(
            torch.zeros(count, self.stack, 1, *self.event), requires_grad=config.prior == "learned"
        )

    def _latents(self, raw: Tensor) -> Distribution:
        """Latents of rows [..., E, B, *event] from what a network gives."""
        parts = raw.chunk(len(self.family.parameter_names), -1)
        return self.family.from_raw(*(part.unflatten(-1, self.event) if self.event[1:] else part for part in parts))

    def _input(self, z: Tensor) -> Tensor:
        """Latents as a network sees them, [..., E, B, latents or L C]."""
        if self.config.signed_decoder_input:
            z = 2 * z - 1
        return z.flatten(-len(self.event)) if self.event[1:] else z

    def encode(self, x: Tensor) -> Distribution:
        """q(z|x) of rows [E, B, *event] for x [E, B, X]; with two layers, q(z1|x)."""
        return self._latents(self.encoder(x - self.pixel_mean if self.config.centre_input else x))

    def encode_upper(self, z: Tensor) -> Distribution:
        """q(z2|z1) of rows [..., E, B, *event] for z1 of that shape."""
        return self._latents(self.upper_encoder(self._input(z)))

    def prior(self) -> Distribution:
        """p(z), or p(z2), of rows [E, 1, *event]."""
        return self.family.from_raw(*self.prior_parameters)

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
            return log_prob(q, z) + self._cost_of_prior(z, inner or _exactly) - self.log_likelihood(x, z)

        return f

    def _cost_of_prior(self, z: Tensor, inner: Expectation) -> Tensor:
        """-log p(z), [S, ..., E, B]; with two layers, an upper bound on it, estimated over z2."""
        if self.config.stochastic_layers == 1:
            return -log_prob(self.prior(), z)
        return inner(self.encode_upper(z), self.upper_objective(z), z)

    def log_weights(self, x: Tensor, samples: int, generator: torch.Generator) -> Tensor:
        """log p(x, z) - log q(z|x) in nats at draws of all layers, [S, E, B]."""

        def one_draw(upper: Distribution, f: Objective, z: Tensor) -> Tensor:
            return f(sample(upper, 1, generator), upper)[0]

        q = self.encode(x)
        return -self.objective(x)(sample(q, samples, generator), q, one_draw)

    def closed_form(self, q: Distribution) -> Tensor | None:
        """What is added to the surrogate, [E, B]: KL(q || p) where the entropy is analytic, else None."""
        return self.kl(q) if self.config.entropy == "analytic" else None

    def kl(self, q: Distribution) -> Tensor:
        """KL(q || p) in nats, [E, B]."""
        return kl(q, self.prior())
