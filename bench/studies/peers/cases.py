"""What is compared: shapes, methods, and how each peer is used.

A comparison fixes the model, the estimator and the number of draws for all that are timed in it. The entropy follows
the peer's own example of a VAE: in closed form with storchastic, sampled with Pyro's Trace_ELBO.
"""

from typing import Any, Literal, NamedTuple

from bench.problems.vae import VAEConfig

BATCH = 100
LEARNING_RATE = 1e-3
TEMPERATURE = 0.5
"""Of the relaxation, fixed."""
STACKED = 10
"""Seeds that ours trains side by side; the peers train one at a time."""
THREADS = (1, 2)
"""Numbers of threads timed; a shape says which of them it is judged at."""

Usage = Literal["example", "tuned", "svi", "elbo-module", "jit"]


class Shape(NamedTuple):
    """Sizes of a VAE, without data: the time of a step does not depend on them."""

    name: str
    pixels: int
    hidden: tuple[int, ...]
    bits: int
    """Bernoulli latents."""
    coordinates: int
    """Gaussian latents."""
    threads: int
    """Threads at which the targets are judged."""


MNIST = Shape("MNIST", 784, (), 200, 200, threads=2)
DIGITS = Shape("digits", 64, (64,), 6, 8, threads=1)


class Peer(NamedTuple):
    """A library and a way to use it."""

    library: Literal["storchastic", "pyro"]
    usage: Usage
    label: str
    """As printed."""

    @property
    def documented(self) -> bool:
        """Whether it is used as in its own example of a VAE; the other ways are faster, and have no target."""
        return self.usage in ("example", "svi")


# The documented way comes first.
STORCHASTIC = (
    Peer("storchastic", "example", "storchastic, its example"),
    Peer("storchastic", "tuned", "storchastic, tuned"),
)
PYRO = (
    Peer("pyro", "svi", "Pyro, its example"),
    Peer("pyro", "elbo-module", "Pyro, torch optimiser"),
    Peer("pyro", "jit", "Pyro, compiled"),
)
DESCRIPTIONS: dict[str, str] = {
    "storchastic, its example": "as in its example of a VAE: encoder and decoder under `storch.deterministic`, "
    "distributions of wrapped tensors, `kl_divergence`, and `storch.nn.b_binary_cross_entropy` of the decoder's "
    "probabilities, which by itself is slower than a likelihood from logits",
    "storchastic, tuned": "by us: the KL divergence in closed form and the likelihood from logits, each one plain "
    "function under `storch.deterministic`, so that few operations go through its wrappers",
    "Pyro, its example": "as in its example of a VAE, but from logits: `SVI`, `Trace_ELBO` and `pyro.optim.Adam`, "
    "which makes a plain optimiser for every parameter; validation is off",
    "Pyro, torch optimiser": "the module `Trace_ELBO()(model, guide)` and one fused torch optimiser",
    "Pyro, compiled": "`JitTrace_ELBO`, compiled in the warm-up, and one fused torch optimiser",
}


class Comparison(NamedTuple):
    """One method at one shape, ours beside some peers, all timed in turn."""

    shape: Shape
    method: str
    """As printed."""
    estimator: str
    """Its name in our registry."""
    family: Literal["gaussian", "bernoulli"]
    entropy: Literal["sampled", "analytic"]
    samples: int
    peers: tuple[Peer, ...]
    target: float | None = None
    """Least ratio of the time of a peer used as in its own example to ours that is aimed at."""
    stacked: int = 1
    """Seeds of ours in one step; the ratio is then of seeds trained a second."""

    def config(self) -> VAEConfig:
        """The model; the input is not centred, as in the peers' examples."""
        return VAEConfig(
            kind="vae",
            dataset=self.shape.name,
            family=self.family,
            latents=self.shape.bits if self.family == "bernoulli" else self.shape.coordinates,
            architecture=self.shape.hidden or "linear",
            entropy=self.entropy,
            centre_input=False,
        )

    def options(self) -> dict[str, float]:
        """Options of our estimator."""
        return {"temperature": TEMPERATURE} if self.method == "Gumbel-sigmoid" else {}

    def case(self) -> dict[str, Any]:
        """What sets its rows apart in the results."""
        sizes = self.shape.pixels, *self.config().hidden, self.config().latents
        return {
            "shape": self.shape.name,
            "model": "-".join(map(str, (*sizes, *sizes[-2::-1]))),
            "method": self.method,
            "estimator": self.estimator,
            "entropy": self.entropy,
            "samples": self.samples,
            "stacked": self.stacked,
        }


def _methods(shape: Shape, rloo: float | None, pathwise: float | None, stacked: int = 1) -> list[Comparison]:
    """All methods at a shape, with the targets for RLOO and for Pyro's pathwise step."""
    return [
        Comparison(shape, "RLOO", "rloo", "bernoulli", "analytic", 2, STORCHASTIC, rloo, stacked),
        Comparison(shape, "Gumbel-sigmoid", "gumbel-sigmoid", "bernoulli", "analytic", 1, STORCHASTIC, None, stacked),
        Comparison(shape, "Pathwise", "reparameterization", "gaussian", "analytic", 1, STORCHASTIC, None, stacked),
        Comparison(shape, "Pathwise", "reparameterization", "gaussian", "sampled", 1, PYRO, pathwise, stacked),
    ]


COMPARISONS = (
    *_methods(MNIST, rloo=2.3, pathwise=1.6),
    *_methods(DIGITS, rloo=4, pathwise=4),
    *_methods(DIGITS, rloo=20, pathwise=20, stacked=STACKED),
)
