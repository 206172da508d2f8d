"""Intervals for what the suite measures.

Every function takes plain arrays and returns an `Interval`, so that records and reports share one definition.
The choices (jackknife on log variance, Student t over seeds) follow measured coverage: a chi-square interval for
the variance of a score-function gradient covers 42 % at n = 20 where it claims 95 %, a percentile bootstrap over
5 seeds about 80 %.
"""

import math
import warnings
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

HEAVY_TAIL_KURTOSIS = 10.0


class Interval(NamedTuple):
    """An estimate with the ends of its confidence interval, all in the estimate's own unit."""

    estimate: float
    low: float
    high: float


def _array(values: ArrayLike) -> NDArray[np.float64]:
    return np.asarray(values, dtype=np.float64).ravel()


def _normal_quantile(level: float) -> float:
    if not 0 < level < 1:
        raise ValueError(f"level must lie strictly between 0 and 1, got {level}")
    return NormalDist().inv_cdf(0.5 + level / 2)


def quartiles(values: ArrayLike) -> dict[str, float]:
    """Median, quartiles and number of some seconds or ratios, as records hold them."""
    x = _array(values)
    q25, median, q75 = np.quantile(x, [0.25, 0.5, 0.75]).tolist()
    return {"median": median, "q25": q25, "q75": q75, "n": x.size}


STRETCHES = {3: 4.302653, 5: 2.776445}
"""Into how many stretches rounds are cut, with Student's quantile of 95 % for so many: timing needs no scipy."""


def median_log_se(rounds: ArrayLike) -> float:
    """Standard error of the logarithm of the median of ratios that were taken one after another.

    Neighbouring rounds of a noisy machine are alike, so that they count for less than as many independent ones. The
    rounds are cut into 3 and into 5 stretches, whose medians depend on each other only at their ends; the wider of the
    two Student intervals from them counts, since a burst about as long as a stretch hides from one of them. Of 95 %
    nominally, it covers 97 to 99 % for independent lognormal clocks and for bursts of 5 rounds in mean, 95 to 98 %
    where neighbours correlate by .5, and where by .8, 92 % at 20 rounds and 97 % at 50.

    Args:
        rounds: [n] positive ratios, in the order in which they were taken.

    Returns:
        The half-width of that 95 % interval over the Gaussian quantile, so that it combines with other standard errors;
        infinity for fewer than 5 rounds.
    """
    logs = np.log(_array(rounds))
    if logs.size < max(STRETCHES):
        return math.inf
    halves = []
    for count, quantile in STRETCHES.items():
        medians = [np.median(stretch) for stretch in np.array_split(logs, count)]
        halves.append(float(quantile * np.std(medians, ddof=1) / math.sqrt(count)))
    return max(halves) / _normal_quantile(0.95)


def variance_log_se(d: ArrayLike) -> float:
    """Jackknife standard error of the logarithm of a variance.

    Args:
        d: [n] squared distances ||g_i - mean||^2 of the n draws from their mean.

    Returns:
        The standard error; 0 where all d are 0, infinity where one draw alone carries the variance.
    """
    d = _array(d)
    n = d.size
    if n < 3:
        raise ValueError(f"a variance interval needs at least 3 draws, got {n}")
    total = d.sum()
    if total == 0:
        return 0.0
    # The variance without draw i, in closed form: removing it also moves the mean.
    without = (total - n / (n - 1) * d) / (n - 2)
    if without.min() <= 1e-12 * total:
        return math.inf
    logs = np.log(without)
    return float(math.sqrt((n - 1) / n * np.square(logs - logs.mean()).sum()))


def variance_interval(d: ArrayLike, level: float = 0.95) -> Interval:
    """Interval for a (total) variance by the jackknife on its logarithm.

    Args:
        d: [n] squared distances ||g_i - mean||^2 of the n draws from their mean; for a vector-valued draw the
            result is the trace of the covariance.
        level: nominal coverage.

    Returns:
        sum(d) / (n - 1) with its interval; (0, 0, 0) when the draws do not differ, and an upper end of infinity
        when one draw alone carries the variance.

    Raises:
        ValueError: fewer than 3 draws, or a level outside (0, 1).
    """
    quantile = _normal_quantile(level)
    d = _array(d)
    log_se = variance_log_se(d)
    variance = float(d.sum() / (d.size - 1))
    if variance == 0:
        return Interval(0.0, 0.0, 0.0)
    if math.isinf(log_se):
        return Interval(variance, 0.0, math.inf)
    factor = math.exp(quantile * log_se)
    return Interval(variance, variance / factor, variance * factor)


def kurtosis(d: ArrayLike) -> float:
    """Kurtosis of draws from their squared distances: n sum(d^2) / (sum d)^2, 3 for one Gaussian coordinate.

    Args:
        d: [n] squared distances from the mean.

    Returns:
        The kurtosis; 1 where all d are 0. Above `HEAVY_TAIL_KURTOSIS` an interval for the variance is optimistic.
    """
    d = _array(d)
    total = d.sum()
    return 1.0 if total == 0 else float(d.size * np.square(d).sum() / total**2)


def ratio_interval(
    numerator: float,
    numerator_log_se: float,
    denominator: float,
    denominator_log_se: float,
    level: float = 0.95,
) -> Interval:
    """Interval for the ratio of two independent variances from their log standard errors.

    Returns:
        numerator / denominator with its interval; NaN where the denominator is 0.
    """
    quantile = _normal_quantile(level)
    if denominator == 0:
        return Interval(math.nan, math.nan, math.nan)
    ratio = numerator / denominator
    log_se = math.hypot(numerator_log_se, denominator_log_se)
    if math.isinf(log_se):
        return Interval(ratio, 0.0, math.inf)
    factor = math.exp(quantile * log_se)
    return Interval(ratio, ratio / factor, ratio * factor)


def mean_interval(x: ArrayLike, level: float = 0.95) -> Interval:
    """Student-t interval for a mean over seeds; pass differences for a paired comparison.

    Args:
        x: [n] finite values, one a seed.
        level: nominal coverage, exact for Gaussian values.

    Returns:
        The mean with its interval; its ends are NaN for one value, for which no interval exists.

    Raises:
        ValueError: no values, values that are not finite, or a level outside (0, 1).
    """
    from scipy.stats import t  # not installed on every node that runs a suite

    _normal_quantile(level)
    x = _array(x)
    if x.size == 0 or not np.isfinite(x).all():
        raise ValueError("a mean interval needs at least one value, all finite")
    mean = float(x.mean())
    if x.size == 1:
        return Interval(mean, math.nan, math.nan)
    half = float(t.ppf(0.5 + level / 2, x.size - 1) * x.std(ddof=1) / math.sqrt(x.size))
    return Interval(mean, mean - half, mean + half)


class SquaredBias(NamedTuple):
    """A squared bias, and what it could have been told from."""

    interval: Interval
    """||E g - reference||^2; the estimate is unbiased, and so can be slightly negative."""
    visible: float
    """The smallest estimate whose interval leaves 0 out."""


PAIRS = 128
"""Differences of draws from which the square of their covariance is taken: its error is then some tenth."""


def differences(x: Any) -> Any:
    """Some of the draws x [n, P] as differences of two, over sqrt(2): of mean 0 and the same covariance, independent.

    An array or a tensor, like x; at most `PAIRS` of them.
    """
    count = min(len(x) // 2, PAIRS)
    return (x[: 2 * count : 2] - x[1 : 2 * count : 2]) / math.sqrt(2)


def _square(y: NDArray[np.float64]) -> float:
    """tr Cov^2 from independent draws y [m, P] of mean 0: the mean of <y_i, y_j>^2 over i != j."""
    products = np.square(y @ y.T)
    count = len(y)
    if count < 2:
        return float(products.sum())
    return float((products.sum() - products.trace()) / (count * (count - 1)))


def squared_bias_interval(
    deviations: ArrayLike, parts: ArrayLike | None = None, floor: float | None = None, level: float = 0.95
) -> SquaredBias:
    """Interval for ||E g - reference||^2, free of the noise floor.

    The estimate is the U-statistic sum_{i != j} <c_i, c_j> / (n (n - 1)), less the reference's own noise tr Cov / N;
    its mean is the squared bias itself, where ||mean c||^2 would exceed it by both. See `squared_bias_from_parts`.

    Args:
        deviations: [n, P] draws minus the reference.
        parts: [k, P], where the reference is the mean of a long run: those of its k equal parts, minus its own; else
            None.
        floor: tr Cov / N of the reference, where it is known better than from the parts.
        level: nominal coverage.

    Raises:
        ValueError: fewer than 3 draws, or a level outside (0, 1).
    """
    c = np.asarray(deviations, dtype=np.float64)
    c = c.reshape(len(c), -1)
    n, bias = len(c), c.mean(0)
    if n < 3:
        raise ValueError(f"a bias interval needs at least 3 draws, got {n}")
    estimate = (n * n * float(bias @ bias) - float(np.square(c).sum())) / (n * (n - 1))
    r = np.zeros((0, c.shape[1])) if parts is None else np.asarray(parts, dtype=np.float64).reshape(-1, c.shape[1])
    if floor is None:
        floor = float(np.square(r).sum()) / (len(r) * (len(r) - 1)) if len(r) else 0.0
    along = float((c @ bias).var(ddof=1)) / n
    return squared_bias_from_parts(estimate - floor, bias, along, differences(c) / math.sqrt(n), r, level)


def squared_bias_from_parts(
    estimate: float,
    bias: ArrayLike,
    along: float,
    noise: NDArray[np.float64],
    parts: NDArray[np.float64],
    level: float = 0.95,
) -> SquaredBias:
    """`squared_bias_interval` where the draws were summed up as they came.

    With C the covariance of the mean deviation, reference included, an estimate T of beta = ||b||^2 has the variance
    2 tr C^2 + 4 b'C b. The interval holds every beta within as many of ITS standard deviations of T as the level asks,
    b'C b being s beta with s = d'C d / d'd at the mean deviation d. Standard errors taken at T itself cover 67 % where
    the bias is as small as the noise, and end below 0 in 20 % of cases where all coordinates vary together: d happens
    to be short, and T and its error with it.

    Args:
        estimate: T.
        bias: [P], d.
        along: what the n draws have in d'C d.
        noise: [m, P] independent, of mean 0 and the covariance that the draws have in C.
        parts: [k, P] means of the reference's k parts minus their mean; none where it is exact.
        level: nominal coverage.

    Raises:
        ValueError: a level outside (0, 1).
    """
    quantile = _normal_quantile(level)
    d = _array(bias)
    square, count = _square(noise), len(parts)
    if count:
        own = differences(parts) / math.sqrt(count)
        square += _square(own) + 2 * float(np.square(noise @ own.T).mean())
        along += float((parts @ d).var(ddof=1)) / count
    length = float(d @ d)
    slope = along / length if length > 0 else 0.0
    visible = quantile * math.sqrt(2 * square)
    # The roots of (T - beta)^2 = quantile^2 (2 tr C^2 + 4 s beta).
    centre = estimate + 2 * quantile**2 * slope
    inside = visible**2 + 4 * quantile**2 * slope * (estimate + quantile**2 * slope)
    half = math.sqrt(max(inside, 0.0))
    return SquaredBias(Interval(estimate, centre - half, centre + half), visible)


def paired_ratio_interval(x: ArrayLike, y: ArrayLike, level: float = 0.95) -> Interval:
    """Interval for the ratio of two positive quantities measured side by side: seconds of interleaved runs, variances.

    Args:
        x: [n] positive values.
        y: [n] positive values, each measured under the same conditions as its partner in x.
        level: nominal coverage of exp(E log(x / y)), the typical ratio of a pair; exact for lognormal ratios.

    Returns:
        The geometric mean of x / y, with Student's t interval on its logarithm.

    Raises:
        ValueError: lengths that differ, values that are not positive, or a level outside (0, 1).
    """
    first, second = _array(x), _array(y)
    if first.shape != second.shape:
        raise ValueError(f"pairs need as many x as y, got {first.size} and {second.size}")
    if not (np.isfinite(first) & np.isfinite(second) & (first > 0) & (second > 0)).all():
        raise ValueError("a ratio needs positive, finite values")
    return Interval(*(math.exp(end) for end in mean_interval(np.log(first / second), level)))


# Many problems: scores are [P, n], n seeds on each of P problems. Problems are fixed and seeds are not, so that every
# interval speaks of other seeds on the same problems; R. Agarwal et al., Deep reinforcement learning at the edge of the
# statistical precipice, 2021, arXiv:2108.13264.


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

    _normal_quantile(level)
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
    quantile = _normal_quantile(level)
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
    _normal_quantile(level)
    found = binomtest(int(values.sum()), values.size).proportion_ci(level, method="wilson")
    return Interval(float(values.mean()), float(found.low), float(found.high))


def performance_profile(scores: ArrayLike, thresholds: ArrayLike, level: float = 0.95) -> list[Interval]:
    """Share of the P n runs that score above each threshold, with pointwise intervals; see `share_interval`.

    Raises:
        ValueError: fewer than 2 seeds, scores that are not finite, or a level outside (0, 1).
    """
    values = _scores(scores)
    return [share_interval(values > threshold, level) for threshold in _array(thresholds)]


class TimeToTarget(NamedTuple):
    """How long runs take to reach a target."""

    times: NDArray[np.float64]
    """[n], the first time at which a run reached it, or for a miss the last time at which it was seen."""
    reached: NDArray[np.bool_]
    """[n]; a miss is censored, never dropped."""
    median: Interval
    """Kaplan-Meier median; infinite where fewer than half of the runs reach the target."""


def time_to_target(times: ArrayLike, scores: ArrayLike, target: float, level: float = 0.95) -> TimeToTarget:
    """Time until a run's score first reaches a target that was fixed beforehand; misses are censored.

    Args:
        times: [T] or [n, T], increasing: steps, evaluations of f or seconds.
        scores: [n, T], NaN after a run's end.
        target: the score to reach.
        level: nominal coverage of the median time, by Brookmeyer and Crowley's interval with the log-log transform;
            its ends are times that were observed, so that few runs make it wide.

    Raises:
        ValueError: shapes that do not fit, a run without any score, or a level outside (0, 1).
    """
    from scipy.stats import CensoredData, ecdf

    _normal_quantile(level)
    curves = np.atleast_2d(np.asarray(scores, dtype=np.float64))
    clock = np.broadcast_to(np.asarray(times, dtype=np.float64), curves.shape)
    seen = np.isfinite(curves)
    if not seen.any(1).all():
        raise ValueError(f"run {int(np.flatnonzero(~seen.any(1))[0])} has no score at all")
    hit = seen & (np.nan_to_num(curves, nan=-np.inf) >= target)
    reached: NDArray[np.bool_] = np.asarray(hit.any(1))
    last = curves.shape[1] - 1 - seen[:, ::-1].argmax(1)
    at = clock[np.arange(len(curves)), np.where(reached, hit.argmax(1), last)]
    survival = ecdf(CensoredData.right_censored(at, ~reached)).sf

    def first(values: NDArray[np.float64]) -> float:
        """When a survival curve falls to one half."""
        below = np.flatnonzero(values <= 0.5)
        return float(survival.quantiles[below[0]]) if below.size else math.inf

    if not reached.any():
        return TimeToTarget(at, reached, Interval(math.inf, math.inf, math.inf))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # scipy warns of the ends where all or none have reached it
        ends: Any = survival.confidence_interval(level, method="log-log")
    low, high = (first(np.nan_to_num(end.probabilities, nan=1.0)) for end in (ends.low, ends.high))
    median = first(survival.probabilities)
    return TimeToTarget(at, reached, Interval(median, min(low, median), max(high, median)))
