"""What a measured bias allows one to say about an estimator's tag, in words."""

import math
from typing import NamedTuple

from bench.report.text import percent

# Chance that a report whose estimators are all what they claim accuses any of them, over all its tests
# together.
FALSE_ALARM = 0.01
# Relative differences a single-precision sum can make of nothing: no evidence of a bias, whatever their z.
ROUNDING = 1e-5
# Relative biases that rounding and the tolerance of an integral make of nothing, in double precision.
EXACTLY = 1e-8

AGAINST = "AGAINST ITS TAG"
UNSURE = "differs, but its tails are too heavy to tell"


class BiasTest(NamedTuple):
    """What is known of one estimator at one point."""

    unbiased: bool  # its tag
    p_value: float  # Bonferroni over coordinates; NaN where not tested
    relative: float  # norm of the bias over the gradient's
    relative_low: float
    relative_high: float
    floor: float  # the smallest relative bias that would have shown; NaN where the gradient is 0
    heavy_tailed: bool
    rare: bool  # some coordinates have outcomes too rare for the draws, and were left out of the test
    seldom_moved: bool = False  # others, too, as too few draws move the estimator's gradient
    exact: bool = False  # integrated over the noise: no test, no interval, and `floor` is what the integral leaves open


def verdict(test: BiasTest, tests: int) -> str:
    """The verdict in words.

    Args:
        test: the measurement.
        tests: tests of estimators declared unbiased in the whole report; p must be below FALSE_ALARM / tests.
    """
    if test.exact:
        return _exact(test)
    if test.relative_high < ROUNDING and test.floor < ROUNDING:
        return "none: equal to the reference up to rounding"
    if math.isnan(test.p_value):
        if test.rare:
            return "not tested: outcomes too rare for the draws"
        return "not tested: too few draws move the gradient" if test.seldom_moved else "not tested"
    if test.unbiased and test.p_value < FALSE_ALARM / max(1, tests):
        return UNSURE if test.heavy_tailed else AGAINST
    left_out = "; some coordinates too rare to test" if test.rare else ""
    left_out += "; some coordinates moved by too few draws to test" if test.seldom_moved else ""
    if not test.unbiased and test.relative_low > ROUNDING:
        return f"biased by {percent(test.relative)}{left_out}"
    seen = "none seen" if test.unbiased else "declared biased, none seen"
    if math.isnan(test.floor):
        return f"{seen} ({'the gradient is 0' if math.isnan(test.relative) else 'no interval'}{left_out})"
    remark = ": says little" if test.floor >= 1 else ""
    return f"{seen} (could have seen >= {percent(test.floor)}{remark}{left_out})"


def _exact(test: BiasTest) -> str:
    if math.isnan(test.relative):
        return "not told: the gradient is 0"
    if test.relative <= max(EXACTLY, test.floor):
        return "none: exact" if test.unbiased else "declared biased, none here: exact"
    return AGAINST if test.unbiased else f"biased by {percent(test.relative)}: exact"
