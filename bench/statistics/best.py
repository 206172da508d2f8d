"""Which of several estimates may be the lowest, and which are told apart from it: over all that is compared.

Hsu's constrained comparison with the best (J. C. Hsu, Simultaneous confidence intervals for all distances from the
'best', Ann. Statist. 9, 1981) bounds the chance that the best one is said not to be it. Where several are equal it may
say so of all but one of them, so that it does not hold for 'told apart' under ties. Here the chance that anything is
said falsely is at most 1 - level under every configuration, all equal included: each estimate j has the hypothesis
that none is lower, which is tested by its largest distance above another in standard errors,

    T_j = max_i (x_j - x_i) / se(x_j - x_i),

and the tests are stepped down (J. P. Romano and M. Wolf, JASA 100, 2005): the largest T_j is held against the law of
the largest of all under equality, the next against that of the largest of the rest. Under any configuration those that
are truly lowest have T_j no larger than under equality, so that the first false statement has at most its level. The
first step is that of all pairs (Tukey and Kramer); the later ones, which need not tell the worse from each other, are
more powerful than those of S. Holm, A simple sequentially rejective multiple test procedure (1979), over all pairs.
"""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.statistics.interval import Interval, mean_interval, normal_quantile
from bench.statistics.variance import ratio_interval

SIMULATIONS, OF_EACH = 200_000, 10_000
"""Numbers that the law under equality is drawn from, and of each estimate at least: its level is then off by .002 (one
standard error) at most."""
FREEDOM = 1.0
"""Degrees of freedom of the standard error s of a log variance, times s^2. The draws are about 1 / s^2 effective ones
(n over their kurtosis), and how well they tell s decides the tail beyond three standard errors: under a Gaussian law
6 % of comparisons of twenty equal ones say something, and at a standard error above .4 a quarter of them; under this
law 3 and 2 % (`tox -e audit`)."""


class Best(NamedTuple):
    """What may be said of several estimates, all of it at once at the level."""

    best: tuple[int, ...]
    """Those that may be the lowest, by their estimates; last those without a standard error, of which nothing is known.
    One alone is the lowest; several are a tie."""
    worse: tuple[int, ...]
    """Those that are told apart from the lowest, by their estimates."""
    low: tuple[float, ...]
    high: tuple[float, ...]
    """[k] simultaneous ends of each one's distance from the lowest, 0 at least: of logarithms that of the ratio. They
    are of one step, and so may hold 0 for one that is told apart."""


def lowest(logs: ArrayLike, log_se: ArrayLike, level: float = 0.95, freedom: float = math.inf) -> Best:
    """Compare independent estimates with their lowest.

    Args:
        logs: [k] logarithms of variances; NaN for one that was not measured, which is left out.
        log_se: [k] their standard errors; 0 for an exact one, infinity for one without an interval.
        level: chance that nothing is said falsely.
        freedom: degrees of freedom of the standard errors at most, where they are over fewer units than draws.

    Raises:
        ValueError: shapes that differ, or a level outside (0, 1).
    """
    normal_quantile(level)
    x, se = (np.asarray(values, dtype=np.float64) for values in (logs, log_se))
    if x.ndim != 1 or x.shape != se.shape:
        raise ValueError(f"logs and their standard errors must be rows of one length, got {x.shape} and {se.shape}")
    known = np.flatnonzero(~np.isnan(x) & np.isfinite(se))
    unknown = [int(i) for i in np.flatnonzero(~np.isnan(x) & ~np.isfinite(se))]
    low, high = np.zeros(len(x)), np.full(len(x), math.inf)
    low[np.isnan(x)] = high[np.isnan(x)] = math.nan
    if len(known) < 2:
        return Best((*map(int, known), *unknown), (), tuple(low.tolist()), tuple(high.tolist()))
    t, errors = pairwise_distances(x[known], se[known])
    law = law_of_distances(tuple(se[known].tolist()), freedom)
    worse = {int(known[j]) for j in _stepped(t.max(1), lambda left: law[:, left].max(1), 1 - level)}
    critical = float(np.quantile(law.max(1), level))
    gaps = _gaps(x[known])
    with np.errstate(invalid="ignore"):
        low[known] = np.maximum((gaps - critical * errors).max(1), 0.0)
        high[known] = (gaps + critical * errors).max(1)
    if unknown:  # one of them may be the lowest
        high[known] = math.inf
    order = [int(i) for i in known[np.argsort(x[known], kind="stable")]]
    best = [i for i in order if i not in worse] + unknown
    return Best(tuple(best), tuple(i for i in order if i in worse), tuple(low.tolist()), tuple(high.tolist()))


def lowest_paired(x: ArrayLike, level: float = 0.95, of: Sequence[int] | None = None, errors: ArrayLike = 0.0) -> Best:
    """Compare means over paired units, such as seeds or trajectories, with their lowest.

    Each T_j is a maximum of paired t statistics, of which nothing is assumed but Gaussian differences: its chance is
    bounded by the sum over those that it is compared with (Bonferroni), and over those that are left (Holm 1979).

    Args:
        x: [k, n] finite values, one row an estimate and one column a unit; at least 2 units.
        level: chance that nothing is said falsely.
        of: the estimate that each row is of, 0, 1, ... in this order; each row's own by default. Several rows of one
            are what it may be by a choice that the units do not settle: what is said holds for each of them, and they
            are ordered by the first.
        errors: [k] standard error of what else each row holds, alike at all units and independent of the other rows'.

    Raises:
        ValueError: another shape, values that are not finite, or a level outside (0, 1).
    """
    from scipy.stats import t as student

    normal_quantile(level)
    values = np.asarray(x, dtype=np.float64)
    gaps, error = paired_distances(values, errors)
    firsts = np.flatnonzero(np.diff(np.arange(len(values)) if of is None else np.asarray(of), prepend=-1))
    k, n = len(firsts), values.shape[1]
    order = [int(i) for i in np.argsort(values[firsts].mean(1), kind="stable")]
    if k < 2:
        return Best((0,) * k, (), (0.0,) * k, (0.0,) * k)

    def each(of_rows: NDArray[np.float64], end: np.ufunc) -> NDArray[np.float64]:
        """[k, k] the least, or largest, of all rows of two estimates; 0 for one and itself."""
        found: NDArray[np.float64] = end.reduceat(end.reduceat(of_rows, firsts, 0), firsts, 1)
        np.fill_diagonal(found, 0.0)
        return found

    t = each(_ratios(gaps, error), np.minimum).max(1)
    chances = student.sf(t, n - 1) * (k - 1)
    worse: list[int] = []
    for j in np.argsort(-t, kind="stable"):
        if chances[j] * (k - len(worse)) > 1 - level:
            break
        worse.append(int(j))
    critical = float(student.isf((1 - level) / (k * (k - 1)), n - 1))
    low = np.maximum(each(gaps - critical * error, np.minimum).max(1), 0.0)
    high = each(gaps + critical * error, np.maximum).max(1)
    best = tuple(i for i in order if i not in worse)
    return Best(best, tuple(i for i in order if i in worse), tuple(low.tolist()), tuple(high.tolist()))


class Margin(NamedTuple):
    """How far the one that was chosen is below a reference, from what did not choose it."""

    chosen: int
    interval: Interval
    """Of the ratio to the reference, or of the difference from it; NaN where the reference itself was chosen."""


NONE = Interval(math.nan, math.nan, math.nan)


def margin(logs: ArrayLike, judged: ArrayLike, judged_log_se: ArrayLike, reference: int, level: float = 0.95) -> Margin:
    """Ratio of the variance that is lowest by the first half of the draws to a reference's, by the second half.

    The draws that choose a winner flatter it: over twenty equal estimators of n = 1000 the lowest variance lies two
    standard errors below the truth. The second half, which did not choose, covers its ratio at the nominal level.

    Args:
        logs: [k] logarithms of the variances that choose; NaN is never chosen.
        judged: [k] logarithms of those that judge.
        judged_log_se: [k] standard errors of the latter.
        reference: index of the reference.
        level: nominal coverage.

    Raises:
        ValueError: nothing to choose from, or a level outside (0, 1).
    """
    normal_quantile(level)
    first, second, se = (np.asarray(values, dtype=np.float64) for values in (logs, judged, judged_log_se))
    if np.isnan(first).all():
        raise ValueError("no variance was measured: there is nothing to choose from")
    chosen = int(np.nanargmin(first))
    if chosen == reference:
        return Margin(chosen, NONE)
    ratio = math.exp(second[chosen] - second[reference])
    return Margin(chosen, ratio_interval(ratio, float(se[chosen]), 1.0, float(se[reference]), level))


def margin_paired(x: ArrayLike, reference: int, level: float = 0.95, candidates: Sequence[int] | None = None) -> Margin:
    """Difference from a reference of the one that is lowest over the first half of the units, over the other units.

    Args:
        x: [k, n] finite values of paired units, at least 4 of them; the first n // 2 choose.
        reference: index of the reference.
        level: nominal coverage of Student's t over the units that judge.
        candidates: indices that may be chosen; all by default.

    Raises:
        ValueError: fewer units, values that are not finite, or a level outside (0, 1).
    """
    normal_quantile(level)
    values = np.asarray(x, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] < 4 or not np.isfinite(values).all():
        raise ValueError("a margin needs finite values [k, n] of at least 4 units: two choose and two judge")
    half = values.shape[1] // 2
    chosen = min(range(len(values)) if candidates is None else candidates, key=lambda i: values[i, :half].mean())
    if chosen == reference:
        return Margin(chosen, NONE)
    return Margin(chosen, mean_interval(values[chosen, half:] - values[reference, half:], level))


def _gaps(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """[k, k] x_j - x_i; 0 between two that are both minus infinity, the logarithms of no variance at all."""
    with np.errstate(invalid="ignore"):
        return np.nan_to_num(x[:, None] - x[None], nan=0.0, posinf=math.inf, neginf=-math.inf)


def _ratios(gaps: NDArray[np.float64], errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distances in standard errors: 0 where nothing differs, infinite where exact values do."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(gaps == 0, 0.0, gaps / errors)


def paired_distances(values: NDArray[np.float64], errors: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """[k, k] means of the paired differences of j above i, and their standard errors.

    Args:
        values: [k, n] finite values, one row an estimate and one column a unit; at least 2 units.
        errors: [k] standard error of what else each row holds, alike at all units and independent of the other rows'.

    Raises:
        ValueError: another shape, or values that are not finite.
    """
    if values.ndim != 2 or values.shape[1] < 2 or not np.isfinite(values).all():
        raise ValueError("paired values must be finite, [k, n] of at least 2 units")
    k, n = values.shape
    differences = values[:, None] - values[None]  # rows x rows x n
    more = np.broadcast_to(np.asarray(errors, dtype=np.float64), k)
    own = differences.std(2, ddof=1) / math.sqrt(n)
    return differences.mean(2), np.hypot(own, np.hypot(more[:, None], more))


def pairwise_distances(
    x: NDArray[np.float64], se: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """[k, k] distances of j above i in standard errors, and those errors."""
    errors = np.hypot(se[:, None], se[None])
    return _ratios(_gaps(x), errors), errors


@lru_cache(maxsize=64)  # a report asks for each twice, for its tables and for its findings
def law_of_distances(errors: tuple[float, ...], most: float) -> NDArray[np.float64]:
    """[simulations, k] draws of T under equality, standard errors estimated with the freedom that they have."""
    rng, se = np.random.default_rng(0), np.array(errors)
    shape = (max(OF_EACH, SIMULATIONS // len(se)), len(se))
    x = rng.standard_normal(shape) * se
    freedom = np.minimum(FREEDOM / np.maximum(se, 1e-3) ** 2, most)
    square = se**2 * rng.chisquare(freedom, shape) / freedom
    columns, squares = np.ascontiguousarray(x.T), np.ascontiguousarray(square.T)
    largest = np.zeros(shape[::-1])
    for j in range(1, len(se)):  # each pair once: the other way round it is the negative
        distances = _ratios(columns[j] - columns[:j], np.sqrt(squares[j] + squares[:j]))
        np.maximum(largest[j], distances.max(0), out=largest[j])
        np.maximum(largest[:j], -distances, out=largest[:j])
    return largest.T


def _stepped(t: NDArray[np.float64], largest_of: Callable[[list[int]], NDArray[np.float64]], error: float) -> list[int]:
    """Those whose T is rejected, the largest first, each against the law of the largest of those that are left."""
    order = [int(j) for j in np.argsort(-t, kind="stable")]
    for step, j in enumerate(order):
        if not t[j] > np.quantile(largest_of(order[step:]), 1 - error):
            return order[:step]
    return order
