"""Coverage of the intervals over trajectories, seeds and effects, and the power of comparisons, by simulation."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from bench.statistics import Interval, components, lowest, replicated, replicated_mean, replicated_ratio
from bench.statistics.power import effect_interval
from bench.studies.audit.coverage import TUKEY

RUNS = 4000
DRAWS = 1000
"""Behind each variance, of kurtosis 10: its standard error is .095."""
Array = NDArray[np.float64]


def _lognormal(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.standard_normal(shape)


def _seldom_far(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """One in ten lies four standard deviations off."""
    return np.where(rng.random(shape) < 0.1, 4.0, 0.0) + 0.1 * rng.standard_normal(shape)


CASES: dict[str, tuple[float, float, Callable[[np.random.Generator, tuple[int, ...]], Array]]] = {
    "trajectories .5, minibatches .1": (0.5, 0.1, _lognormal),
    "trajectories .1, minibatches .5": (0.1, 0.5, _lognormal),
    "trajectories .4, minibatches .4": (0.4, 0.4, _lognormal),
    "trajectories 1, minibatches 1": (1.0, 1.0, _lognormal),
    "draws alone": (0.0, 0.0, _lognormal),
    "one trajectory in ten far off": (0.5, 0.1, _seldom_far),
}
SHAPES = ((3, 3), (5, 5), (10, 5))
SPREAD = 0.095


def coverage() -> Iterator[dict[str, Any]]:
    """A row an interval and a case, with the components' means beside the true sizes."""
    for t, m in SHAPES:
        for name, (trajectory, minibatch, law) in CASES.items():
            rng = np.random.default_rng(1)
            effects = trajectory * law(rng, (RUNS, t, 1)) + minibatch * rng.standard_normal((RUNS, t, m))
            noisy = np.exp(effects) * np.exp(SPREAD * rng.standard_normal((RUNS, t, m)))
            other = 0.8 * noisy * np.exp(0.1 * rng.standard_normal((RUNS, t, 1)))
            mean = trajectory * float(law(rng, (1_000_000,)).mean()) if law is not _lognormal else 0.0
            truth = math.exp(mean + minibatch**2 / 2 + SPREAD**2 / 2)
            parts = np.mean([components(one, np.full((t, m), SPREAD)) for one in noisy[:500]], 0)
            yield {
                "case": name,
                "trajectories": t,
                "minibatches": m,
                "variance": _inside([replicated(one) for one in noisy], truth),
                "ratio": _inside([replicated_ratio(a, b) for a, b in zip(other, noisy, strict=True)], 0.8),
                "additive": _inside([replicated_mean(one) for one in effects], mean),
                "draws found": parts[0],
                "minibatch found": parts[1],
                "trajectory found": parts[2],
            }


def seeds() -> Iterator[dict[str, Any]]:
    """Coverage of the interval of an effect, by which seeds are counted."""
    rng = np.random.default_rng(2)
    for n in (3, 5, 10):
        for effect in (0.0, 0.5, 1.5):
            x = rng.standard_normal((RUNS // 4, n)) + effect
            ends = [effect_interval(float(one.mean() / one.std(ddof=1)), n) for one in x]
            yield {"seeds": n, "effect": effect, "covered": np.mean([a <= effect <= b for a, b in ends])}


def power() -> Iterator[dict[str, Any]]:
    """How many of those that are truly worse are told apart, by three procedures that hold under all configurations."""
    rng, size, se = np.random.default_rng(3), 20, 0.05
    for name, truth in {
        "all equal": np.zeros(size),
        "half .2 above": np.repeat([0.0, 0.2], size // 2),
        "a ladder of .03": 0.03 * np.arange(size),
        "one alone, .25 below": np.r_[0.0, np.full(size - 1, 0.25)],
    }.items():
        counts = np.zeros((3, 2))
        for _ in range(RUNS // 10):
            x = truth + se * rng.standard_normal(size)
            z = (x[:, None] - x) / (se * math.sqrt(2))
            every = (set(lowest(x, np.full(size, se)).worse), set(np.flatnonzero(z.max(1) > TUKEY).tolist()), _holm(z))
            for row, worse in zip(counts, every, strict=True):
                row += [sum(truth[j] > 0 for j in worse), any(truth[j] == 0 for j in worse)]
        for procedure, (found, wrong) in zip(("stepped down", "Tukey", "Holm"), counts / (RUNS // 10), strict=True):
            yield {"configuration": name, "procedure": procedure, "told apart": found, "false": wrong}


def _holm(z: Array) -> set[int]:
    """Those above another by Holm's procedure over all pairs."""
    pairs = sorted(((j, i) for j in range(len(z)) for i in range(len(z)) if z[j, i] > 0), key=lambda p: -z[p])
    worse: set[int] = set()
    for step, (j, i) in enumerate(pairs):
        if 2 * stats.norm.sf(z[j, i]) * (len(pairs) - step) > 0.05:
            break
        worse.add(j)
    return worse


def _inside(intervals: list[Interval], truth: float) -> float:
    return float(np.mean([low <= truth <= high for _, low, high in intervals]))
