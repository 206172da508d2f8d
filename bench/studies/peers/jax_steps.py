"""Steps with JAX 0.10 and optax 0.2: one compiled program scans over steps and holds all seeds side by side.

JAX has no estimators of its own to use. These are written by us as its users write a fast program: the loss of one seed
for `jax.grad`, `vmap` over seeds, `lax.scan` over steps with the state donated, gather and binarisation inside, noise
for all seeds in one draw of its default generator (`rbg` is no faster on a CPU), optax's Adam over all seeds at once.
Rows are shuffled outside, by numpy, as ours are by torch outside our program. The entropy is sampled in all of them.
"""

import math
import time
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import jax
import numpy as np
import optax
from jax import Array, lax
from jax import numpy as jnp
from numpy.typing import NDArray

from bench.studies.peers.jax_process import Job

NEGATIVE_SLOPE = 0.3
"""Of LeakyReLU, as in `bench.problems.networks`, which would bring torch into this process."""
TEMPERATURE, SCALE = 0.5, 1.0
"""Where REBAR starts to learn them."""

Layers = list[tuple[Array, Array]]
"""Weight [in, out] and bias [out] of each affine map."""


class Weights(NamedTuple):
    """All that is trained; a seed's, or with a leading dim E."""

    encoder: Layers
    decoder: Layers
    own: dict[str, Array]
    """The estimator's own parameters."""


State = tuple[Weights, optax.OptState, Array]
"""What a step changes: weights, Adam's moments, and the key of all noise."""
Loss = Callable[[Weights, Array, Array], tuple[Array, Array]]
"""Of a seed's weights, rows [B, X] and noise [S, B, D]: what to differentiate, and the mean of f."""


class Method(NamedTuple):
    """An estimator, and the noise that it takes."""

    loss: Loss
    draw: Callable[[Array, tuple[int, ...]], Array]
    """Noise of a shape, from a key."""
    draws: int = 1
    """S."""
    outputs: int = 1
    """Numbers that the encoder gives for each latent."""
    own: dict[str, float] = {}  # noqa: RUF012  # of a NamedTuple, and never changed
    """Initial values of own parameters."""


def network(layers: Layers, x: Array) -> Array:
    """Affine maps with LeakyReLU between them: x [..., in] to [..., out]."""
    for weight, bias in layers[:-1]:
        x = jax.nn.leaky_relu(x @ weight + bias, NEGATIVE_SLOPE)
    weight, bias = layers[-1]
    return x @ weight + bias


def log_bits(logits: Array, z: Array) -> Array:
    """log Bernoulli(z; logits), summed over the last dim."""
    return (z * logits - jax.nn.softplus(logits)).sum(-1)


def log_normal(z: Array, loc: Array | float, log_variance: Array | float) -> Array:
    """log Normal(z; loc, exp(log_variance / 2)), summed over the last dim."""
    squared = (z - loc) ** 2 * jnp.exp(-log_variance)
    return (-0.5 * (squared + log_variance + math.log(2 * math.pi))).sum(-1)


def cost_of_bits(decoder: Layers, x: Array, logits: Array, z: Array) -> Array:
    """f of bits, or of their relaxations, z [..., B, D]: log q(z) - log p(z) - log p(x|z), [..., B]; p(z) is fair."""
    return log_bits(logits, z) - log_bits(jnp.zeros_like(logits), z) - log_bits(network(decoder, z), x)


def disarm(weights: Weights, x: Array, u: Array) -> tuple[Array, Array]:
    """An antithetic pair of bits, from uniform numbers [1, B, D]."""
    logits = network(weights.encoder, x)
    fixed = lax.stop_gradient(logits)
    b, antithetic = jnp.stack((u[0] < jax.nn.sigmoid(fixed), u[0] > jax.nn.sigmoid(-fixed))).astype(x.dtype)
    f = cost_of_bits(weights.decoder, x, fixed, jnp.stack((b, antithetic)))  # 2 x B
    first, second = lax.stop_gradient(f)
    weight = 0.5 * (first - second)[:, None] * (b - antithetic) * jax.nn.sigmoid(jnp.abs(fixed))
    return ((weight * logits).sum(-1) + f.mean(0)).mean(), f.mean()


def rloo(weights: Weights, x: Array, u: Array) -> tuple[Array, Array]:
    """The score function with the mean of the other draws as baseline, from uniform numbers [S, B, D]."""
    logits = network(weights.encoder, x)
    fixed = lax.stop_gradient(logits)
    z = (u < jax.nn.sigmoid(fixed)).astype(x.dtype)
    f = cost_of_bits(weights.decoder, x, fixed, z)  # S x B
    advantage = lax.stop_gradient(f - f.mean(0)) / (len(u) - 1)
    return ((advantage * log_bits(logits, z)).sum(0) + f.mean(0)).mean(), f.mean()


def rebar(weights: Weights, x: Array, noise: Array) -> tuple[Array, Array]:
    """REBAR with coupled draws, from logistic numbers [1, B, D]; temperature and scale learn by its square.

    In value z~ is z, so that f is evaluated there once; its derivative with respect to the logits is
    sigmoid(+-logits) (1 - exp(-|z|)).
    """
    logits = network(weights.encoder, x)
    fixed, decoder = lax.stop_gradient((logits, weights.decoder))
    scores = fixed + noise[0]
    b = (scores > 0).astype(x.dtype)
    score = b - jax.nn.sigmoid(fixed)
    f = cost_of_bits(weights.decoder, x, fixed, b)  # B

    def relaxed(points: Array) -> tuple[Array, Array]:
        z = jax.nn.sigmoid(points * jnp.exp(-weights.own["log_temperature"]))
        c = cost_of_bits(decoder, x, fixed, z)
        return c.sum(), c

    slope, c = jax.grad(relaxed, has_aux=True)(scores)
    again = -jnp.expm1(-jnp.abs(scores)) * jax.nn.sigmoid(jnp.where(b > 0, fixed, -fixed))
    control = slope * (1 - again) - c[:, None] * score
    estimate = lax.stop_gradient(f)[:, None] * score + weights.own["scale"] * control
    surrogate = (lax.stop_gradient(estimate) * logits).sum(-1) + f
    return (surrogate + (estimate**2).sum(-1)).mean(), f.mean()


def pathwise(weights: Weights, x: Array, noise: Array) -> tuple[Array, Array]:
    """Reparameterized Normal draws, from standard normal numbers [1, B, D]; the total derivative."""
    loc, log_variance = jnp.split(network(weights.encoder, x), 2, -1)
    z = loc + jnp.exp(0.5 * log_variance) * noise[0]
    f = log_normal(z, loc, log_variance) - log_normal(z, 0.0, 0.0) - log_bits(network(weights.decoder, z), x)
    return f.mean(), f.mean()


METHODS: dict[str, Method] = {
    "disarm": Method(disarm, jax.random.uniform),
    "rloo": Method(rloo, jax.random.uniform, draws=2),
    "rebar": Method(rebar, jax.random.logistic, own={"log_temperature": math.log(TEMPERATURE), "scale": SCALE}),
    "reparameterization": Method(pathwise, jax.random.normal, outputs=2),
}
"""By the names of our registry."""


class Training:
    """E seeds in training on invented rows."""

    def __init__(self, job: Job) -> None:
        self.job, self.method = job, METHODS[job.estimator]
        self.optimiser = optax.adam(job.learning_rate)
        random = np.random.default_rng(0)
        weights = initial(job, self.method, random)
        self.state = weights, self.optimiser.init(weights), jax.random.key(0)
        self.train = jnp.asarray(invented(job, random))
        self.orders, self.next = [random.permutation(job.rows) for _ in range(job.stacked)], 0
        self.random = random
        program = jax.jit(self.many, donate_argnums=0)
        began = time.perf_counter()
        self.program = program.lower(self.state, self.train, self.rows()).compile()
        self.compile_seconds = time.perf_counter() - began

    def step(
        self, weights: Weights, adam: optax.OptState, x: Array, noise: Array
    ) -> tuple[Weights, optax.OptState, Array]:
        """One step on rows [E, B, X] with noise [E, S, B, D]: weights, Adam's state and each seed's mean f [E]."""
        gradients, value = jax.vmap(jax.grad(self.method.loss, has_aux=True))(weights, x, noise)
        updates, adam = self.optimiser.update(gradients, adam)
        return optax.apply_updates(weights, updates), adam, value

    def many(self, state: State, train: Array, rows: Array) -> tuple[State, Array]:
        """Steps on the train rows of these numbers [steps, E, B]; the state, and each step's mean f, [steps, E]."""
        shape = (self.job.stacked, self.method.draws, self.job.batch, self.job.sizes[-1])

        def one(state: State, rows: Array) -> tuple[State, Array]:
            weights, adam, key = state
            key, for_bits, for_noise = jax.random.split(key, 3)
            x = train[rows]
            if self.job.binarised:
                x = (jax.random.uniform(for_bits, x.shape) < x).astype(x.dtype)
            weights, adam, value = self.step(weights, adam, x, self.method.draw(for_noise, shape))
            return (weights, adam, key), value

        scanned: tuple[State, Array] = lax.scan(one, state, rows)
        return scanned

    def rows(self) -> NDArray[np.int32]:
        """Numbers of the rows of a turn's batches, [steps, E, B]: each seed's own order, shuffled anew at each pass."""
        batches = []
        for _ in range(self.job.steps):
            if self.next + self.job.batch > self.job.rows:
                self.orders, self.next = [self.random.permutation(order) for order in self.orders], 0
            batches.append([order[self.next : self.next + self.job.batch] for order in self.orders])
            self.next += self.job.batch
        return np.asarray(batches, np.int32)

    def turn(self) -> float:
        """A turn's steps; the mean of f over the seeds in the last."""
        self.state, values = self.program(self.state, self.train, self.rows())
        return float(values[-1].mean())


def initial(job: Job, method: Method, random: np.random.Generator) -> Weights:
    """Weights of E seeds, distributed as those of ours."""

    def layers(*sizes: int) -> Layers:
        def uniform(bound: float, *shape: int) -> Array:
            return jnp.asarray(random.uniform(-bound, bound, (job.stacked, *shape)), jnp.float32)

        return [(uniform(i**-0.5, i, o), uniform(i**-0.5, o)) for i, o in pairwise(sizes)]

    encoder = layers(*job.sizes[:-1], method.outputs * job.sizes[-1])
    own = {name: jnp.full(job.stacked, value, jnp.float32) for name, value in method.own.items()}
    return Weights(encoder, layers(*job.sizes[::-1]), own)


def invented(job: Job, random: np.random.Generator) -> NDArray[np.float32]:
    """Train rows [N, X]: bits, or intensities where they are binarised; the time of a step does not depend on them."""
    uniform = random.random((job.rows, job.sizes[0]), np.float32)
    return 2 * job.pixel_mean * uniform if job.binarised else (uniform < job.pixel_mean).astype(np.float32)
