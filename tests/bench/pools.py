"""Real draws of estimators at toy points, cut into many labels: one estimator under twenty names."""

from collections.abc import Iterator
from functools import lru_cache
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

import estimators
from bench.measure.draws import gradients
from bench.measure.rare import rare_events
from bench.problems.toys import ToyConfig
from bench.statistics import no_interval

LABELS, DRAWS = 20, 1000
NAMES = ("reinforce", "rloo", "disarm", "gumbel-sigmoid", "straight-through", "bitflip", "reinmax")
LOGITS = (0, 3, 4.5, 6)


class Pool(NamedTuple):
    """Draws of one estimator at one point."""

    logit: float
    name: str
    rare: float
    """Expected number of rare outcomes among the draws of a label."""
    gradients: NDArray[np.float64]
    """[labels, draws, coordinates]."""

    def distances(self, order: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
        """[labels, draws] squared distances from each label's mean, the draws dealt to the labels anew by an order."""
        g = self.gradients
        if order is not None:
            g = g.reshape(-1, g.shape[-1])[order].reshape(g.shape)
        distances: NDArray[np.float64] = np.square(g - g.mean(1, keepdims=True)).sum(2)
        return distances


def _made() -> Iterator[Pool]:
    toys = [
        ToyConfig(kind="toy", objective=objective, family="bernoulli", latents=4, logits=LOGITS)
        for objective in ("cubic", "network")
    ]
    for point, name in product([point for toy in toys for point in toy.points()], NAMES):
        q, estimator = point.q(), estimators.create(name).double()
        rare = rare_events(estimator, q, DRAWS)
        if no_interval(rare):
            continue
        blocks = gradients(estimator, q, point.f(), draws=LABELS * DRAWS, seed=len(name))
        g = np.concatenate([block.flatten(1).numpy() for block in blocks]).reshape(LABELS, DRAWS, -1)
        pool = Pool(float(point.logit or 0), name, rare, g)
        if pool.distances().mean() >= 1e-20:  # else no noise: a straight-through gradient of a symmetric cost
            yield pool


@lru_cache(maxsize=1)
def pools() -> tuple[Pool, ...]:
    """All of them, made once in a process."""
    return tuple(_made())
