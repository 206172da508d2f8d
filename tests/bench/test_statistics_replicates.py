"""Variances over trajectories and minibatches, and what seeds can show: by hand, and their coverage by simulation."""

import math

import numpy as np
import pytest
from scipy import stats

from bench.statistics import (
    components,
    detectable_difference,
    replicated,
    replicated_mean,
    replicated_ratio,
    seeds_needed,
    variance_log_se,
)
from bench.statistics.power import effect_interval, power

T, M, RUNS = 5, 5, 2000
EFFECTS = {"trajectories": (0.5, 0.1), "minibatches": (0.1, 0.5), "both": (0.4, 0.4), "draws alone": (0.0, 0.0)}


def drawn(rng: np.random.Generator, of_trajectory: float, of_minibatch: float, draws: int = 60) -> np.ndarray:
    """Runs of [T, M] sample variances of some draws, whose true ones have lognormal effects of median 1."""
    effects = of_trajectory * rng.normal(size=(RUNS, T, 1)) + of_minibatch * rng.normal(size=(RUNS, T, M))
    return np.exp(effects) * rng.chisquare(draws - 1, size=(RUNS, T, M)) / (draws - 1)


def inside(intervals: list, truth: float) -> float:
    return float(np.mean([low <= truth <= high for _, low, high in intervals]))


@pytest.mark.parametrize("case", EFFECTS)
def test_replicates_hold_draws_minibatch_and_trajectory(case: str) -> None:
    sizes = EFFECTS[case]
    values = drawn(np.random.default_rng(3), *sizes)
    assert 0.93 <= inside([replicated(one) for one in values], math.exp(sizes[1] ** 2 / 2)) <= 0.97


def test_a_ratio_is_paired_by_trajectory() -> None:
    """Both share the trajectories' and the minibatches' effects, and the second lies at .8 of the first."""
    rng = np.random.default_rng(4)
    shared, own = drawn(rng, 0.8, 0.5), drawn(rng, 0.1, 0.1)
    found = [replicated_ratio(0.8 * a * b, a) for a, b in zip(shared, own, strict=True)]
    assert 0.93 <= inside(found, 0.8 * math.exp(0.1**2 / 2)) <= 0.97
    width = np.mean([math.log(high / low) for _, low, high in found])
    alone = np.mean([math.log(high / low) for _, low, high in map(replicated, shared)])
    assert width < alone / 3


def test_an_additive_quantity_has_students_interval_over_trajectories() -> None:
    rng = np.random.default_rng(5)
    values = rng.normal(size=(RUNS, T, 1)) + 2 * rng.normal(size=(RUNS, T, M)) + 0.3
    assert 0.93 <= inside([replicated_mean(one) for one in values], 0.3) <= 0.97


def test_replicates_by_hand() -> None:
    table = np.array([[1.0, 3.0], [8.0, 8.0], [3.0, 5.0]])
    logs = np.log([2.0, 8.0, 4.0])
    low, high = stats.ttest_1samp(logs, 0).confidence_interval(0.9)
    assert replicated(table, 0.9) == pytest.approx((4.0, math.exp(low), math.exp(high)))
    assert replicated_ratio(2 * table, table[:, :1] + table[:, 1:]) == pytest.approx((1.0, 1.0, 1.0))
    mean = stats.ttest_1samp([2.0, 8.0, 4.0], 0).confidence_interval(0.95)
    assert replicated_mean(table) == pytest.approx((14 / 3, *mean))
    assert math.isnan(replicated(table[:1]).low)


def test_components_by_hand() -> None:
    """Relative squares within: of 1, 3 about 2 half, of 8, 8 none; draws have .1 of each square."""
    table, log_se = np.array([[1.0, 3.0], [8.0, 8.0]]), math.sqrt(0.1) * np.ones((2, 2))
    found = components(table, log_se)
    draws = 0.1 * (0.25 + 2.25 + 1 + 1) / 4
    within, between = (0.5 + 0.0) / 2, math.log(4) ** 2 / 2
    assert found == pytest.approx((math.sqrt(draws), math.sqrt(within - draws), math.sqrt(between - within / 2)))
    assert components(np.ones((2, 2)), log_se)[1:] == (0.0, 0.0)


def test_components_come_back() -> None:
    """Of 40 trajectories of 10 minibatches each, with draws of which the standard error is known."""
    rng = np.random.default_rng(6)
    effects = np.exp(0.3 * rng.normal(size=(40, 1)) + 0.2 * rng.normal(size=(40, 10)))
    d = np.square(rng.normal(size=(40, 10, 200)))
    log_se = [[variance_log_se(one) for one in row] for row in d]
    assert components(effects * d.sum(2) / 199, log_se) == pytest.approx((0.1, 0.2, 0.3), rel=0.15)


def test_power_is_that_of_simulated_seeds() -> None:
    rng = np.random.default_rng(7)
    x = rng.normal(size=(20_000, 6)) + 0.9
    for comparisons in (1, 10):
        t = x.mean(1) / x.std(1, ddof=1) * math.sqrt(6)
        hits = np.mean(np.abs(t) > stats.t.isf(0.025 / comparisons, 5))
        assert power(0.9, 6, comparisons=comparisons) == pytest.approx(hits, abs=0.01)
    assert power(0.0, 6) == pytest.approx(0.05) and power(50.0, 5) == 1.0


def test_the_detectable_difference_has_the_power_that_is_asked_for() -> None:
    """As published tables have it: of 10 seeds .996 standard deviations; more comparisons, larger differences."""
    x = np.arange(10.0)
    found = detectable_difference(x)
    assert found / x.std(ddof=1) == pytest.approx(0.996, abs=0.002)
    assert power(found / x.std(ddof=1), 10) == pytest.approx(0.8, abs=1e-4)
    corrected = detectable_difference(x, comparisons=22)
    assert corrected > 1.4 * found
    assert power(corrected / x.std(ddof=1), 10, comparisons=22) == pytest.approx(0.8, abs=1e-4)
    assert detectable_difference([1.0, 1.0]) == 0.0


def test_the_seeds_that_would_do() -> None:
    """A mean of half a standard deviation takes 34 seeds, as tables have it; three seeds do not know it well."""
    x = np.array([-1.0, 0.0, 1.0])
    found = seeds_needed(x + 0.5)
    assert (found.estimate, found.high) == (34.0, math.inf) and found.low < 10
    assert seeds_needed(x).estimate == math.inf
    sure = seeds_needed(np.tile(x, 20) + 1.0)
    assert sure.low < sure.estimate < sure.high < 30
    assert seeds_needed(x + 0.5, comparisons=22).estimate > 60
    assert seeds_needed([2.0, 2.0, 2.0]) == (2.0, 2.0, 2.0)


def test_the_interval_of_an_effect_covers() -> None:
    rng = np.random.default_rng(9)
    x = rng.normal(size=(1000, 4)) + 0.7
    ends = [effect_interval(float(one.mean() / one.std(ddof=1)), 4) for one in x]
    assert 0.93 <= np.mean([low <= 0.7 <= high for low, high in ends]) <= 0.97


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: replicated([1.0, 2.0]), r"\[trajectories, minibatches\], got the shape \(2,\)"),
        (lambda: replicated([[1.0, 0.0]]), "must be positive"),
        (lambda: replicated([[1.0, math.nan]]), "must be finite"),
        (lambda: replicated_ratio([[1.0]], [[1.0], [2.0]]), "paired by trajectory, but there are 1 and 2"),
        (lambda: components([[1.0, 2.0]], [[0.1, 0.1]]), "at least 2 trajectories of 2 minibatches"),
        (lambda: components(np.ones((2, 2)), np.ones((2, 3))), "shaped as the variances"),
        (lambda: seeds_needed([1.0, 2.0]), "at least 3 seeds, got 2"),
        (lambda: detectable_difference([1.0]), "at least 2 seeds, got 1"),
        (lambda: seeds_needed([1.0, 2.0, 4.0], chance=1.0), "chance must lie strictly"),
        (lambda: seeds_needed([1.0, 2.0, 4.0], comparisons=0), "comparisons must be at least 1"),
    ],
)
def test_what_cannot_be_replicated_is_refused(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
