"""The shared VAE in a suite: the factors that published comparisons vary, each explicit.

The model itself is in `vae_model`.
"""

import math
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import model_validator

import bench.datasets
from bench.bounds import Few, Size, Slope, WarmUpSteps, Weight
from bench.config import EstimatorConfig, added_later
from bench.datasets import Dataset
from bench.problems.base import TrainedProblem, register_problem, row
from bench.problems.networks import NEGATIVE_SLOPE
from bench.problems.per_layer import PerLayer
from bench.problems.vae_model import VAE
from bench.problems.widths import Widths, numbers_of, weights_of
from estimators.base import Estimator
from estimators.families import Enumerated

Hidden = Annotated[tuple[Size, ...], Few(32, "nobody trains a VAE of more layers here", "layers")]
SHAPES: dict[str, tuple[int, ...]] = {"linear": (), "nonlinear": (200, 200)}
"""Hidden sizes of architectures that have a name."""
FACTORS = (
    "latents, architecture, decoder, activation, embedding one-hot | integer, bound elbo | iwae, "
    "entropy sampled | analytic, kl_weight, kl_warm_up, prior fixed | learned"
)


@register_problem("vae")
class VAEConfig(TrainedProblem):
    """One VAE in a suite: the factors that published comparisons vary, each explicit."""

    kind: Literal["vae"]
    latents: Size
    architecture: Literal["linear", "nonlinear"] | Hidden = "linear"
    """linear (X-D-X), nonlinear (two hidden layers of 200), or the encoder's hidden sizes."""
    decoder: Hidden | None = added_later(None)
    """Hidden sizes of the decoder, from the latents to the pixels; None for the encoder's in reverse."""
    activation: Literal["leaky-relu", "relu", "tanh"] = added_later("leaky-relu")
    """Of the hidden layers of all networks."""
    slope: Slope = added_later(NEGATIVE_SLOPE)
    """Of a leaky-relu below 0."""
    entropy: Literal["sampled", "analytic"] = "sampled"
    kl_weight: Weight = added_later(1.0)
    """Of log q(z) - log p(z), or of KL(q || p), in the loss that is trained; what is evaluated has weight one."""
    kl_warm_up: WarmUpSteps = added_later(0)
    """Training steps over which that weight rises to `kl_weight`, in equal parts; the first has one of them."""
    stochastic_layers: Literal[1, 2] = 1
    """Layers of `latents` latents each, between networks of the same architecture."""
    prior: Literal["fixed", "learned"] = "fixed"
    centre_input: bool = True
    """Whether the encoder sees x minus the train mean."""
    signed_decoder_input: bool = False
    """Whether the decoder of latents of 0 and 1 sees 2z - 1 rather than z; after the embedding, where there is one."""
    embedding: Literal["one-hot", "integer"] = added_later("one-hot")
    """What a network sees of a latent of K classes: K numbers, or the number of its class over K - 1."""
    bias_from_data: bool = True
    """Whether the decoder's bias starts at the logit of the train mean clipped to [.001, .999]; else at zero."""
    initialisation: Literal["usual", "torch", "glorot"] = added_later("usual")
    """Of weights and biases: as torch.nn.Linear has them, but for the decoder's last bias; with it; or Glorot's."""

    plural: ClassVar[str] = "VAEs"

    @model_validator(mode="after")
    def _complete(self) -> "VAEConfig":
        if (info := bench.datasets.described(self.dataset)) and not info.images:
            raise ValueError(
                f"data set {self.dataset!r} holds no images, and the VAE's likelihood is of their bits: name another "
                "data set (gradest list datasets), or another kind of problem (gradest list problems)"
            )
        if self.bound == "iwae" and self.entropy == "analytic":
            raise ValueError('bound = "iwae" has no analytic entropy; use entropy = "sampled"')
        if self.bound == "iwae" and (self.kl_weight != 1 or self.kl_warm_up):
            raise ValueError(
                'kl_weight and kl_warm_up take bound = "elbo": a bound of many samples has no KL divergence apart'
            )
        if self.kl_warm_up == 1:
            raise ValueError("kl_warm_up = 1 has the whole weight from the first step on: leave it out, or give more")
        if self.stochastic_layers == 2 and (self.bound == "iwae" or self.entropy == "analytic"):
            raise ValueError('stochastic_layers = 2 takes bound = "elbo" and entropy = "sampled"')
        if self.signed_decoder_input and not isinstance(self.kind_of_latents, Enumerated):
            raise ValueError("signed_decoder_input is for latents of 0 and 1")
        of_classes = self.categories is not None and isinstance(self.kind_of_latents, Enumerated)
        if self.embedding == "integer" and not of_classes:
            raise ValueError(f'embedding = "integer" is for classes, and {self.family} latents have none: leave it out')
        if self.entropy == "analytic" and not self.kind_of_latents.kl_of_any_two:
            raise ValueError(f'{self.family} latents have no analytic entropy here; use entropy = "sampled"')
        return self

    @model_validator(mode="after")
    def _layers_that_are_there(self) -> "VAEConfig":
        if self.decoder == self.hidden[::-1]:  # one model has one id, however it was written
            object.__setattr__(self, "decoder", None)
        if self.activation != "leaky-relu" and "slope" in self.model_fields_set:
            raise ValueError(f'slope belongs to activation = "leaky-relu"; {self.activation} has none: leave it out')
        if self.initialisation == "torch" and self.bias_from_data:
            raise ValueError(
                'initialisation = "torch" leaves the last bias as torch.nn.Linear has it, and bias_from_data would set '
                "it: give bias_from_data = false beside it"
            )
        if self.slope == 0:
            raise ValueError('a leaky-relu of slope 0 is activation = "relu": give that in its place')
        if not (self.hidden or self.of_decoder):
            for name, usual in (("activation", "leaky-relu"), ("slope", NEGATIVE_SLOPE)):
                if getattr(self, name) != usual:
                    raise ValueError(
                        f"{name} is that of hidden layers, and there are none: leave it out, or give their sizes as "
                        "architecture"
                    )
        return self

    def default_label(self) -> str:
        """Data set, latents and architecture, and each factor that is not the usual one."""
        shape = self.architecture if isinstance(self.architecture, str) else "-".join(map(str, self.hidden))
        factors = [
            f"decoder-{'-'.join(map(str, self.of_decoder)) or 'linear'}" * (self.of_decoder != self.hidden[::-1]),
            self.activation * (self.activation != "leaky-relu"),
            f"slope-{self.slope:g}" * (self.slope != NEGATIVE_SLOPE),
            f"iwae-{self.importance_samples}" * (self.bound == "iwae"),
            "analytic" * (self.entropy == "analytic"),
            f"trained-kl-{self.kl_weight:g}" * (self.kl_weight != 1),
            f"trained-kl-warm-up-{self.kl_warm_up}" * (self.kl_warm_up > 0),
            "two-layers" * (self.stochastic_layers == 2),
            "learned-prior" * (self.prior == "learned"),
            "raw-input" * (not self.centre_input),
            "integer" * (self.embedding == "integer"),
            "signed" * self.signed_decoder_input,
            "zero-bias" * (not self.bias_from_data and self.initialisation != "torch"),
            f"{self.initialisation}-start" * (self.initialisation != "usual"),
        ]
        return "/".join((self.dataset, self.size_words(), shape or "linear", *filter(None, factors)))

    @property
    def learns_prior(self) -> bool:
        """With `prior = "learned"`."""
        return self.prior == "learned"

    @property
    def learns_decoder(self) -> bool:
        """Always."""
        return True

    @property
    def hidden(self) -> tuple[int, ...]:
        """Hidden sizes of the encoder."""
        return SHAPES[self.architecture] if isinstance(self.architecture, str) else self.architecture

    @property
    def of_decoder(self) -> tuple[int, ...]:
        """Hidden sizes of the decoder, from the latents to the pixels."""
        return self.hidden[::-1] if self.decoder is None else self.decoder

    @property
    def seen(self) -> int:
        """How many numbers a network sees of a layer of latents."""
        return self.latents if self.embedding == "integer" else math.prod(self.event)

    def states_within_f(self) -> int:
        """Those of a discrete second layer."""
        return self._states(self.stochastic_layers - 1) or 1

    def states(self) -> int | None:
        """Number of joint states of q, over all its layers, None for a continuous q."""
        return self._states(self.stochastic_layers)

    def _states(self, layers: int) -> int | None:
        return self.kind_of_latents.joint_states((layers * self.latents, *self.event[1:]))

    def widths(self, evaluations: float) -> Widths:
        """Of the encoder and the decoder, and of the networks between the layers of latents."""
        pixels, latents = bench.datasets.info(self.dataset).pixels, math.prod(self.event)
        outputs = sum(map(math.prod, self.kind_of_latents.parameter_shapes(self.event)))
        encoder, decoder = (pixels, *self.hidden, outputs), (self.seen, *self.of_decoder, pixels)
        weights, products = weights_of(*encoder) + weights_of(*decoder), weights_of(*decoder)
        # Beside the logits of the pixels, three numbers more for each until the likelihood is summed up, and of the
        # latents their noise and log probabilities.
        of_f = numbers_of(*decoder) + 3 * pixels + 4 * latents
        at_once = 4 * latents + max(2 * max(self.of_decoder, default=0), 4 * pixels)
        if self.stochastic_layers == 2:
            # q(z2|z1) is computed once a draw of z1, p(z1|z2) at each draw of z2.
            up, down = (self.seen, *self.hidden, outputs), (self.seen, *self.of_decoder, outputs)
            weights += weights_of(*up) + weights_of(*down)
            products += round(weights_of(*up) + evaluations * weights_of(*down))
            above = round(numbers_of(*up) + 6 * outputs + evaluations * (numbers_of(*down) + 6 * outputs))
            of_f, at_once = of_f + above, at_once + above
        behind = numbers_of(*encoder) + pixels + 4 * outputs
        return Widths(weights, outputs, behind, of_f, at_once, products)

    def model(self, data: Dataset, seeds: Sequence[int]) -> VAE:
        """Its decoder's bias may start at the mean of the train rows."""
        return VAE(self, data.train.mean(0), seeds)

    def estimator(self, config: EstimatorConfig) -> Estimator:
        """With two layers one of a kind for each."""
        lower = super().estimator(config)
        return PerLayer(lower, super().estimator(config)) if self.stochastic_layers == 2 else lower

    @classmethod
    def listed(cls, kind: str) -> list[dict[str, Any]]:
        """The factors by name."""
        return [row(kind, kind, f"the shared VAE, Bernoulli likelihood; factors: {FACTORS}")]
