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
    FEW_EFFECTIVE_DRAWS,
    LEAST_RARE_EVENTS,
    PAIRS,
    STRETCHES,
    differences,
    heavy_tailed,
    kurtosis,
    mean_interval,
    median_log_se,
    no_interval,
    quartiles,
    ratio_interval,
    share_interval,
    squared_bias_from_parts,
    variance_interval,
    variance_log_se,
)
from tests.bench.squared_bias import squared_bias_interval


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
        lambda level: share_interval([[True, False]], level),
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
    assert (FEW_EFFECTIVE_DRAWS, LEAST_RARE_EVENTS) == (20, 8)


def test_tails_are_heavy_where_few_draws_or_few_rare_outcomes_carry_a_variance() -> None:
    """Twenty draws over their kurtosis are enough, and eight rare outcomes where any is rare."""
    cases = {(60.0, math.nan): False, (59.0, math.nan): True, (60.0, 8.0): False, (60.0, 7.9): True}
    for (draws, events), expected in cases.items():
        assert heavy_tailed(3.0, draws, events) is expected
    assert [no_interval(events) for events in (7.9, 8.0, math.inf, math.nan)] == [True, False, False, False]


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


def test_a_squared_bias_that_no_value_explains_reaches_down_to_its_estimate() -> None:
    """No noise but a slope of 2: an estimate below -2 z^2 is no beta's; and a mean of length 0 has no slope."""
    found = squared_bias_from_parts(-50.0, [3.0, 4.0], 50.0, np.zeros((3, 2)), np.zeros((0, 2))).interval
    assert found == (-50, -50, pytest.approx(-50 + 4 * gauss(0.95) ** 2))
    estimate, low, high = squared_bias_from_parts(1.0, [0.0, 0.0], 9.0, np.array(NOISE), np.zeros((0, 2))).interval
    assert (estimate - low, high - estimate) == pytest.approx((gauss(0.95) * math.sqrt(40 / 3),) * 2)


def test_a_squared_bias_far_below_0_is_not_said_to_be_above_it() -> None:
    """The mean lies along the direction of most noise, and the betas that would explain the estimate are positive."""
    noise = np.zeros((3, 2))
    estimate, low, high = squared_bias_from_parts(-9.0, [3.0, 4.0], 500.0, noise, np.zeros((0, 2))).interval
    slope, z = 500 / 25, gauss(0.95)
    assert high == pytest.approx(-9 + 2 * z**2 * slope + z * math.sqrt(4 * slope * (-9 + z**2 * slope)))
    assert high - 2 * z * math.sqrt(4 * slope * (-9 + z**2 * slope)) > 0
    assert estimate == low == -9


def test_the_square_of_a_covariance_is_no_less_than_0_by_rounding() -> None:
    """Draws of a sharp q move a coordinate each: no two have a product, and a sum and a trace round otherwise."""
    for seed in range(20):
        noise = np.diag(np.random.default_rng(seed).standard_normal(128))
        (_, low, high), visible = squared_bias_from_parts(1.0, np.zeros(128), 0.0, noise, np.zeros((0, 128)))
        assert (low, high, visible) == pytest.approx((1.0, 1.0, 0.0), abs=1e-6)


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
    low, high = ends
    assert (high - estimate) ** 2 == pytest.approx(gauss(0.8) ** 2 * (2 * total + 4 * slope * high))
    assert low == estimate  # the other such value is above it: the estimate is far below 0


"""Above both of (2, 3) in two seeds of three, so that their shares are 0, 1, 1: a variance of 1 / 3, over 3."""


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
    ],
)
def test_numbers_of_any_type_are_taken_in_double(interval: Callable[[Any], tuple[float, ...]], kind: Any) -> None:
    """Squares of a hundred are too much for a byte, and differences of them for half precision."""
    given = torch.tensor(COLUMN, dtype=kind) if isinstance(kind, torch.dtype) else np.array(COLUMN, dtype=kind)
    assert interval(given) == interval(np.array(COLUMN, dtype=np.float64))
