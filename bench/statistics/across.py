"""Many problems: scores are [P, n], n seeds on each of P problems.

Problems are fixed and seeds are not, so that every interval speaks of other seeds on the same problems; R. Agarwal et
al., Deep reinforcement learning at the edge of the statistical precipice, 2021, arXiv:2108.13264.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.statistics.interval import Interval, array, normal_quantile


def _scores(values: ArrayLike, what: str = "scores") -> NDArray[np.float64]:
    scores = np.atleast_2d(np.asarray(values, dtype=np.float64))
    if scores.ndim != 2 or scores.shape[1] < 2:
        raise ValueError(f"{what} must be [problems, seeds] with at least 2 seeds, got shape {scores.shape}")
    if not np.isfinite(scores).all():
        bad = int((~np.isfinite(scores)).sum())
        raise ValueError(f"{bad} of {scores.size} {what} are not finite: count failed seeds apart")
    return scores


def iqm(scores: ArrayLike) -> NDArray[np.float64]:
    """Interquartile mean: the mean of the middle half of all P n scores [..., P, n], cutting through them by share."""
    values = np.asarray(scores, dtype=np.float64)
    flat = np.sort(values.reshape(*values.shape[:-2], -1), axis=-1)
    count = flat.shape[-1]
    edges = np.arange(count + 1)
    inside = np.clip(np.minimum(edges[1:], 0.75 * count) - np.maximum(edges[:-1], 0.25 * count), 0, None)
    return np.asarray((flat * inside).sum(-1) / inside.sum())


def iqm_interval(scores: ArrayLike, level: float = 0.95, seed: int = 0, resamples: int = 2000) -> Interval:
    """Interquartile mean over problems and seeds, with a stratified bootstrap.

    Seeds are drawn again within their problem. The interval is Student's with the bootstrap's standard error, corrected
    for the n - 1 of each problem's resamples: the percentile interval covers 86 % at 5 seeds where 95 % is claimed.

    Args:
        scores: [P, n], normalised so that problems can be averaged.
        level: nominal coverage of the interquartile mean of the P distributions together.
        seed: of the resampling.
        resamples: how many.

    Raises:
        ValueError: fewer than 2 seeds, scores that are not finite, or a level outside (0, 1).
    """
    from scipy.stats import t

    normal_quantile(level)
    values = _scores(scores)
    problems, seeds = values.shape
    index = np.random.default_rng(seed).integers(seeds, size=(resamples, problems, seeds))
    spread = iqm(np.take_along_axis(values[None], index, axis=2)).std(ddof=1) * math.sqrt(seeds / (seeds - 1))
    estimate, half = float(iqm(values)), float(t.ppf(0.5 + level / 2, problems * (seeds - 1)) * spread)
    return Interval(estimate, estimate - half, estimate + half)


def probability_of_improvement(x: ArrayLike, y: ArrayLike, level: float = 0.95) -> Interval:
    """P(a seed of x scores above a seed of y), averaged over problems; ties count half.

    The Mann-Whitney statistic with DeLong's variance, on the logit scale, where its ends stay inside [0, 1]. Won by all
    seeds, a problem has no variance; it is given that of a share shrunk by half a seed.

    Args:
        x: [P, n], scores of one estimator.
        y: [P, m], scores of another on the same problems.
        level: nominal coverage of the mean over the P problems of P(X > Y) + P(X = Y) / 2.

    Raises:
        ValueError: other problems, fewer than 2 seeds, scores that are not finite, or a level outside (0, 1).
    """
    quantile = normal_quantile(level)
    first, second = _scores(x, "scores of x"), _scores(y, "scores of y")
    if len(first) != len(second):
        raise ValueError(f"x has {len(first)} problems and y {len(second)}; they must be the same")
    shares, variances = [], []
    for a, b in zip(first, second, strict=True):
        wins = (a[:, None] > b) + 0.5 * (a[:, None] == b)
        shares.append(float(wins.mean()))
        few = min(len(a), len(b))
        shrunk = (wins.sum() + 0.5 * few) / (wins.size + few)
        own = wins.mean(1).var(ddof=1) / len(a) + wins.mean(0).var(ddof=1) / len(b)
        variances.append(max(float(own), shrunk * (1 - shrunk) / few / 3))
    share = sum(shares) / len(shares)
    inner = min(max(share, 0.5 / first.size), 1 - 0.5 / first.size)
    half = quantile * math.sqrt(sum(variances)) / len(shares) / (inner * (1 - inner))
    low, high = (1 / (1 + math.exp(-end)) for end in (math.log(inner / (1 - inner)) + sign * half for sign in (-1, 1)))
    return Interval(share, min(low, share), max(high, share))


def share_interval(hits: ArrayLike, level: float = 0.95) -> Interval:
    """Share of hits among the P n runs, by Wilson's interval.

    Args:
        hits: [P, n] of true and false.
        level: nominal coverage of the mean over the P problems of P(hit); conservative where problems differ, since
            the binomial's variance is then too large.
    """
    from scipy.stats import binomtest

    values = np.asarray(hits, dtype=bool).ravel()
    normal_quantile(level)
    found = binomtest(int(values.sum()), values.size).proportion_ci(level, method="wilson")
    return Interval(float(values.mean()), float(found.low), float(found.high))


def performance_profile(scores: ArrayLike, thresholds: ArrayLike, level: float = 0.95) -> list[Interval]:
    """Share of the P n runs that score above each threshold, with pointwise intervals; see `share_interval`.

    Raises:
        ValueError: fewer than 2 seeds, scores that are not finite, or a level outside (0, 1).
    """
    values = _scores(scores)
    return [share_interval(values > threshold, level) for threshold in array(thresholds)]
