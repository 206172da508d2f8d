"""The words of a report: verdicts on bias, numbers with their intervals, names of estimators."""

import math

import numpy as np
import pytest

from bench.report import naming, text
from bench.report.verdicts import AGAINST, UNSURE, BiasTest, smallest_visible, verdict
from tests.bench.records import VAE, Made, moments

FAIR = BiasTest(True, 0.5, 0.02, 0.0, 0.04, 0.031, heavy_tailed=False, rare=False)


@pytest.mark.parametrize(
    ("test", "words"),
    [
        (FAIR, "none seen (could have seen >= 3.1 %)"),
        (
            FAIR._replace(p_value=5e-4),
            "none seen (could have seen >= 3.1 %)",
        ),  # one of 100 tests: no surprise
        (FAIR._replace(p_value=5e-5), AGAINST),
        (FAIR._replace(p_value=5e-5, heavy_tailed=True), UNSURE),
        (
            FAIR._replace(p_value=0.0, relative_high=1e-9, floor=1e-9),
            "none: equal to the reference up to rounding",
        ),
        (FAIR._replace(floor=2.0), "none seen (could have seen >= 200 %: says little)"),
        (FAIR._replace(p_value=math.nan, rare=True), "not tested: outcomes too rare for the draws"),
        (FAIR._replace(p_value=math.nan, seldom_moved=True), "not tested: too few draws move the gradient"),
        (
            FAIR._replace(seldom_moved=True),
            "none seen (could have seen >= 3.1 %; some coordinates moved by too few draws to test)",
        ),
        (FAIR._replace(unbiased=False, relative=0.12, relative_low=0.1), "biased by 12 %"),
        (FAIR._replace(unbiased=False), "declared biased, none seen (could have seen >= 3.1 %)"),
        (FAIR._replace(floor=math.nan), "none seen (the gradient is 0)"),
    ],
)
def test_verdicts(test: BiasTest, words: str) -> None:
    assert verdict(test, tests=100) == words


def test_the_smallest_visible_bias_is_where_an_interval_would_leave_zero() -> None:
    assert smallest_visible(-0.02, 0.02, 2.0) == pytest.approx(math.sqrt(0.02) / 2)
    assert math.isnan(smallest_visible(-0.02, 0.02, 0.0))


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ((1.234, 1.201, 1.262), "1.23 [1.20, 1.26]"),
        ((-97.34, -97.361, -97.319), "-97.34 [-97.36, -97.32]"),
        ((0.0123, -0.9, 0.9), "0.01 [-0.90, 0.90]"),
        ((1.234e-7, 1.2e-7, 1.3e-7), "1.23e-7 [1.20e-7, 1.30e-7]"),
        ((10.0, 0.02, 5000.0), "10.0 [0.0200, 5000]"),
        ((55.2, 0.0, math.inf), "55.2 [0, ∞]"),
        ((-20.0, math.nan, math.nan), "-20.0 (no interval)"),
        ((math.nan, math.nan, math.nan), ""),
    ],
)
def test_intervals_as_text(numbers: tuple[float, float, float], words: str) -> None:
    assert text.interval(*numbers) == words


def test_long_labels_are_shortened_without_knowing_names() -> None:
    assert naming.shortened("any[baseline=moving-average]") == "any, moving-average"
    assert naming.shortened("any[straight_through=true,temperature=0.5]") == "any, straight-through, temperature 0.5"
    same = [moments(np.random.default_rng(0), VAE, Made(label, 2, True, 1, 0, 1)) for label in ("a[b=x]", "a[c=x]")]
    assert naming.estimator_labels(same) == ["a[b=x]", "a[c=x]"]
