"""What is compared: shapes, methods, and how each peer is used.

A comparison fixes the model, the estimator and the number of draws for all that are timed in it. Ours is the compiled
step; the same step uncompiled is one of those beside it. The entropy follows the peer's own example of a VAE: in closed
form with storchastic, sampled with Pyro's Trace_ELBO; JAX has no example, and there it is sampled.
"""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from bench.problems.vae import VAEConfig

BATCH = 100
LEARNING_RATE = 1e-3
TEMPERATURE = 0.5
"""Of the relaxation, fixed."""
STACKED, FEW_STACKED = 10, 5
"""Seeds that ours trains side by side, as JAX does; the peers of torch train one at a time."""
THREADS = (1, 2)
"""Numbers of threads timed; a shape says which of them it is judged at, and beside JAX it is timed at that alone."""

Library = Literal["ours", "storchastic", "pyro", "jax"]
Usage = Literal["eager", "example", "tuned", "svi", "elbo-module", "jit", "scan"]


class Shape(NamedTuple):
    """Sizes of a VAE and of its train split, without data: the time of a step does not depend on them."""

    name: str
    rows: int
    pixels: int
    hidden: tuple[int, ...]
    bits: int
    """Bernoulli latents."""
    coordinates: int
    """Gaussian latents."""
    threads: int
    """Threads at which the targets are judged."""
    steps: int
    """In a turn: enough that starting a program is a small part of it."""


MNIST = Shape("MNIST", 50_000, 784, (), 200, 200, threads=2, steps=20)
DIGITS = Shape("digits", 1285, 64, (64,), 6, 8, threads=1, steps=100)


class Peer(NamedTuple):
    """A library and a way to use it."""

    library: Library
    usage: Usage
    label: str
    """As printed."""

    @property
    def documented(self) -> bool:
        """Whether it is used as in its own example of a VAE; the other ways are faster, and have no target.

        JAX has no such example, and is used as fast as we know how; ours, eager, is the step that its readers see.
        """
        return self.usage in ("eager", "example", "svi", "scan")

    @property
    def compiles(self) -> bool:
        """Whether its first step takes longer than the others by what compiling takes."""
        return self.usage in ("jit", "scan")


EAGER = Peer("ours", "eager", "ours, eager")
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
JAX = Peer("jax", "scan", "JAX")
DESCRIPTIONS: dict[str, str] = {
    "ours, eager": "our step as it is written, operation by operation",
    "storchastic, its example": "as in its example of a VAE: encoder and decoder under `storch.deterministic`, "
    "distributions of wrapped tensors, `kl_divergence`, and `storch.nn.b_binary_cross_entropy` of the decoder's "
    "probabilities, which by itself is slower than a likelihood from logits",
    "storchastic, tuned": "by us: the KL divergence in closed form and the likelihood from logits, each one plain "
    "function under `storch.deterministic`, so that few operations go through its wrappers",
    "Pyro, its example": "as in its example of a VAE, but from logits: `SVI`, `Trace_ELBO` and `pyro.optim.Adam`, "
    "which makes a plain optimiser for every parameter; validation is off",
    "Pyro, torch optimiser": "the module `Trace_ELBO()(model, guide)` and one fused torch optimiser",
    "Pyro, compiled": "`JitTrace_ELBO`, compiled in the warm-up, and one fused torch optimiser",
    "JAX": "by us: `jax.grad` of one seed's loss, `vmap` over seeds and `lax.scan` over steps in one `jit` with "
    "donated state, optax's Adam, in a process of its own that is held to as many cores as ours has threads",
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
    targets: Mapping[Library, float] = {}
    """Least ratio that is aimed at, of the time of a documented use of these libraries to ours."""
    stacked: int = 1
    """Seeds of ours in one step, and of JAX's; the ratio is then of seeds trained a second."""
    binarised: bool = False
    """Whether rows are intensities, which each step draws to bits anew."""

    @property
    def beside_jax(self) -> bool:
        """Whether it is with JAX."""
        return JAX in self.peers

    def target(self, peer: Peer) -> float | None:
        """Least ratio of this peer's time to ours that is aimed at."""
        return self.targets.get(peer.library) if peer.documented else None

    def stacked_of(self, peer: Peer) -> int:
        """Seeds that a step of this peer trains: those of torch train one at a time."""
        return self.stacked if peer.library in ("ours", "jax") else 1

    @property
    def thread_counts(self) -> tuple[int, ...]:
        """Numbers of threads that are timed."""
        return (self.shape.threads,) if self.beside_jax else THREADS

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
            "beside_jax": self.beside_jax,
        }


def _beside_torch(shape: Shape, rloo: float, pathwise: float, stacked: int = 1) -> list[Comparison]:
    """All methods at a shape, with the targets for storchastic's RLOO and for Pyro's pathwise step."""
    ours_too, normal = (EAGER, *STORCHASTIC), "reparameterization"
    return [
        Comparison(shape, "RLOO", "rloo", "bernoulli", "analytic", 2, ours_too, {"storchastic": rloo}, stacked),
        Comparison(shape, "Gumbel-sigmoid", "gumbel-sigmoid", "bernoulli", "analytic", 1, ours_too, {}, stacked),
        Comparison(shape, "Pathwise", normal, "gaussian", "analytic", 1, ours_too, {}, stacked),
        Comparison(shape, "Pathwise", normal, "gaussian", "sampled", 1, (EAGER, *PYRO), {"pyro": pathwise}, stacked),
    ]


def _beside_jax(
    shape: Shape, jax: float, stacked: int = 1, disarm: float | None = None, rebar: float | None = None
) -> list[Comparison]:
    """All methods at a shape, with the target for JAX, and those for our eager step by two methods."""

    def each(
        method: str, name: str, family: Literal["gaussian", "bernoulli"], samples: int, eager: float | None = None
    ) -> Comparison:
        targets: dict[Library, float] = {"jax": jax} if eager is None else {"jax": jax, "ours": eager}
        peers = EAGER, JAX
        return Comparison(shape, method, name, family, "sampled", samples, peers, targets, stacked, shape is MNIST)

    return [
        each("DisARM", "disarm", "bernoulli", 2, disarm),
        each("REBAR", "rebar", "bernoulli", 1, rebar),
        each("RLOO", "rloo", "bernoulli", 2),
        each("Pathwise", "reparameterization", "gaussian", 1),
    ]


COMPARISONS = (
    *_beside_torch(MNIST, rloo=4, pathwise=2),
    *_beside_torch(DIGITS, rloo=7, pathwise=4),
    *_beside_torch(DIGITS, rloo=20, pathwise=20, stacked=STACKED),
    *_beside_jax(MNIST, jax=1),
    *_beside_jax(MNIST, jax=1, stacked=FEW_STACKED),
    *_beside_jax(DIGITS, jax=0.5, disarm=2.2, rebar=3.5),
    *_beside_jax(DIGITS, jax=1, stacked=STACKED),
)
