"""Every interval by another road: leave-one-out done slowly, scipy, enumeration, or arithmetic on round numbers."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from bench.statistics import (
    HEAVY_TAIL_KURTOSIS,
    PAIRS,
    STRETCHES,
    differences,
    iqm,
    iqm_interval,
    kurtosis,
    mean_interval,
    median_log_se,
    paired_ratio_interval,
    performance_profile,
    probability_of_improvement,
    quartiles,
    ratio_interval,
    share_interval,
    squared_bias_from_parts,
    squared_bias_interval,
    time_to_target,
    variance_interval,
    variance_log_se,
)


def gauss(level: float) -> float:
    """How many standard errors an interval reaches to each side."""
    return float(stats.norm.interval(level)[1])


def student(level: float, freedom: int) -> float:
    return float(stats.t.interval(level, freedom)[1])


def distances(g: list[float]) -> list[float]:
    return [(x - sum(g) / len(g)) ** 2 for x in g]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([10.0, 1.0, 4.0, 2.0], {"median": 3.0, "q25": 1.75, "q75": 5.5, "n": 4}),
        ([[5.0, 1.0, 2.0], [9.0, 4.0, 3.0]], {"median": 3.5, "q25": 2.25, "q75": 4.75, "n": 6}),
        ([7.0], {"median": 7.0, "q25": 7.0, "q75": 7.0, "n": 1}),
        ([2.0, 8.0], {"median": 5.0, "q25": 3.5, "q75": 6.5, "n": 2}),
    ],
)
def test_quartiles_lie_between_neighbours_by_share(values: list, expected: dict[str, float]) -> None:
    assert quartiles(values) == expected
    assert list(quartiles(values)) == ["median", "q25", "q75", "n"]


@pytest.mark.parametrize(
    ("logs", "of_three", "of_five"),
    [
        # What is cut: thirds of sizes 2 2 1 and 3 2 2; fifths of sizes 1 1 1 1 1 and 2 2 1 1 1.
        ([0.0, 0.4, 0.1, 0.3, 0.1], [0.2, 0.2, 0.1], [0.0, 0.4, 0.1, 0.3, 0.1]),
        ([0.5, 0.1, 0.3, 0.9, 0.8, 0.2, 0.0], [0.3, 0.85, 0.1], [0.3, 0.6, 0.8, 0.2, 0.0]),
        ([0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.5, 0.0, 0.5, 0.5, 0.0]),
    ],
)
def test_the_wider_of_two_cuts_of_the_rounds_counts(
    logs: list[float], of_three: list[float], of_five: list[float]
) -> None:
    """The half-width of Student's interval for the mean of the stretches' medians."""
    three, five = (student(0.95, len(m) - 1) * stats.sem(m) for m in (of_three, of_five))
    assert median_log_se(np.exp(logs)) == pytest.approx(max(three, five) / gauss(0.95), rel=1e-6)
    for count, quantile in STRETCHES.items():
        assert quantile == pytest.approx(student(0.95, count - 1), rel=1e-6)


@pytest.mark.parametrize(
    "g", [[0.0, 1.0, 5.0], [2.0, 2.0, 7.0, 3.0], [1.0, 1.0, 1.0, 4.0, 4.0], [0.0, 0.0, 0.0, 0.0, 1.0, -2.0]]
)
def test_few_draws_are_left_out_one_by_one(g: list[float]) -> None:
    n = len(g)
    logs = [math.log(np.var(g[:i] + g[i + 1 :], ddof=1)) for i in range(n)]
    slow = math.sqrt((n - 1) * np.var(logs))
    assert variance_log_se(distances(g)) == pytest.approx(slow)
    for level in (0.5, 0.95, 0.99):
        found, factor = variance_interval(distances(g), level), math.exp(gauss(level) * slow)
        assert found == pytest.approx((np.var(g, ddof=1), np.var(g, ddof=1) / factor, np.var(g, ddof=1) * factor))


def test_where_one_draw_carries_the_variance_the_interval_has_no_upper_end() -> None:
    """Without 3 the others' variance is e^2 / 2 of 3: a share of 8e-12 is one that is left, 8e-14 is rounding."""
    assert variance_interval(distances([0.0, 0.0, 3.0])) == (3.0, 0.0, math.inf)
    assert math.isinf(variance_log_se(distances([0.0, 1e-6, 3.0])))
    assert math.isfinite(variance_log_se(distances([0.0, 1e-5, 3.0])))
    assert variance_log_se([0.0, 0.0, 0.0]) == 0.0
    assert variance_interval([0.0, 0.0, 0.0, 0.0]) == (0.0, 0.0, 0.0)
    # One of a hundred draws is 1, of .99 squares about the mean: the others' variance is .98e-12, or 1.02e-12.
    for square, finite in ((0.97e-12, False), (1.01e-12, True)):
        others = math.sqrt(square) * np.where(np.arange(99) % 2, 1, -1)
        assert math.isfinite(variance_log_se(distances([1.0, *others]))) is finite
    with pytest.raises(ValueError, match=r"^a variance interval needs at least 3 draws, got 2"):
        variance_log_se([1.0, 2.0])


@pytest.mark.parametrize("level", [0.0, 1.0, -0.5, 95])
@pytest.mark.parametrize(
    "interval",
    [
        lambda level: variance_interval([1.0, 2.0, 3.0], level),
        lambda level: ratio_interval(1.0, 0.1, 2.0, 0.1, level),
        lambda level: mean_interval([1.0, 2.0], level),
        lambda level: squared_bias_interval([[1.0], [2.0], [3.0]], level=level),
        lambda level: paired_ratio_interval([1.0, 2.0], [1.0, 1.0], level),
        lambda level: iqm_interval([[1.0, 2.0]], level, resamples=3),
        lambda level: probability_of_improvement([[1.0, 2.0]], [[1.0, 2.0]], level),
        lambda level: share_interval([[True, False]], level),
        lambda level: performance_profile([[1.0, 2.0]], [0.0], level),
        lambda level: time_to_target([1.0], [[1.0]], 0.0, level),
    ],
)
def test_a_level_is_a_share(interval: Callable[[float], object], level: float) -> None:
    with pytest.raises(ValueError, match=f"level must lie strictly between 0 and 1, got {level}"):
        interval(level)


def test_kurtosis_of_few_numbers() -> None:
    assert kurtosis([1.0, 1.0, 4.0]) == 3 * 18 / 36
    assert kurtosis([0.0, 0.0, 0.0, 0.0]) == 1.0
    assert kurtosis([0.0, 0.0, 5.0, 0.0]) == 4.0
    assert kurtosis(distances([1.0, 2.0, 4.0, 9.0, -3.0])) == pytest.approx(
        stats.kurtosis([1.0, 2.0, 4.0, 9.0, -3.0], fisher=False)
    )
    assert HEAVY_TAIL_KURTOSIS == 10


def test_a_ratios_log_errors_add_up_in_squares() -> None:
    """Of .3 and .4 becomes .5."""
    assert ratio_interval(6.0, 0.3, 4.0, 0.4) == pytest.approx(
        (1.5, 1.5 * math.exp(-0.979982), 1.5 * math.exp(0.979982))
    )
    assert ratio_interval(6.0, 0.3, 4.0, 0.4, 0.5) == pytest.approx(
        (1.5, 1.5 * math.exp(-0.3372449), 1.5 * math.exp(0.3372449))
    )
    assert ratio_interval(0.0, 0.3, 4.0, 0.4) == (0, 0, 0)
    for first, second in ((math.inf, 0.4), (0.3, math.inf)):
        assert ratio_interval(6.0, first, 4.0, second) == (1.5, 0.0, math.inf)
    assert all(math.isnan(end) for end in ratio_interval(6.0, 0.3, 0.0, 0.4))


@pytest.mark.parametrize("level", [0.5, 0.95, 0.99])
@pytest.mark.parametrize("x", [[1.0, 3.0], [2.0, 2.0, 5.0], [[4.0, -1.0], [0.5, 8.0]], [3.0, 3.0, 3.0]])
def test_a_mean_has_students_interval_at_every_level(x: list, level: float) -> None:
    flat = np.ravel(x)
    half = student(level, flat.size - 1) * flat.std(ddof=1) / math.sqrt(flat.size)
    assert mean_interval(x, level) == pytest.approx((flat.mean(), flat.mean() - half, flat.mean() + half))


def test_a_mean_of_one_has_no_ends_and_of_none_or_infinity_is_no_mean() -> None:
    estimate, *ends = mean_interval([4.0])
    assert estimate == 4.0 and all(map(math.isnan, ends))
    for x in ([], [1.0, math.inf], [math.nan]):
        with pytest.raises(ValueError, match=r"^a mean interval needs at least one value, all finite$"):
            mean_interval(x)


def test_differences_pair_neighbours_and_are_not_more_than_needed() -> None:
    x = np.array([[1.0, 10.0], [4.0, 30.0], [2.0, 50.0], [9.0, 60.0], [7.0, 0.0]])
    expected = np.array([[-3.0, -20.0], [-7.0, -10.0]]) / math.sqrt(2)
    np.testing.assert_allclose(differences(x), expected)
    found = differences(torch.tensor(x))
    assert isinstance(found, torch.Tensor)
    np.testing.assert_allclose(found.numpy(), expected)
    assert PAIRS == 128
    many = np.arange(600.0)[:, None] ** 2
    assert differences(many).shape == (128, 1)
    np.testing.assert_allclose(differences(many)[:, 0], [-(4 * i + 1) / math.sqrt(2) for i in range(128)])
    assert differences(many[:255]).shape == (127, 1)


NOISE = [[1.0, 0.0], [0.0, 2.0], [2.0, 2.0]]
"""Products of different ones are 0, 2 and 4, the mean of their squares 20 / 3."""


@pytest.mark.parametrize("level", [0.5, 0.95])
@pytest.mark.parametrize(
    ("estimate", "along", "noise", "square"),
    [
        (7.0, 50.0, NOISE, 20 / 3),
        (-1.0, 25.0, NOISE, 20 / 3),
        (7.0, 50.0, [[1.0, 2.0]], 25.0),
        (7.0, 0.0, NOISE, 20 / 3),
    ],
)
def test_a_squared_bias_reaches_from_where_to_where_it_says(
    estimate: float, along: float, noise: list, square: float, level: float
) -> None:
    """At the mean (3, 4), of squared length 25, the noise along it makes a slope of `along` / 25."""
    found = squared_bias_from_parts(estimate, [3.0, 4.0], along, np.array(noise), np.zeros((0, 2)), level)
    z, slope = gauss(level), along / 25
    assert found.interval.estimate == estimate
    assert found.visible == pytest.approx(z * math.sqrt(2 * square))
    _, low, high = found.interval
    assert low < high
    for end in (low, high):
        assert (end - estimate) ** 2 == pytest.approx(z**2 * (2 * square + 4 * slope * end))


def test_a_squared_bias_that_no_value_explains_is_a_point() -> None:
    """No noise but a slope of 2: an estimate below -2 z^2 is no beta's; and a mean of length 0 has no slope."""
    found = squared_bias_from_parts(-50.0, [3.0, 4.0], 50.0, np.zeros((3, 2)), np.zeros((0, 2))).interval
    assert found.low == found.high == pytest.approx(-50 + 4 * gauss(0.95) ** 2)
    estimate, low, high = squared_bias_from_parts(1.0, [0.0, 0.0], 9.0, np.array(NOISE), np.zeros((0, 2))).interval
    assert (estimate - low, high - estimate) == pytest.approx((gauss(0.95) * math.sqrt(40 / 3),) * 2)


def test_the_squared_bias_of_three_draws() -> None:
    """1, 2 and 6: products of different ones are 2, 6 and 12, their mean 20 / 3; mean 3, variance 7."""
    for deviations in ([1.0, 2.0, 6.0], [[1.0], [2.0], [6.0]]):
        (estimate, low, high), visible = squared_bias_interval(deviations)
        assert estimate == pytest.approx(20 / 3)
        z, square = gauss(0.95), (0.5 / 3) ** 2  # of (1 - 2) / sqrt(2), over 3 draws
        assert visible == pytest.approx(z * math.sqrt(2 * square))
        for end in (low, high):
            assert (end - estimate) ** 2 == pytest.approx(z**2 * (2 * square + 4 * 7 / 3 * end))
    assert squared_bias_interval([1.0, 2.0, 6.0], floor=0.5).interval.estimate == pytest.approx(20 / 3 - 0.5)
    # Parts of variance 3 say what the mean of two of them is known to: 3 / 2.
    assert squared_bias_interval([1.0, 2.0, 6.0], [math.sqrt(1.5), -math.sqrt(1.5)]).interval.estimate == pytest.approx(
        20 / 3 - 1.5
    )


def test_a_bias_of_two_draws_has_no_interval() -> None:
    with pytest.raises(ValueError, match=r"^a bias interval needs at least 3 draws, got 2$"):
        squared_bias_interval([[1.0], [2.0]])


def test_an_odd_number_of_parts_in_three_coordinates() -> None:
    """Variances along the mean add up, as squares of covariances do with twice the crossed products."""
    rng = np.random.default_rng(5)
    c, parts = rng.normal([0.3, 0.6, -0.2], size=(11, 3)), rng.normal(scale=[1.0, 2.0, 0.5], size=(5, 3))
    (estimate, *ends), visible = squared_bias_interval(c, parts, level=0.8)
    pairs = list(itertools.permutations(range(11), 2))
    assert estimate == pytest.approx(np.mean([c[i] @ c[j] for i, j in pairs]) - np.square(parts).sum() / 20)
    y = [(c[2 * i] - c[2 * i + 1]) / math.sqrt(2 * 11) for i in range(5)]
    w = [(parts[2 * i] - parts[2 * i + 1]) / math.sqrt(2 * 5) for i in range(2)]

    def square(of: list) -> float:
        return float(np.mean([(a @ b) ** 2 for a, b in itertools.permutations(of, 2)]))

    crossed = float(np.mean([(a @ b) ** 2 for a in y for b in w]))
    total = square(y) + square(w) + 2 * crossed
    assert visible == pytest.approx(gauss(0.8) * math.sqrt(2 * total))
    d = c.mean(0)
    slope = (np.var(c @ d, ddof=1) / 11 + np.var(parts @ d, ddof=1) / 5) / (d @ d)
    for end in ends:
        assert (end - estimate) ** 2 == pytest.approx(gauss(0.8) ** 2 * (2 * total + 4 * slope * end))


@pytest.mark.parametrize("level", [0.5, 0.95])
def test_a_paired_ratio_is_a_paired_t_test_of_logarithms(level: float) -> None:
    x, y = [3.0, 8.0, 5.0, 1.0], [2.0, 1.0, 4.0, 7.0]
    found = stats.ttest_rel(np.log(x), np.log(y)).confidence_interval(level)
    expected = (120 / 56) ** 0.25, math.exp(found.low), math.exp(found.high)
    assert paired_ratio_interval(x, y, level) == pytest.approx(expected)
    assert paired_ratio_interval(x, y) == paired_ratio_interval(x, y, 0.95)
    with pytest.raises(ValueError, match=r"^pairs need as many x as y, got 1 and 2$"):
        paired_ratio_interval([1.0], [1.0, 2.0])
    for wrong in (-1.0, 0.0, math.inf, math.nan):
        for first, second in (([1.0, wrong], [1.0, 1.0]), ([1.0, 1.0], [wrong, 1.0])):
            with pytest.raises(ValueError, match=r"^a ratio needs positive, finite values$"):
                paired_ratio_interval(first, second)


def test_the_interquartile_mean_is_over_problems_and_seeds_of_each_stack() -> None:
    """Of six numbers the middle three, the outer ones of them cut in half."""
    stack = np.array([[[6.0, 1.0, 5.0], [2.0, 40.0, 3.0]], [[-10.0, 0.0, 2.0], [8.0, 100.0, 4.0]]])
    np.testing.assert_allclose(iqm(stack), [(0.5 * 2 + 3 + 5 + 0.5 * 6) / 3, (0.5 * 0 + 2 + 4 + 0.5 * 8) / 3])
    assert float(iqm([[5.0, 1.0]])) == 3.0


SCORES = [[1.0, 2.0, 4.0], [10.0, 13.0, 18.0]]


@pytest.mark.parametrize("level", [0.5, 0.95])
def test_the_bootstrap_of_an_interquartile_mean_is_stratified(level: float) -> None:
    """All 27 x 27 resamples of two problems' three seeds, and Student's quantile of the 4 degrees of freedom."""
    means = [
        float(iqm([list(a), list(b)]))
        for a, b in itertools.product(*(itertools.product(row, repeat=3) for row in SCORES))
    ]
    half = student(level, 4) * np.std(means) * math.sqrt(3 / 2)
    estimate, low, high = iqm_interval(SCORES, level, seed=3, resamples=20_000)
    assert estimate == pytest.approx((0.5 * 2 + 4 + 10 + 0.5 * 13) / 3)
    assert (estimate - low, high - estimate) == pytest.approx((half, half), rel=0.02)


def test_the_seed_of_a_bootstrap_decides_its_interval() -> None:
    draws = np.random.default_rng(4).integers(3, size=(5, 2, 3))
    means = [float(iqm([[SCORES[p][i] for i in draw[p]] for p in range(2)])) for draw in draws]
    half = student(0.95, 4) * np.std(means, ddof=1) * math.sqrt(3 / 2)
    found = iqm_interval(SCORES, seed=4, resamples=5)
    assert found.high - found.estimate == pytest.approx(half)
    assert iqm_interval(SCORES) == iqm_interval(SCORES, 0.95, 0, 2000) != iqm_interval(SCORES, seed=1)


FIRST = [[1.0, 5.0, 6.0]]
"""Above both of (2, 3) in two seeds of three, so that their shares are 0, 1, 1: a variance of 1 / 3, over 3."""


@pytest.mark.parametrize(
    ("x", "y", "share", "inner", "variance"),
    [
        (FIRST, [[2.0, 3.0]], 2 / 3, 2 / 3, 1 / 9),
        # All six pairs won: 6.5 of 8 with half a seed lost, 1 and 7 eighths, over twice three.
        (FIRST, [[0.0, 0.5]], 1.0, 1 - 0.5 / 3, 7 / 64 / 6),
        (FIRST, [[7.0, 8.0]], 0.0, 0.5 / 3, 7 / 64 / 6),
        ([*FIRST, *FIRST], [[2.0, 3.0], [0.0, 0.5]], 5 / 6, 5 / 6, (1 / 9 + 7 / 64 / 6) / 4),
        # Ties count half. Shares of x's seeds 1/4, 3/4, 1, and of y's 5/6, 1/2: variances 21/144 and 1/18.
        (FIRST, [[1.0, 5.0]], 2 / 3, 2 / 3, 7 / 144 + 1 / 36),
        # Shares 3/4, 1, 1, of y's 1 and 5/6: 2/144, less than the 13/16 times 3/16 of 6.5 of 8, over 6.
        (FIRST, [[0.5, 1.0]], 11 / 12, 1 - 0.5 / 3, 39 / 256 / 6),
    ],
)
@pytest.mark.parametrize("level", [0.5, 0.95])
def test_a_probability_of_improvement_on_the_logit_scale(
    x: list, y: list, share: float, inner: float, variance: float, level: float
) -> None:
    """Variances are DeLong's: of the seeds' shares over their number, of both sides; `inner` is kept off 0 and 1."""
    half = gauss(level) * math.sqrt(variance) / (inner * (1 - inner))
    low, high = (1 / (1 + (1 - inner) / inner * math.exp(sign * half)) for sign in (1, -1))
    found = probability_of_improvement(x, y, level)
    assert found == pytest.approx((share, min(low, share), max(high, share)))


def test_what_is_no_zero_is_a_hit() -> None:
    assert share_interval([[0, 2, 7], [0, 0, -1]]) == share_interval([[False, True, True], [False, False, True]], 0.95)


@pytest.mark.parametrize("level", [0.5, 0.95])
@pytest.mark.parametrize("hits", [[[True, False, True], [True, True, True]], [[False] * 4], [[True]]])
def test_a_share_has_wilsons_interval(hits: list, level: float) -> None:
    """All shares p within the level's standard errors sqrt(p (1 - p) / n) of the one that was found."""
    n, share, z = np.size(hits), np.mean(hits), gauss(level)
    found = share_interval(hits, level)
    assert found.estimate == share
    for end in found[1:]:
        if 0 < end < 1:
            assert (end - share) ** 2 == pytest.approx(z**2 * end * (1 - end) / n)
    assert found.low < share or share == 0 == found.low
    assert found.high > share or share == 1 == found.high


def test_a_profile_counts_what_lies_above_each_threshold() -> None:
    """Not at it; thresholds in any order and any shape."""
    scores = [[1.0, 2.0, 2.0], [3.0, 4.0, 5.0]]
    found = performance_profile(scores, [[2.0, 4.5], [0.0, 5.0]], 0.8)
    assert found == [share_interval([[True] * hits + [False] * (6 - hits)], 0.8) for hits in (3, 1, 6, 0)]
    assert performance_profile(scores, [2.0]) == [share_interval([[True] * 3 + [False] * 3], 0.95)]


def test_shapes_and_scores_that_are_refused() -> None:
    good = [[1.0, 2.0]]
    for call, message in (
        (lambda: probability_of_improvement([[1.0, math.nan]], good), "1 of 2 scores of x are not finite"),
        (lambda: probability_of_improvement(good, [[1.0, math.inf]]), "1 of 2 scores of y are not finite"),
        (lambda: iqm_interval([[[1.0, 2.0]]]), r"scores must be \[problems, seeds\] with .* got shape \(1, 1, 2\)"),
        (lambda: iqm_interval([[1.0], [2.0]]), r"with at least 2 seeds, got shape \(2, 1\)"),
        (lambda: probability_of_improvement(good, good * 3), "x has 1 problems and y 3; they must be the same"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    assert iqm_interval([1.0, 2.0, 4.0], resamples=3).estimate == iqm_interval([[1.0, 2.0, 4.0]], resamples=3).estimate


COLUMN = [[100], [120], [115], [90], [101]]


@pytest.mark.parametrize("kind", [np.int8, np.float16, torch.float16])
@pytest.mark.parametrize(
    "interval",
    [
        lambda x: tuple(quartiles(x).values()),
        lambda x: variance_interval(x),
        lambda x: (kurtosis(x),),
        lambda x: mean_interval(x),
        lambda x: squared_bias_interval(x, x).interval,
        lambda x: paired_ratio_interval(x, x[[1, 0, 4, 2, 3]]),
        lambda x: (float(iqm(x.T)),),
        lambda x: iqm_interval(x.T, resamples=10),
        lambda x: performance_profile(x.T, x[:1])[0],
        lambda x: time_to_target(x[[3, 0, 4, 2, 1], 0], x.T, 110).median,
    ],
)
def test_numbers_of_any_type_are_taken_in_double(interval: Callable[[Any], tuple[float, ...]], kind: Any) -> None:
    """Squares of a hundred are too much for a byte, and differences of them for half precision."""
    given = torch.tensor(COLUMN, dtype=kind) if isinstance(kind, torch.dtype) else np.array(COLUMN, dtype=kind)
    assert interval(given) == interval(np.array(COLUMN, dtype=np.float64))


def survival(times: list[float], reached: list[bool]) -> list[tuple[float, float, float]]:
    """Kaplan and Meier's curve at its steps, with Greenwood's error of log(-log S)."""
    share, total, steps = 1.0, 0.0, []
    for at in sorted(set(times)):
        risk = sum(t >= at for t in times)
        events = sum(t == at and hit for t, hit in zip(times, reached, strict=True))
        share *= 1 - events / risk
        total += events / (risk * (risk - events)) if events < risk else math.inf
        error = math.sqrt(total) / abs(math.log(share)) if 0 < share < 1 else math.inf
        steps.append((at, share, error))
    return steps


@pytest.mark.parametrize("level", [0.5, 0.8, 0.95])
def test_the_median_time_is_kaplan_and_meiers(level: float) -> None:
    """Eight runs of clocks of their own: six reach 1, at 2, 3, 3, 5, 8 and 9; two are last seen short of it at 3, 6."""
    wanted = [(2.0, True), (3.0, True), (3.0, True), (5.0, True), (8.0, True), (9.0, True), (3.0, False), (6.0, False)]
    clock, scores = [], []
    for at, hit in wanted:
        clock.append([at / 2, at, at + 1])
        scores.append([0.9, 1.0, 0.2] if hit else [0.4, 0.99, math.nan])
    found = time_to_target(clock, scores, 1.0, level)
    assert found.times.tolist() == [at for at, _ in wanted]
    assert found.reached.tolist() == [hit for _, hit in wanted]
    steps = survival(found.times.tolist(), found.reached.tolist())
    z = gauss(level)

    def first(sign: int) -> float:
        """When S^exp(sign z error), an end of the curve's own interval, is at most one half."""
        below = [at for at, share, e in steps if 0 < share < 1 and share ** math.exp(sign * z * e) <= 0.5]
        return min(below, default=math.inf)

    assert found.median == (5.0, first(1), first(-1))


def test_the_first_score_counts_and_half_of_the_runs_is_the_median() -> None:
    """A clock for all; reached at once, later, and never: of four runs two are the half."""
    found = time_to_target([4.0, 7.0, 9.0], [[5.0, 0.0, 0.0], [0.0, 1.0, 3.0], [0.0, 0.0, 0.9], [0.0, 0.5, -9.0]], 1.0)
    assert found.times.tolist() == [4.0, 7.0, 9.0, 9.0]
    assert found.reached.tolist() == [True, True, False, False]
    assert found.median.estimate == 7.0
    late = time_to_target([4.0, 7.0], [[0.0, -math.inf], [math.nan, 2.0]], 1.0)
    assert late.times.tolist() == [4.0, 7.0]  # minus infinity is no score that was seen
    assert late.reached.tolist() == [False, True]
