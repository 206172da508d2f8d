"""Long rows of draws of real estimators, cut into many samples, with the variance that each should find."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.distributions import Distribution

from bench.config import EstimatorConfig
from bench.measure.basket import BasketConfig
from bench.measure.draws import gradients
from bench.measure.exact import NotExact, exact_moments
from bench.measure.rare import rare_events
from bench.measure.trajectory import travel
from bench.measure.warm import warmed
from bench.problems.toys import ToyConfig
from bench.problems.vae import VAEConfig
from bench.training.settings import Optimisation
from estimators import registry
from estimators.base import Estimator, Objective

POOL = 100_000
OBJECTIVES = ("cubic", "coupled", "random", "network")
LOGITS = (0.0, 1.0, 2.0, 3.0, 4.5, 6.0)
ESTIMATORS = (
    "reinforce", "rloo", "disarm", "arms", "rebar", "bitflip", "gumbel-sigmoid", "straight-through", "reinmax",
    "local-expectation", "muprop", "rodeo",
)  # fmt: skip
OF_VAE = ("rloo", "disarm", "bitflip", "straight-through")
CHECKPOINTS = (0, 100, 300)


class Pool(NamedTuple):
    """Draws of one estimator at one point."""

    problem: str
    point: str
    estimator: str
    events: float
    """Expected rare outcomes of one draw; NaN where none is rare."""
    draws: NDArray[np.float64]
    """[POOL, P]."""
    truth: float
    """The variance."""
    method: str
    """How that is known: exact, or from the whole pool."""


class Sample(NamedTuple):
    """Estimates from samples of n draws each, [R]."""

    logs: NDArray[np.float64]
    log_se: NDArray[np.float64]
    effective: NDArray[np.float64]
    """Draws over their kurtosis."""


def samples(pool: Pool, n: int) -> Sample:
    """The pool cut into samples: each one's log variance, jackknife standard error and effective draws."""
    count = len(pool.draws) // n
    g = pool.draws[: count * n].reshape(count, n, -1)
    d = np.square(g - g.mean(1, keepdims=True)).sum(2)
    total = d.sum(1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        without = (total - n / (n - 1) * d) / (n - 2)
        logs = np.log(without)
        error = np.sqrt((n - 1) / n * np.square(logs - logs.mean(1, keepdims=True)).sum(1))
        alone = without.min(1) <= 1e-12 * total[:, 0]
        # Draws that differ by rounding alone have no variance, of which they are sure.
        none = total[:, 0] <= 1e-20 * n * max(pool.truth, 1e-300)
        found = np.where(none, -np.inf, np.log(total[:, 0] / (n - 1)))
        effective = np.square(total[:, 0]) / np.square(d).sum(1)
    return Sample(found, np.where(none, 0.0, np.where(alone, np.inf, error)), np.where(none, n, effective))


def toys() -> Iterator[Pool]:
    """Every estimator at every toy; those whose variance is 0 are left out."""
    for objective in OBJECTIVES:
        toy = ToyConfig(kind="toy", objective=objective, family="bernoulli", latents=4, logits=LOGITS)
        for point in toy.points():
            for name in ESTIMATORS:
                estimator = registry.get(name).create(like=point.q()).double()
                where = f"|logit| {point.logit:g}"
                yield from _pool(estimator, point.q(), point.f(), toy.label, where)


def vaes() -> Iterator[Pool]:
    """A small VAE of the digits at checkpoints of its training."""
    problem = VAEConfig(kind="vae", dataset="digits", family="bernoulli", latents=6, architecture=(64,))
    config = BasketConfig(
        draws=1000, rows=10, checkpoints=CHECKPOINTS, reference=EstimatorConfig(name="rloo", samples=2),
        reference_draws=1000, trajectory_seed=0, optimisation=Optimisation(steps=300, batch=50, learning_rate=3e-3),
    )  # fmt: skip
    for stop in travel(problem, config, torch.device("cpu")):
        q, f = stop.model.encode(stop.x), stop.model.objective(stop.x)
        for name in OF_VAE:
            estimator = registry.get(name).create(like=q)
            yield from _pool(estimator, q, f, problem.label, f"step {stop.step}")


def _pool(estimator: Estimator, q: Distribution, f: Objective, problem: str, point: str) -> Iterator[Pool]:
    if [*estimator.buffers(), *estimator.parameters()]:
        estimator = warmed(estimator, q, f, seed=0, steps=200)
    rows = [block.flatten(1).detach().double() for block in gradients(estimator, q, f, draws=POOL, seed=1)]
    draws = torch.cat(rows)
    try:
        truth, method = exact_moments(estimator, q, f, budget=3e6).total, "exact"
    except NotExact:
        truth, method = float(draws.var(0).sum()), "pool"
    # A constant's draws differ by rounding.
    if truth > 1e-20 * float(draws.square().mean(0).sum()):
        yield Pool(problem, point, estimator.label, rare_events(estimator, q, 1), draws.numpy(), truth, method)
