"""From draws to a verdict: every number of a certificate's tests, from draws whose answer is known."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from estimators import Estimate, Estimator
from estimators.checks import bernstein, evidence
from estimators.checks.bias import constant, theta, unbiased, value
from estimators.checks.compare import apart, percent
from estimators.checks.evidence import Worst, relative_bias
from estimators.checks.grid import Grid
from estimators.checks.sequence import Sampled, sampled
from estimators.checks.subject import Subject
from estimators.checks.tally import Deviations, Tally
from estimators.entry import entry_of
from estimators.exact import expectation

DOUBLE = torch.float64


def double(values: Any) -> Tensor:
    return torch.tensor(values, dtype=DOUBLE)


# Bernstein's inequality


def test_bernsteins_bound_on_round_numbers() -> None:
    # 100 (1/2)^2 / (2 (1 + 3 (1/2) / 3)) = 25 / 3, and the root of 100 d^2 / (2 (1 + d)) = 8 is 0.08 + sqrt(0.1664).
    assert float(bernstein.log_p(double(0.5), 100, double(1.0), double(3.0))) == pytest.approx(math.log(2) - 25 / 3)
    edge = 0.08 + math.sqrt(0.1664)
    at = math.log(2) - 8
    assert float(bernstein.log_p(double(edge), 100, double(1.0), double(3.0))) == pytest.approx(at)
    assert float(bernstein.detectable(at, 100, double(1.0), double(3.0))) == pytest.approx(edge + 2.33 * 0.1)
    none = bernstein.log_p(double([0.0, 1e-9, 0.0]), double([5, 5, 5]), double([0.0, 1.0, 1.0]), double([0.0, 1, 1]))
    assert none.tolist() == [0.0, 0.0, 0.0]  # no more than certainty, and no division of nothing by nothing
    certain = bernstein.log_p(double(0.5), 100, double(0.0), double(0.5))  # draws that are all wrong alike
    assert float(certain) == pytest.approx(math.log(2) - 100 * 0.25 / (2 * 0.25 / 3))


def test_bernsteins_bound_is_one_on_the_exact_tail_of_two_point_draws() -> None:
    """Sums of +-1 are binomial, and p-values of both tails known."""
    n = 400
    for heads in (230, 250, 280):
        mean = 2 * heads / n - 1
        exact = 2 * stats.binom.sf(heads - 1, n, 0.5)
        bound = float(bernstein.log_p(double(mean), n, double(1.0), double(1.0)))
        assert math.log(exact) < bound < math.log(exact) / 2
    seen = float(bernstein.detectable(math.log(1e-4), n, double(1.0), double(1.0)))
    edge = seen - 2.33 / math.sqrt(n)
    assert stats.binom.sf(math.ceil((1 + edge) / 2 * n), n, (1 + seen) / 2) == pytest.approx(0.99, abs=0.005)


# Comparisons


def test_apart_is_relative_to_the_size_of_both_and_takes_the_worst() -> None:
    a, b = [double([4.0, -6.0]), double([10.0])], [double([4.0, -2.0]), double([9.0])]
    assert apart(a, b) == pytest.approx(4 / (6 + 4))
    assert apart(b, a) == pytest.approx(0.4)
    assert apart([double([0.0])], [double([0.0])]) == 0.0
    assert apart([torch.zeros(0)], [torch.zeros(0)]) == apart([], []) == 0.0
    with pytest.raises(ValueError, match="zip"):
        apart(a, b[:1])
    assert [percent(x) for x in (0.5, 0.0149, 0.01, 0.0099, 3.2e-7)] == [
        "50%", "1%", "1%", "0.01 of its size", "3e-07 of its size"
    ]  # fmt: skip


# Sums of draws


def a_grid(exact: Sequence[Sequence[float]], event: tuple[int, ...] = (2,), samples: int = 3) -> Grid:
    """A grid whose rows, one for each of its objectives and levels, have these exact answers."""
    grid = Grid("bernoulli", event, samples, levels=tuple(float(i) for i in range(len(exact) // 6)))
    vars(grid)["exact"] = double(exact)
    return grid


EXACT = [[3.0, 4.0, 7.0, 5.0]] * 6
"""Two coordinates, theta's gradient and the value; of length 5."""
DRAWS = np.array(
    [[1.0, 2.0, -1.0, 0.5, 0.2], [3.0, 1.0, 2.0, 0.0, 0.1], [2.0, -2.0, 4.0, 1.0, 0.0], [0.0, 5.0, 3.0, 2.5, 0.7]]
)
"""Deviations of four draws: the columns of a tally."""


def a_tally(draws: np.ndarray, grid: Grid, *, row: int = 1, size: float = 1.0) -> Tally:
    tally = Tally(grid)
    rare = torch.zeros(len(draws), 1, grid.event[0], dtype=DOUBLE)
    tally.add([row], Deviations(double(draws)[:, None], rare, double([0.0]), [], size))
    return tally


def test_sums_of_draws_are_those_of_numpy_whatever_the_parts_they_come_in() -> None:
    tally = Tally(a_grid(EXACT))
    rare = torch.arange(16, dtype=DOUBLE).reshape(4, 2, 2) / 8
    rows = double(np.stack((DRAWS, 10 * DRAWS), 1))
    for part in (slice(0, 1), slice(1, 4)):
        plain = ["torch.rand", "torch.randn"] if part.start else ["torch.rand"]
        tally.add([4, 2], Deviations(rows[part], rare[part], double([5.0, 7.0]), plain, 3.0 - part.start))
    assert tally.width == 2
    assert tally.count.tolist() == [0, 0, 4, 0, 4, 0]
    for row, factor in ((4, 1.0), (2, 10.0)):
        x = factor * DRAWS
        np.testing.assert_allclose(tally.mean[row], x.mean(0))
        np.testing.assert_allclose(tally.variance[row], x.var(0, ddof=1))
        np.testing.assert_allclose(tally.error[row], stats.sem(x))
        np.testing.assert_allclose(tally.largest[row], np.abs(x).max(0))
        np.testing.assert_allclose(tally.products[row], x[:, :2].T @ x[:, :2])
    np.testing.assert_allclose(tally.mass[[4, 2]], rare.sum(0))
    np.testing.assert_allclose(tally.mass_squares[[4, 2]], rare.square().sum(0))
    assert tally.slots.tolist() == [0, 0, 14, 0, 10, 0]
    assert tally.plain == ["torch.rand", "torch.randn"]
    assert tally.size == 3.0


def test_a_row_s_length_is_that_of_its_exact_gradient_or_the_spread_where_there_is_none() -> None:
    tally = a_tally(DRAWS, a_grid(EXACT), row=0)
    assert tally.constant.tolist() == [True] + [False] * 5
    assert float(tally.norm[0]) == pytest.approx(math.sqrt(DRAWS[:, :2].var(0, ddof=1).sum()))
    assert tally.norm[1:].tolist() == [5.0] * 5
    still = a_tally(0 * DRAWS, a_grid(EXACT), row=0)
    assert float(still.norm[0]) == 1e-6


def test_rounding_is_a_thousand_units_of_the_largest_value() -> None:
    unit = 1e3 * 2.0**-52
    for size, expected in ((0.3, 1.0), (40.0, 40.0)):
        tally = a_tally(DRAWS, a_grid(EXACT), size=size)
        np.testing.assert_allclose(tally.rounding[:, :-1], unit * expected)
        np.testing.assert_allclose(tally.rounding[:, -1], unit * expected / 5)


def test_p_values_and_power_of_a_tally_are_bernsteins_beyond_rounding() -> None:
    tally = a_tally(DRAWS, a_grid(EXACT), size=1e12)  # rounding of 0.222
    slack = 1e15 * 2.0**-52
    mean, variance, largest = DRAWS.mean(0), DRAWS.var(0, ddof=1), np.abs(DRAWS).max(0)
    excess = np.maximum(np.abs(mean) - slack * np.array([1, 1, 1, 1, 0.2]), 0)
    expected = np.minimum(np.log(2) - 4 * excess**2 / (2 * (variance + largest * excess / 3)), 0)
    np.testing.assert_allclose(tally.log_p()[1], expected)
    level, seen = math.log(2) - math.log(0.01), tally.detectable(math.log(0.01))[1]
    half = level * largest / 12
    edge = half + np.sqrt(half**2 + 2 * level * variance / 4) + 2.33 * np.sqrt(variance / 4)
    np.testing.assert_allclose(seen, edge + slack * np.array([1, 1, 1, 1, 0.2]))


# Rare outcomes


@pytest.mark.parametrize(
    ("weights", "slots", "is_rare"),
    [
        ([1.0] * 25, 50.0, False),  # 25 of equal weight, all that half of 50 evaluations hold
        ([1.0] * 24, 48.0, True),  # too few
        ([1.0] * 24 + [100.0], 50.0, True),  # one heavy weight among many counts as few: 124^2 / 10024
        ([1.0] * 28, 80.0, False),  # exactly 70 % of the 40 that were due
        ([1.0] * 28, 80.1, True),
    ],
)
def test_rare_outcomes_must_be_met_25_times_and_to_70_per_cent(
    weights: list[float], slots: float, is_rare: bool
) -> None:
    grid = a_grid(EXACT)
    vars(grid)["shift"] = double([[0.0, 5.0]] * 6)  # the second latent has rare outcomes
    vars(grid)["rarity"] = double([[0.9, 0.5]] * 6)
    tally = Tally(grid)
    met = torch.zeros(len(weights), 1, 2, dtype=DOUBLE)
    met[:, 0, 1] = double(weights)
    noise = double(np.resize(DRAWS, (len(weights), 1, 5)))
    tally.add([1], Deviations(noise, met, double([slots]), [], 1.0))
    assert bool(tally.rare[1]) == is_rare
    assert not tally.rare[0]  # without draws, and so without noise
    silent = Tally(grid)
    silent.add([1], Deviations(0 * noise, 0 * met, double([slots]), [], 1.0))
    assert not silent.rare.any()  # nor is there anything to meet without noise
    vars(grid)["shift"] = torch.zeros(6, 2, dtype=DOUBLE)
    assert not tally.rare.any()


# Size of a bias


def the_bias(draws: np.ndarray, rounding: float, norm: float) -> tuple[float, float, float, bool]:
    """The U-statistic as the mean over pairs of different draws, and the normal interval by numpy's covariance."""
    n = len(draws)
    if n < 100:
        squared = np.mean([draws[i] @ draws[j] for i in range(n) for j in range(n) if i != j])
    else:  # n mean^2 is that with the pairs of a draw with itself
        squared = draws.mean(0) @ draws.mean(0) - np.trace(np.atleast_2d(np.cov(draws.T))) / n
    mean, covariance = draws.mean(0), np.atleast_2d(np.cov(draws.T))
    half = stats.norm.ppf(0.975) * math.sqrt(
        4 * mean @ covariance @ mean / n + 2 * np.trace(covariance @ covariance) / n**2
    )

    def root(x: float) -> float:
        return math.copysign(math.sqrt(abs(x)), x) / norm

    return (
        root(max(squared, 0)),
        root(squared - half - rounding),
        max(root(squared + half), 0),
        squared - 2 * half > rounding,
    )


@pytest.mark.parametrize("size", [1.0, 3e12])
@pytest.mark.parametrize(
    "shift", [(0.0, 0.0), (20.0, 0.0), (0.0, -20.0), (-1.5, -1.5)], ids=["none", "first", "second", "cancels"]
)
def test_a_bias_is_measured_by_pairs_of_draws(shift: tuple[float, float], size: float) -> None:
    draws = DRAWS.copy()
    draws[:, :2] += shift
    tally = a_tally(draws, a_grid(EXACT), size=size)
    found = relative_bias(tally, 1)
    expected = the_bias(draws[:, :2], 2 * (1e3 * 2.0**-52 * size) ** 2, 5.0)
    assert tuple(found) == pytest.approx(expected, rel=1e-7)
    assert found.significant == (max(map(abs, shift)) == 20)
    case = evidence.case_of(tally, 1)
    assert case == {
        "objective": "quadratic", "level": 0.0, "event": (2,), "samples": 3, "draws": 4,
        "bias": found.bias, "low": found.low, "high": found.high, "significant": found.significant,
    }  # fmt: skip
    tally.moved = "learned"
    assert evidence.case_of(tally, 1)["own_parameters"] == "learned"


def test_two_draws_that_cancel_have_no_bias_below_zero() -> None:
    found = relative_bias(a_tally(DRAWS * np.array([[1], [-1], [1], [-1]]), a_grid(EXACT)), 1)
    assert found.bias == 0.0
    assert found.low < 0
    assert found.high >= 0


# The worst, the pooled and the power


def told(rows: dict[int, Any], *, grid: Grid, n: int = 100) -> Tally:
    """A tally of n draws a row: column by column, a mean and beside it the size by which draws alternate about it."""
    tally = Tally(grid)
    signs = np.resize([1.0, -1.0], (n, 1))
    for row in range(len(grid.rows)):
        mean, spread = np.array(rows.get(row, ([0.0] * 5, [1.0] * 5)))
        rare = torch.zeros(n, 1, grid.event[0], dtype=DOUBLE)
        tally.add([row], Deviations(double(mean + signs * spread)[:, None], rare, double([0.0]), [], 1.0))
    return tally


def a_sample(*tallies: Tally, alpha: float = 1e-3) -> Sampled:
    return Sampled(tallies, math.log(alpha), 1)


TWELVE = [[3.0, 4.0, 7.0, 5.0]] * 11 + [[0.6, 0.8, -7.0, -5.0]]
"""Two levels of six objectives; the last row's gradient is of length 1."""


def bernstein_of(mean: float, variance: float, largest: float, n: float) -> float:
    return min(math.log(2) - n * mean**2 / (2 * (variance + largest * mean / 3)), 0.0)


def test_the_worst_mean_is_looked_for_among_the_columns_and_rows_that_are_asked_for() -> None:
    ones = [1.0] * 5
    first = told(
        {0: ([0.5, 0, 0, 0, 0], ones), 3: ([0, -0.6, 0, 0.7, 0], ones), 4: ([0, 0, 0.8, 0, 9.0], ones)},
        grid=a_grid(TWELVE),
    )
    second = told({11: ([0.9, 0, 0, 0, 0], [2.0] * 5)}, grid=a_grid(TWELVE))
    found = a_sample(first, second)
    variance = 100 / 99
    cases: list[tuple[slice, bool | None, Tally, int, int, float]] = [
        (slice(0, 2), False, first, 3, 1, bernstein_of(0.6, variance, 1.6, 100)),
        (slice(0, 2), True, first, 0, 0, bernstein_of(0.5, variance, 1.5, 100)),
        (slice(-2, -1), None, first, 3, -2, bernstein_of(0.7, variance, 1.7, 100)),
        (slice(-3, -2), None, first, 4, -3, bernstein_of(0.8, variance, 1.8, 100)),
    ]
    for columns, constant_or_not, tally, row, column, log_p in cases:
        worst = evidence.worst_of(found, lambda tally, columns=columns: columns, constant=constant_or_not)
        assert worst.tally is tally
        assert (worst.row, worst.column) == (row, column)
        assert worst.log_p == pytest.approx(log_p)
    worst = evidence.worst_of(
        a_sample(second, told({}, grid=a_grid(TWELVE))), lambda tally: slice(0, 2), constant=False
    )
    assert (worst.tally, worst.row, worst.column) == (second, 11, 0)
    assert worst.log_p == pytest.approx(bernstein_of(0.9, 4 * variance, 2.9, 100))


def test_the_worst_mean_in_words_and_numbers() -> None:
    tally = told({11: ([0.9, -0.2, 0.3, 0.7, 0], [2.0, 1.0, 1.0, 3.0, 1.0])}, grid=a_grid(TWELVE))
    subject = subject_of(Scripted)
    worst = Worst(tally, 11, 0, -20.0)
    assert worst.difference == pytest.approx(0.9)
    assert worst.exact == 0.6
    assert Worst(tally, 11, -2, 0.0).exact == -5.0  # the value
    assert Worst(tally, 11, -3, 0.0).exact == -7.0  # theta's gradient
    assert Worst(tally, 11, -2, 0.0).difference == pytest.approx(0.7)
    # n |mean|^2 - spreads, over n - 1: (100 0.85 - 500 / 99 ...) by pairs, and the interval of `the_bias`.
    signs = np.resize([1.0, -1.0], (100, 1))
    draws = np.array([0.9, -0.2]) + signs * np.array([2.0, 1.0])
    bias, low, high, _ = the_bias(draws, 2 * (1e3 * 2.0**-52) ** 2, 1.0)
    assert worst.relative == pytest.approx(bias)
    assert worst.interval == f"95 % interval {low:.1%} to {high:.1%}, n = 100"
    assert worst.interval_absolute == f"95 % interval +- {1.96 * 2 / math.sqrt(99):.2g}, n = 100"
    assert worst.words(subject) == "on the entropy objective at |logit| 1, 2 latents, samples=3"
    tally.moved = "perturbed"
    assert worst.words(subject).endswith("samples=3, own parameters perturbed")
    vanishing = Worst(told({11: ([0.1, 0, 0, 0, 0], [2.0] * 5)}, grid=a_grid(TWELVE)), 11, 0, 0.0)
    assert vanishing.interval.startswith("95 % interval 0.0% to ")  # an end below 0 is said as 0
    for event, words in (((1,), "1 latent"), ((3, 2), "3 x 2 latents"), ((1, 3), "1 x 3 latents"), ((6,), "6 latents")):
        grid = a_grid([[0.0] * 4] * 6, event)
        assert f"|logit| 0, {words}, " in Worst(Tally(grid), 5, 0, 0.0).words(subject)
    gaussian = Grid("gaussian", (3,), 2, levels=(8.0,))
    assert (
        Worst(Tally(gaussian), 2, 0, 0.0).words(subject) == "on the cubic objective at scale 0.2, 3 latents, samples=2"
    )


def test_projections_of_a_level_are_averaged_over_its_problems() -> None:
    grids = a_grid(TWELVE), a_grid(TWELVE)
    spread = [1.0] * 4
    first = told({row: ([0] * 4 + [0.01 * row], [*spread, 0.1 * row]) for row in range(12)}, grid=grids[0])
    second = told({row: ([0] * 4 + [0.02], [*spread, 0.5]) for row in range(12)}, grid=grids[1], n=50)
    found = evidence.pooled_by_level(a_sample(first, second))
    for level, (pooled, own) in enumerate(zip(found, ([2, 4, 6, 8, 10], [3, 5, 7, 9, 11]), strict=True)):
        # Rows lie objective by objective, so that level 0 has the even ones; the two constant rows are left out.
        mean = (sum(0.01 * row for row in own) + 5 * 0.02) / 10
        variance = (sum((0.1 * row) ** 2 / 99 for row in own) + 5 * 0.5**2 / 49) / 100
        step = max(*((0.11 * row) / 100 for row in own), 0.52 / 50) / 10
        assert pooled["level"] == level
        assert pooled["problems"] == 10
        assert pooled["ratio"] == pytest.approx(mean)
        excess = mean - 1e-6
        assert pooled["log_p"] == pytest.approx(bernstein_of(excess, variance, step, 1))
        size = math.log(2) - math.log(1e-3)
        half = size * step / 3
        assert pooled["detectable"] == pytest.approx(
            half + math.sqrt(half**2 + 2 * size * variance) + 2.33 * math.sqrt(variance)
        )
    assert [pooled["ratio"] for pooled in found] == pytest.approx([0.04, 0.045])
    minus = told({row: ([0] * 4 + [-0.5], [*spread, 0.5]) for row in range(12)}, grid=grids[0])
    assert evidence.pooled_by_level(a_sample(minus))[1]["ratio"] == pytest.approx(-0.5)
    assert evidence.pooled_by_level(a_sample(minus))[1]["log_p"] < -20
    tiny = told({row: ([0] * 4 + [9e-7], [*spread, 1e-9]) for row in range(12)}, grid=grids[0])
    assert evidence.pooled_by_level(a_sample(tiny))[0]["log_p"] == 0.0  # a millionth is rounding


def undecidable(grid: Grid, rows: Sequence[int], sources: Sequence[str], n: int = 100) -> Tally:
    """Draws of which the given rows have met none of their latents' rare outcomes."""
    shift = torch.zeros(len(grid.rows), grid.event[0], dtype=DOUBLE)
    shift[list(rows), 0] = 5.0
    vars(grid).update(shift=shift, rarity=torch.full_like(shift, 0.01))
    tally = told({}, grid=grid, n=n)
    tally.plain = list(sources)
    return tally


def test_power_is_that_of_the_least_conclusive_problem_of_a_level_and_undecided_ones_are_left_out() -> None:
    noisy = {3: ([0] * 5, [1.0, 4.0, 90, 90, 90]), 6: ([0] * 5, [7.0, 1, 1, 1, 1]), 7: ([0] * 5, [60.0, 1, 1, 1, 1])}
    first = told(noisy, grid=a_grid(TWELVE))
    second = undecidable(a_grid(TWELVE), [7], [])
    found = a_sample(first, second)
    size = math.log(2) - math.log(1e-3)

    def seen(spread: float, norm: float) -> float:
        half, variance = size * spread / 300, spread**2 / 99
        return (1e3 * 2.0**-52 + half + math.sqrt(half**2 + 2 * size * variance) + 2.33 * math.sqrt(variance)) / norm

    assert evidence.power(found) == {
        "by_level": {0.0: pytest.approx(seen(7.0, 5)), 1.0: pytest.approx(seen(60.0, 5))}, "chance": 0.99
    }  # fmt: skip
    assert evidence.power(a_sample(second))["by_level"][1.0] == pytest.approx(seen(1.0, 1))  # the last row's length


def test_counts_of_what_was_tested_and_of_what_was_refuted() -> None:
    wrong = {2: ([0.9, 0, 9, 9, 9], [1.0] * 5), 5: ([0.9, 0.9, 0, 0, 0], [1.0] * 5), 1: ([0, 0, 9, 9, 0], [1.0] * 5)}
    first = told(wrong, grid=a_grid(TWELVE))
    second = undecidable(a_grid(TWELVE, samples=4), [3, 8, 9], ["torch.multinomial"], n=40)
    second.moved = "learned"
    found = Sampled((first, second), math.log(1e-3), 3)
    assert evidence.counts(found) == {
        "problems": 12 + 9, "means": 24 + 18, "draws": 12 * 100.0 + 12 * 40, "log_alpha": math.log(1e-3), "looks": 3,
        "grids": [{"event": (2,), "samples": 3}, {"event": (2,), "samples": 4, "own_parameters": "learned"}],
        "refuted": 3,
    }  # fmt: skip
    cases = evidence.refuted_cases(found)  # of theta's gradient and the value too
    assert [(case["objective"], case["level"]) for case in cases] == [
        ("constant", 1.0), ("quadratic", 0.0), ("cubic", 1.0)
    ]  # fmt: skip
    rare = undecidable(a_grid(TWELVE), [2], [])
    told_wrong = told({2: ([0.9] * 5, [1.0] * 5)}, grid=rare.grid)
    assert evidence.refuted_cases(a_sample(told_wrong)) == []  # what cannot be told is not refuted
    assert evidence.counts(a_sample(told_wrong))["refuted"] == 0


def test_what_could_not_be_told_is_said() -> None:
    first = undecidable(a_grid(TWELVE), [3, 8], ["torch.randint", "torch.multinomial"])
    second = undecidable(a_grid(TWELVE), [2], ["torch.multinomial"])
    sound = told({}, grid=a_grid(TWELVE))
    sound.plain = ["torch.randperm"]
    found = evidence.undecided(a_sample(first, sound, second))
    assert found == {"problems": 3, "levels": [0.0, 1.0], "noise": ["torch.multinomial", "torch.randint"]}
    assert evidence.warnings_of(found) == (
        "cannot tell by sampling at |logit| 0, 1: in 3 problems f met too few rare outcomes of a latent, since the "
        "noise that decides them (torch.multinomial, torch.randint) could not be forced; draw it as torch.rand(S, *B, "
        "...) to have these decided too",
    )
    (unknown,) = evidence.warnings_of({"problems": 1, "levels": [15.0], "noise": []})
    assert (
        "at |logit| 15: in 1 problems f met too few rare outcomes of a latent, since the noise that decides them "
        in unknown
    )
    assert "decides them could not be forced" in unknown
    assert evidence.warnings_of(evidence.undecided(a_sample(sound))) == ()


def test_p_values_are_rounded_up_to_a_power_of_ten() -> None:
    logs = [math.log(p) for p in (0.5, 0.011, 0.0100001, 0.009, 3e-17)] + [-689.9, -690.0, -1e4]
    assert [evidence.p_words(log_p) for log_p in logs] == [
        "1e0", "1e-1", "1e-1", "1e-2", "1e-16", "1e-299", "1e-300", "1e-300"
    ]  # fmt: skip


# Scripted draws, from an estimator to a verdict


class Scripted(Estimator):
    """The exact gradient, theta's and value's too, plus deviations from a script of draws, rows and latents."""

    def script(self, logits: Tensor, exact: Tensor) -> Tensor:
        """Deviations [R, B, D] of the gradient, given the exact one."""
        return torch.zeros_like(exact)

    def forward(self, q, f, *, generator=None, context=None):
        value = expectation(q, f)
        (exact,) = torch.autograd.grad(value.sum(), q.logits, retain_graph=True)
        lines = exact.reshape(-1, *exact.shape[-2:])  # [R, B, D], of a warm-up's [B, D] too
        surrogate = value + (self.script(q.logits.detach(), lines).reshape(exact.shape) * q.logits).sum(-1)
        return Estimate(surrogate, value.detach())


def subject_of(
    cls: type[Estimator],
    *grids: Grid,
    draws: int = 4096,
    alpha: float = 1e-3,
    unbiased: bool = True,
    family: str = "bernoulli",
) -> Subject:
    entry = entry_of(cls, cls.__name__, families=(family,), unbiased=unbiased)
    subject = Subject(entry, family, {}, 0, draws, alpha, 1)
    if grids:
        vars(subject)["grids"] = grids
    return subject


ONE = Grid("bernoulli", (1,), 1, levels=(0.0, 1.0))
TWO = Grid("bernoulli", (3,), 2, levels=(1.0, 3.0))


def alternating(count: int) -> Tensor:
    """1, -1, 0 and so on, [R, 1, 1]: of mean zero and variance 2 / 3."""
    return double(np.resize([1.0, -1.0, 0.0], count))[:, None, None]


CHUNK = 16001
"""Draws of twelve problems of one bit in a first look of 4,096: the largest prime of which 2^19 / (12 x 2) fit."""


def of_grid(logits: Tensor, exact: Tensor) -> list[int]:
    """Which rows of `ONE` these are: those that are decided are drawn no more."""
    known = torch.cat((ONE.values[0], ONE.exact[:, :1]), -1)
    return [int((known - here).abs().sum(-1).argmin()) for here in torch.cat((logits, exact), -1)]


def scripted(bias: dict[int, float], noise: dict[int, float], *, base: type[Scripted] = Scripted) -> type[Scripted]:
    """Relative to the exact gradient, row by row: a bias, and noise of this standard deviation.

    On constant objectives, whose gradient is zero, in its own units.
    """

    class Of(base):  # type: ignore[misc, valid-type]
        def script(self, logits: Tensor, exact: Tensor) -> Tensor:
            length = exact.abs().sum(-1, keepdim=True)
            unit = torch.where(length > 1e-9, exact, 1.0)
            rows = of_grid(logits.reshape(exact.shape)[0], exact[0])
            mean, spread = (double([which.get(row, 0.0) for row in rows])[:, None] for which in (bias, noise))
            return unit * (mean + spread * alternating(len(exact)) * math.sqrt(1.5))

    return Of


def drawn(mean: float, spread: float, n: int = CHUNK) -> np.ndarray:
    """The same draws as an array [n, 1]."""
    return mean + spread * math.sqrt(1.5) * np.resize([1.0, -1.0, 0.0], (n, 1))


def test_the_level_is_shared_by_all_columns_looks_and_levels() -> None:
    for draws, looks in ((4095, 1), (2**14, 2), (2**18, 4)):
        found = sampled(subject_of(Scripted, ONE, TWO, draws=draws, alpha=0.02))
        columns = 12 * (1 + 3) + 12 * (3 + 3) + 2  # coordinates, theta, value and projection; and two pooled levels
        assert found.log_alpha == pytest.approx(math.log(0.02 / (columns * looks)))
        assert found.looks == looks
        assert [tally.grid for tally in found.tallies] == [ONE, TWO]
    for tally in found.tallies:  # what has no noise is proved, and not drawn
        assert bool(tally.proved.rows.all())
        assert not bool(tally.count.any())


LOOKED = {2: 0.5, 3: 1.0, 5: 3.0, 6: 10.0, 9: 20.0}
"""Standard deviations that show 5 % after one look, after two, 20 % after three, after four, and never."""


def test_a_problem_is_drawn_until_it_shows_the_target_or_is_given_up() -> None:
    found = sampled(subject_of(scripted({}, LOOKED), ONE, draws=2**18))
    expected = {2: 1, 3: 2, 5: 5, 6: 17, 9: 5}  # chunks, beyond 4,096, 16,384, 65,536 and 262,144 draws
    assert found.looks == 4
    assert (found.tallies[0].count / CHUNK).tolist() == [float(expected.get(row, 1)) for row in range(12)]
    level, at = math.log(2) - found.log_alpha, {row: found.tallies[0].count[row].item() for row in LOOKED}
    for row, n in at.items():  # the definition, from the laws of the draws
        sd, seen = LOOKED[row], float(found.tallies[0].detectable(found.log_alpha)[row, 0] / found.tallies[0].norm[row])
        half = level * sd * math.sqrt(1.5) / (3 * n)
        assert seen == pytest.approx(
            half + sd * (math.sqrt((half / sd) ** 2 + 2 * level / n) + 2.33 / math.sqrt(n)), rel=1e-3
        )
    assert int(sampled(subject_of(scripted({}, LOOKED), ONE, draws=2**14)).tallies[0].count[9]) == 2 * CHUNK


def test_a_declared_bias_is_drawn_until_its_error_is_half_a_per_cent() -> None:
    found = sampled(subject_of(scripted({}, {2: 0.6, 3: 0.7, 5: 3.0}), ONE, draws=2**18, unbiased=False))
    assert found.looks == 3  # up to 65,536
    assert (found.tallies[0].count / CHUNK).tolist() == [1.0, 1, 1, 2, 1, 5, 1, 1, 1, 1, 1, 1]


def test_a_refuted_estimator_is_looked_at_once_more() -> None:
    wrong = scripted({4: 0.5}, {4: 1.0, 6: 10.0})
    found = sampled(subject_of(wrong, ONE, draws=2**18))
    assert found.looks == 2
    assert int(found.tallies[0].count[6]) == 2 * CHUNK
    assert sampled(subject_of(wrong, ONE, draws=2**18, unbiased=False)).looks == 3


# Verdicts


def test_an_exact_estimator_passes_and_has_no_noise() -> None:
    found = unbiased(subject_of(Scripted, ONE, TWO))
    assert found.status == "passed"
    assert found.message == (
        "there is no bias in the 48 coordinates of 24 problems with samples=1, 2: proved to 2e-16 of the gradient's "
        "length in 20 problems, by integration over the noise"
    )
    assert found.numbers["draws"] == 0
    assert found.numbers["undecided"] == {"problems": 0, "levels": [], "noise": []}
    assert found.numbers["smallest_log_p"] == 0.0
    assert found.warnings == ()


def test_a_noisy_one_passes_and_says_how_wrong_it_could_be() -> None:
    noise = {row: (0.5, 0.2)[row % 2] for row in range(2, 12)} | {7: 1.0}
    found = unbiased(subject_of(scripted({}, noise), ONE))
    level = math.log(2) - math.log(1e-3 / 50)

    def seen(sds: Sequence[float]) -> float:
        """Of the mean of independent problems' means."""
        step = max(sds) * math.sqrt(1.5) / CHUNK / len(sds)
        variance = sum(sd**2 for sd in sds) / CHUNK / len(sds) ** 2
        half = level * step / 3
        return half + math.sqrt(half**2 + 2 * level * variance) + 2.33 * math.sqrt(variance)

    single = [seen([0.5]), seen([1.0])]
    pooled = [seen([0.5] * 5), seen([0.2] * 4 + [1.0])]
    assert found.message == (
        "no bias was seen in the 12 coordinates of 12 problems with samples=1: sampled in 10: by |logit|, "
        f"99 % chance to see on any one problem a bias of {single[0]:.1%} at 0, {single[1]:.1%} at 1 of the gradient's "
        f"length, and a factor on all of them off by {pooled[0]:.1%} at 0, {pooled[1]:.1%} at 1 (1.9e+05 draws)"
    )
    assert list(found.numbers["detectable"]["by_level"].values()) == pytest.approx(single, rel=1e-3)
    assert [p["detectable"] for p in found.numbers["pooled"]] == pytest.approx(pooled, rel=1e-3)


def test_a_known_bias_is_refuted_with_its_interval() -> None:
    """12 % on one problem in twelve; what is wrong is one coordinate of twelve."""
    found = unbiased(subject_of(scripted({5: -0.12}, {5: 0.4, 8: 0.1}), ONE))
    assert found.status == "failed"
    draws = drawn(-0.12, 0.4)
    bias, low, high, _ = the_bias(draws, 0.0, 1.0)
    log_p = bernstein_of(0.12, draws.var(ddof=1), abs(draws).max(), CHUNK)
    assert (f"{bias:.0%}", f"{low:.1%}", f"{high:.1%}") == ("12%", "11.4%", "12.6%")
    assert found.message == (
        "the mean is wrong: off by 12% of the exact gradient's length (95 % interval 11.4% to 12.6%, n = 16001) on the "
        f"cubic objective at |logit| 1, 1 latent, samples=1, p < 1e{math.ceil(log_p / math.log(10))}; 1 of 12 "
        "coordinates are wrong. Common causes: a factor or a term of the formula left out, or a score of other "
        "parameters than those drawn from"
    )
    (case,) = found.numbers["cases"]
    assert (case["objective"], case["level"], case["draws"], case["significant"]) == ("cubic", 1.0, CHUNK, True)
    assert (case["bias"], case["low"], case["high"]) == pytest.approx((bias, low, high), rel=1e-5)


def test_a_small_factor_on_all_problems_shows_in_their_mean_alone() -> None:
    factor = scripted(dict.fromkeys(range(2, 12), 0.03), {row: (1.0, 0.9)[row % 2] for row in range(2, 12)})
    found = unbiased(subject_of(factor, ONE))
    draws = drawn(0.03, 0.9)
    pooled = bernstein_of(0.03 - 1e-6, draws.var(ddof=1) / CHUNK / 5, abs(draws).max() / CHUNK / 5, 1)
    assert found.status == "failed"
    assert found.numbers["refuted"] == 0
    assert found.message == (
        "the mean is 1.03 times the exact gradient, averaged over all problems of level 1 (p < "
        f"1e{math.ceil(pooled / math.log(10))}). In every problem the mean is the exact gradient 1.03 times "
        "(samples=1): a factor of the formula is left out, or used twice"
    )


def test_a_small_factor_from_level_six_on_is_traced_to_logarithms() -> None:
    """Where no single mean is refuted, nothing is said of which problems are wrong."""

    class AtSix(Scripted):
        def script(self, logits: Tensor, exact: Tensor) -> Tensor:
            sharp = (logits.reshape(exact.shape).abs() > 5).double()
            return exact * sharp * (-0.03 + 0.9 * math.sqrt(1.5) * alternating(len(exact)))

    found = unbiased(subject_of(AtSix, Grid("bernoulli", (1,), 1, levels=(1.0, 6.0))))
    draws = drawn(-0.03, 0.9)
    pooled = bernstein_of(0.03 - 1e-6, draws.var(ddof=1) / CHUNK / 5, abs(draws).max() / CHUNK / 5, 1)
    assert found.message == (
        f"the mean is 0.97 times the exact gradient, averaged over all problems of level 6 (p < "
        f"1e{math.ceil(pooled / math.log(10))}). Usually an epsilon in a logarithm, or clipped probabilities. Common "
        "causes: a factor or a term of the formula left out, or a score of other parameters than those drawn from"
    )


def test_a_declared_bias_is_said_by_objective_and_where_there_is_none() -> None:
    bias = {2: 0.2, 3: -0.3, 4: 0.5, 5: 0.1, 8: 0.9, 10: 0.05, 11: 0.3}
    noise = {2: 0.4, 3: 0.6, 4: 0.5, 5: 0.5, 6: 0.5, 7: 0.2, 8: 30.0, 10: 0.6, 11: 0.6}
    found = unbiased(subject_of(scripted(bias, noise), ONE, unbiased=False))
    assert (found.check, found.status) == ("bias", "measured")
    by = found.numbers["by_objective"]
    assert list(by) == ["quadratic", "cubic", "coupled", "mlp", "entropy"]
    assert [by[name]["vanishes"] for name in by] == [False, False, True, False, False]
    # Intervals that end below a tenth: the noisy one's do not, but those of 5 % and of no bias and no noise do.
    assert [by[name]["narrow"] for name in by] == [0, 0, 2, 1, 1]
    assert [by[name]["problems"] for name in by] == [2] * 5
    for name, rows in (("quadratic", (2, 3)), ("cubic", (4, 5)), ("mlp", (8, 9)), ("entropy", (10, 11))):
        for case, row in zip(by[name]["by_level"], rows, strict=True):
            expected = the_bias(drawn(bias.get(row, 0.0), noise.get(row, 0.0)), 0.0, 1.0)
            assert case["level"] == float(row % 2)
            got = (case["bias"], case["low"], case["high"], case["significant"])
            assert got == pytest.approx(expected, rel=1e-4, abs=1e-9)
    ends = {row: the_bias(drawn(bias[row], noise[row]), 0.0, 1.0) for row in (3, 4, 8, 11)}
    words = ", ".join(
        f"{name} {bias:.0%} [{max(low, 0):.0%}, {high:.0%}] at {level}"
        for name, (bias, low, high, _), level in (
            ("quadratic", ends[3], 1), ("cubic", ends[4], 0), ("mlp", ends[8], 0), ("entropy", ends[11], 1)
        )
    )  # fmt: skip
    assert found.message == (
        "declared biased; largest bias relative to the exact gradient, with its 95 % interval and |logit|: "
        f"{words}; none to be seen on coupled, whose intervals end below 10% in 2 of 2 problems"
    )
    assert words.startswith("quadratic 30% [29%, 31%] at 1, cubic 50% [49%, 51%] at 0, mlp 87% [0%, ")
    assert len(found.numbers["cases"]) == 10
    nothing = unbiased(subject_of(Scripted, ONE, unbiased=False))
    assert nothing.message == (
        "declared biased; largest bias relative to the exact gradient, with its 95 % interval and |logit|: none to be "
        "seen; none to be seen on quadratic, cubic, coupled, mlp, entropy, whose intervals end below 10% in 10 of 10 "
        "problems"
    )


class OfTheta(Scripted):
    """Theta's gradient, or the value, is off by a share of itself in two rows, with noise of a hundredth."""

    which, share = "theta", 0.25

    def forward(self, q, f, *, generator=None, context=None):
        found = super().forward(q, f, generator=generator, context=context)
        rows = found.value.shape[-1]
        count = found.value.numel() // rows
        off = double([self.share if row == 3 else self.share / 2 if row == 7 else 0.0 for row in range(rows)])
        off = (off + 0.01 * math.sqrt(1.5) * alternating(count)[..., 0]).reshape(found.value.shape)
        if self.which == "value":
            return found._replace(value=found.value * (1 + off))
        stopped = type(q)(logits=q.logits.detach(), validate_args=False)
        return found._replace(surrogate=found.surrogate + off * expectation(stopped, f))


class OfValue(OfTheta):
    which = "value"


@pytest.mark.parametrize(
    ("cls", "check", "start", "usual"),
    [
        (
            OfTheta, theta, "the gradient of f's own parameters",
            "Usually the cost is detached before it is added to the surrogate, added twice, summed over the samples "
            "instead of averaged, or multiplied by something that depends on the draw",
        ),
        (
            OfValue, value, "the reported value",
            "Usually it is a sum over samples instead of their mean, the surrogate instead of the cost, or the cost of "
            "another draw's distribution",
        ),
    ],
)  # fmt: skip
def test_theta_and_value_have_columns_of_their_own(
    cls: type[Scripted], check: Callable[[Subject], Any], start: str, usual: str
) -> None:
    column, n = (-2, 8009) if cls is OfTheta else (-1, CHUNK)  # f is evaluated twice as often
    exact = ONE.exact[:, column]
    found = check(subject_of(cls, ONE))
    draws = float(exact[3]) * drawn(0.25, 0.01, n)
    log_p = bernstein_of(abs(draws.mean()), draws.var(ddof=1), abs(draws).max(), n)
    other = float(exact[7]) * drawn(0.125, 0.01, n)
    assert log_p < bernstein_of(abs(other.mean()), other.var(ddof=1), abs(other).max(), n)
    assert found.status == "failed"
    assert found.message == (
        f"{start} is off by {draws.mean():.3g} (95 % interval +- {1.96 * stats.sem(draws[:, 0]):.2g}, n = {n}) from "
        f"the exact {float(exact[3]):.3g} on the quadratic objective at |logit| 1, 1 latent, samples=1, p < "
        f"{evidence.p_words(log_p)}. {usual}"
    )
    assert found.numbers["smallest_log_p"] == pytest.approx(log_p, rel=1e-6)

    class Right(cls):  # type: ignore[misc, valid-type]
        share = 0.0

    found = check(subject_of(Right, ONE))
    spread = 0.01 * float(exact.abs().max())  # that of a constant 3 times its theta
    level = math.log(2) - math.log(1e-3 / 50)
    half = level * spread * math.sqrt(1.5) / (3 * n)
    seen = half + math.sqrt(half**2 + 2 * level * spread**2 / n) + 2.33 * spread / math.sqrt(n)
    assert found.status == "passed"
    assert found.message == (
        f"no bias was seen in {start}; {seen:.2g} would have been, with 99 % chance, where costs spread by 1"
    )
    assert found.numbers["detectable"] == {"largest": pytest.approx(seen, rel=1e-3), "chance": 0.99}


def test_a_declared_bias_reports_theta_of_its_value_and_any_value() -> None:
    found = theta(subject_of(Scripted, ONE, unbiased=False))
    assert (found.status, found.message) == ("passed", "theta's gradient is that of the value, draw by draw")
    assert found.numbers["largest_difference"] < 1e-9
    wrong = theta(subject_of(OfTheta, ONE, unbiased=False))
    # (0.25 exact) / exact where the value is not below a tenth, without the objectives that hold log q.
    values = ONE.exact[:, -1]
    assert wrong.numbers["largest_difference"] == pytest.approx(
        max(
            0.25 * abs(float(values[3])) / max(abs(float(values[3])), 0.1),
            0.125 * abs(float(values[7])) / max(abs(float(values[7])), 0.1),
        ),
        rel=1e-6,
    )
    assert wrong.message.startswith(
        f"theta's gradient differs by {wrong.numbers['largest_difference']:.0%} from that of the value it reports, "
        "though f is linear in theta. Usually the cost is detached before"
    )
    bound = theta(subject_of(OfTheta, ONE, unbiased=False))
    assert bound.status == "failed"
    told_of = value(subject_of(OfValue, ONE, unbiased=False))
    assert told_of.status == "not applicable"
    assert told_of.message == "a biased estimator may report the value of a relaxed objective"


def test_a_value_with_a_graph_is_refused_where_its_mean_is_right() -> None:
    class Graph(Scripted):
        def forward(self, q, f, *, generator=None, context=None):
            found = super().forward(q, f, generator=generator, context=context)
            return found._replace(value=expectation(q, f))

    found = value(subject_of(Graph, ONE))
    assert found.status == "failed"
    assert found.message == (
        "the value carries a graph: return it detached, so that a log of values does not keep every step alive"
    )


def test_a_constant_objective_must_have_no_gradient_in_mean() -> None:
    # Twelve rows, of which 0 and 1 are constant; what is wrong with others is not their business.
    noise = {0: 0.3, 1: 0.2, 5: 0.5}
    right = constant(subject_of(scripted({5: 0.5}, noise), ONE))
    assert (right.status, right.message) == ("passed", "a constant objective gives zero in mean")
    assert right.numbers["objective"] == "constant"
    found = constant(subject_of(scripted({1: -0.02}, noise), ONE))
    draws = drawn(-0.02, 0.2)
    log_p = bernstein_of(0.02, draws.var(ddof=1), abs(draws).max(), CHUNK)
    assert found.status == "failed"
    assert found.message == (
        "a constant objective gives a mean gradient of -0.02 (95 % interval +- "
        f"{1.96 * stats.sem(draws[:, 0]):.2g}, n = 16001) instead of zero, on the constant objective at |logit| 1, 1 "
        f"latent, samples=1, p < 1e{math.ceil(log_p / math.log(10))}. Usually a score is used whose mean is not zero "
        "(clipped probabilities, a score of other parameters than those that were sampled from), or a baseline that "
        "has seen its own draw"
    )
    biased = constant(subject_of(scripted({1: -0.02, 0: 0.01, 5: 3.0}, noise), ONE, unbiased=False))
    assert (biased.status, biased.message) == (
        "measured", "declared biased; mean gradient up to 0.02 where f is constant, not zero: biased"
    )  # fmt: skip
    still = constant(subject_of(scripted({5: 0.5}, noise), ONE, unbiased=False))
    assert still.message == "declared biased; mean gradient zero"
